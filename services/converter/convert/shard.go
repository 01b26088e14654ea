package convert

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"os"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/reject"
	"github.com/trainyard/trainyard/services/converter/scratch"
)

// shard is a shard while it is written to scratch disk. One worker writes it.
type shard struct {
	shard  Shard
	stats  dataset.Stats
	left   reject.List
	hashes []byte

	path string
	file *os.File
	sum  hash.Hash
}

func newShard(p *PlannedShard, dir string) (*shard, error) {
	f, err := os.CreateTemp(dir, p.Name+".*")
	if err != nil {
		return nil, scratch.Wrap(err)
	}
	return &shard{shard: Shard{Name: p.Name, Split: p.Split}, path: f.Name(), file: f, sum: sha256.New()}, nil
}

func (s *shard) write(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	s.sum.Write(b)
	s.shard.Bytes += int64(len(b))
	_, err := s.file.Write(b)
	return scratch.Wrap(err)
}

func (s *shard) close() error {
	s.shard.SHA256 = hex.EncodeToString(s.sum.Sum(nil))
	return scratch.Wrap(s.file.Close())
}
