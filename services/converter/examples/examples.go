// Package examples reads records back from the shards of a finished dataset and decodes them for people to look at, a page at a time.
//
// It reads no shard as a whole. All records are read in their order from where the page before ended; those of one class are found by the
// shards' indexes (package shardindex), and of them neighbours are read together. Every record is checked by its checksums.
//
// The records' bytes come from strangers, so this runs where foreign bytes are parsed, in a worker process. One page's memory
// and time are bounded by the limits below, whatever the shards hold.
package examples

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/trainyard/trainyard/services/converter/shardindex"
	"github.com/trainyard/trainyard/services/converter/source"
	"github.com/trainyard/trainyard/services/converter/tfrecord"
)

// What ends a page before it is full. It holds one example at least, if any was found.
const (
	maxAnswer  = 2 << 20         // bytes of the examples as they are answered
	maxRead    = 32 << 20        // bytes of records
	maxTime    = 4 * time.Second // pictures may be slow to decode
	maxIndexes = 64              // shards whose index is looked into
)

// nearBytes is how far apart two records may lie to be read by one request.
const nearBytes = 128 << 10

// All is Request.Label for records of every class and of none.
const All = -1

// Request says which examples are wanted.
type Request struct {
	Files  []File   `json:"files"`  // features.json and the label files
	Shards []Shard  `json:"shards"` // in order; the first is the one that From is in
	Label  int      `json:"label"`  // only records with this label; All
	From   Position `json:"from"`
	Limit  int      `json:"limit"` // at most this many
}

// File is a file of the dataset.
type File struct {
	Name  string `json:"name"`
	Bytes int64  `json:"bytes"`
}

// Shard is a shard of the dataset.
type Shard struct {
	Name       string `json:"name"`
	Split      string `json:"split"`
	Bytes      int64  `json:"bytes"`
	Examples   int64  `json:"examples"`
	Index      string `json:"index,omitempty"` // name of its index; wanted when Label is not All
	IndexBytes int64  `json:"index_bytes,omitempty"`
}

// Position is where a page begins. The zero value is the beginning.
type Position struct {
	Shard int `json:"shard"` // index into Request.Shards
	// Cursor is in the list of the label; when all records are read, Index and Offset alone are of the record that comes next.
	Cursor shardindex.Cursor `json:"cursor"`
}

// Page is what was read.
type Page struct {
	Examples [][]byte  `json:"examples"` // each a converterv1.Example in protobuf's wire form
	Next     *Position `json:"next"`     // nil at the end
}

// ErrPosition says that no record begins where the request says.
var ErrPosition = errors.New("no record begins there")

// Open gives a file of the dataset for reading.
type Open func(name string, size int64) source.Source

// Read reads a page. Errors that wrap ErrPosition are the request's fault, others that wrap tfrecord.ErrCorrupt or shardindex.ErrCorrupt the dataset's.
func Read(ctx context.Context, r Request, open Open) (*Page, error) {
	schema, err := readSchema(ctx, r.Files, open)
	if err != nil {
		return nil, err
	}
	p := &pager{Request: r, open: open, decoder: NewDecoder(schema), page: &Page{Examples: [][]byte{}}, begun: time.Now()}
	for at := r.From; at.Shard < len(r.Shards); {
		read := p.readAll
		if r.Label != All {
			read = p.readLabelled
		}
		if p.full() || r.Label != All && at.Shard-r.From.Shard >= maxIndexes {
			p.page.Next = &at
			break
		}
		next, err := read(ctx, at)
		if err != nil {
			return nil, fmt.Errorf("shard %s: %w", r.Shards[at.Shard].Name, err)
		}
		at = next
	}
	return p.page, nil
}

func readSchema(ctx context.Context, files []File, open Open) (*Schema, error) {
	const maxFile = 64 << 20 // 100,000 classes with names of 255 letters have 25 MB
	read := func(name string) ([]byte, error) {
		for _, f := range files {
			if f.Name != name {
				continue
			}
			if f.Bytes > maxFile {
				return nil, fmt.Errorf("%s has %d bytes; at most %d are read", name, f.Bytes, maxFile)
			}
			data := make([]byte, f.Bytes)
			return data, open(name, f.Bytes).ReadAt(ctx, data, 0)
		}
		return nil, nil
	}
	features, err := read("features.json")
	if err != nil {
		return nil, err
	}
	return ParseSchema(features, read)
}

// pager fills a page.
type pager struct {
	Request
	open    Open
	decoder *Decoder
	page    *Page
	begun   time.Time

	answer, read int64 // bytes
}

func (p *pager) full() bool {
	n := len(p.page.Examples)
	return n >= p.Limit || n > 0 && (p.answer >= maxAnswer || p.read >= maxRead || time.Since(p.begun) >= maxTime)
}

// add decodes a record and adds it to the page.
func (p *pager) add(shard *Shard, index int64, record []byte) error {
	example, err := p.decoder.Decode(record)
	if err != nil {
		return err
	}
	example.Shard, example.Split, example.Index = shard.Name, shard.Split, index
	example.Id = fmt.Sprintf("%s__%d", shard.Name, index)
	data, err := proto.Marshal(example)
	if err != nil {
		return err
	}
	p.page.Examples = append(p.page.Examples, data)
	p.answer += int64(len(data))
	p.read += int64(len(record))
	return nil
}

// readAll reads the records of a shard from a position on, and gives where it stopped.
func (p *pager) readAll(ctx context.Context, at Position) (Position, error) {
	shard := &p.Shards[at.Shard]
	if at.Cursor.Offset < 0 || at.Cursor.Offset > shard.Bytes {
		return at, ErrPosition
	}
	// A little more than what is wanted, by the mean, comes with the first read.
	const least, most = 64 << 10, 4 << 20
	ahead := shard.Bytes / max(shard.Examples, 1) * int64(p.Limit-len(p.page.Examples)) * 9 / 8
	rest := &section{ctx: ctx, src: p.open(shard.Name, shard.Bytes), at: at.Cursor.Offset}
	records := tfrecord.NewReader(bufio.NewReaderSize(rest, int(min(max(ahead, least), most))), 0)
	for !p.full() {
		record, err := records.Next()
		if errors.Is(err, io.EOF) {
			return Position{Shard: at.Shard + 1}, nil
		}
		if err == nil {
			err = p.add(shard, at.Cursor.Index, record)
		}
		if err != nil {
			return at, p.blame(at, err)
		}
		at.Cursor.Index++
		at.Cursor.Offset += int64(len(record)) + tfrecord.Overhead
	}
	if at.Cursor.Offset == shard.Bytes {
		return Position{Shard: at.Shard + 1}, nil
	}
	return at, nil
}

// blame tells whether damage is the dataset's or only seems so, because no record begins where the request says.
func (p *pager) blame(at Position, err error) error {
	begins := at == p.From && at.Cursor != shardindex.Cursor{}
	if begins && len(p.page.Examples) == 0 && (errors.Is(err, tfrecord.ErrCorrupt) || errors.Is(err, shardindex.ErrCorrupt)) {
		return fmt.Errorf("%w: %w", ErrPosition, err)
	}
	return err
}

// section reads a source in sequence.
type section struct {
	ctx context.Context //nolint:containedctx // io.Reader has no place for it
	src source.Source
	at  int64
}

func (s *section) Read(b []byte) (int, error) {
	b = b[:min(int64(len(b)), s.src.Size()-s.at)]
	if len(b) == 0 {
		return 0, io.EOF
	}
	if err := s.src.ReadAt(s.ctx, b, s.at); err != nil {
		return 0, err
	}
	s.at += int64(len(b))
	return len(b), nil
}

// readLabelled reads the records of a shard that its index names, from a position on.
func (p *pager) readLabelled(ctx context.Context, at Position) (Position, error) {
	shard := &p.Shards[at.Shard]
	index, err := shardindex.Open(ctx, p.open(shard.Index, shard.IndexBytes))
	if err != nil {
		return at, err
	}
	wanted := p.Limit - len(p.page.Examples)
	found, _, err := index.Read(ctx, p.Label, at.Cursor, wanted+1) // One more tells whether there is more.
	if err != nil {
		return at, p.blame(at, err)
	}
	src := p.open(shard.Name, shard.Bytes)
	done := 0
	for done < min(len(found), wanted) && !p.full() {
		n, err := p.readRun(ctx, src, shard, found[done:min(len(found), wanted)])
		if err != nil {
			return at, p.blame(at, err)
		}
		done += n
	}
	if done == len(found) {
		return Position{Shard: at.Shard + 1}, nil
	}
	if done > 0 { // The cursor behind what was shown; the index's own is behind what it gave.
		if _, at.Cursor, err = index.Read(ctx, p.Label, at.Cursor, done); err != nil {
			return at, err
		}
	}
	return at, nil
}

// readRun reads the first of the records and those that lie near behind it, by one request, and adds them as long as the page isn't
// full. It gives how many it has added.
func (p *pager) readRun(ctx context.Context, src source.Source, shard *Shard, found []shardindex.Posting) (int, error) {
	end := func(f shardindex.Posting) int64 { return f.Offset + f.Length + tfrecord.Overhead }
	n := 1
	for n < len(found) && found[n].Offset-end(found[n-1]) <= nearBytes && end(found[n])-found[0].Offset <= maxRead-p.read {
		n++
	}
	if end(found[n-1]) > shard.Bytes || found[0].Length > tfrecord.DefaultMaxRecord {
		return 0, fmt.Errorf("%w: the index names a record that the shard hasn't", tfrecord.ErrCorrupt)
	}
	data := make([]byte, end(found[n-1])-found[0].Offset)
	if err := src.ReadAt(ctx, data, found[0].Offset); err != nil {
		return 0, err
	}
	for i, f := range found[:n] {
		if i > 0 && p.full() {
			return i, nil
		}
		from := f.Offset - found[0].Offset
		record, err := tfrecord.NewReader(bytes.NewReader(data[from:from+f.Length+tfrecord.Overhead]), 0).Next()
		if err == nil && int64(len(record)) != f.Length {
			err = fmt.Errorf("%w: a record of %d bytes, by the index of %d", tfrecord.ErrCorrupt, len(record), f.Length)
		}
		if err == nil {
			err = p.add(shard, f.Index, record)
		}
		if err != nil {
			return i, err
		}
	}
	return n, nil
}
