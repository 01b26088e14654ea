package convert

import (
	"encoding/hex"
	"errors"
	"os"

	"github.com/klauspost/compress/gzip"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/reject"
	"github.com/trainyard/trainyard/services/converter/scratch"
	"github.com/trainyard/trainyard/services/converter/shardindex"
	"github.com/trainyard/trainyard/services/internal/sha256x2"
)

// shard is a shard while it is written to scratch disk. One worker writes it.
type shard struct {
	shard  Shard
	stats  dataset.Stats
	left   reject.List
	hashes []byte

	files, rows, annotations int64

	path string
	file *os.File
	sum  *sha256x2.Hash
	gzip *gzip.Writer // nil: not compressed

	index     *shardindex.Writer // nil: compressed, so that nothing has a place of its own in the file
	indexPath string             // once the shard is closed, if there is anything to index
}

func newShard(p *PlannedShard, dir string, compression Compression) (*shard, error) {
	f, err := os.CreateTemp(dir, p.Name+".*")
	if err != nil {
		return nil, scratch.Wrap(err)
	}
	s := &shard{shard: Shard{Name: p.Name, Split: p.Split}, path: f.Name(), file: f, sum: sha256x2.New()}
	if compression == GZIP {
		s.gzip = gzip.NewWriter((*shardFile)(s))
	} else {
		s.index = shardindex.NewWriter(dir, p.Name)
	}
	return s, nil
}

// writeBoth writes p to the shard s, and q to t. Hashing them together takes half the time.
func writeBoth(s *shard, p []byte, t *shard, q []byte) error {
	if s.gzip != nil || t.gzip != nil {
		return errors.Join(s.write(p), t.write(q))
	}
	sha256x2.WriteBoth(s.sum, p, t.sum, q)
	return errors.Join(s.append(p), t.append(q))
}

func (s *shard) write(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	if s.gzip != nil {
		_, err := s.gzip.Write(b)
		return err
	}
	_, err := (*shardFile)(s).Write(b)
	return err
}

// append writes to the file what is hashed already.
func (s *shard) append(b []byte) error {
	s.shard.Bytes += int64(len(b))
	_, err := s.file.Write(b)
	return scratch.Wrap(err)
}

// shardFile writes a shard's bytes as they are.
type shardFile shard

// Write implements io.Writer.
func (s *shardFile) Write(b []byte) (int, error) {
	s.sum.Write(b) //nolint:errcheck // never fails
	return len(b), (*shard)(s).append(b)
}

func (s *shard) close() error {
	if s.gzip != nil {
		if err := s.gzip.Close(); err != nil {
			return err
		}
	}
	s.shard.SHA256 = hex.EncodeToString(s.sum.Sum(nil))
	if s.index != nil && !s.index.Empty() {
		f, err := s.index.Finish()
		if err != nil {
			return err
		}
		s.indexPath = f.Path
		s.shard.Index = MetadataFile{Name: shardindex.Name(s.shard.Name), Bytes: f.Bytes, SHA256: f.SHA256}
	}
	return scratch.Wrap(s.file.Close())
}
