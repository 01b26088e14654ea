package convert

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/zeebo/xxh3"

	"github.com/trainyard/trainyard/services/converter/archive"
	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/reject"
	"github.com/trainyard/trainyard/services/converter/tfrecord"
)

// worker encodes the records of the turns that it takes; see turns.
type worker struct {
	*runner
	encoder  dataset.Encoder
	unpacker archive.Unpacker
	turns    *turns
	lanes    []lane // one or two
	extent   []byte // of the record at hand, if it isn't in the window
	ahead    int    // see batch.touch
	body     body   // of the record at hand

	made, read int64 // examples and bytes that progress doesn't know of yet
}

// lane is a turn that a worker has taken.
type lane struct {
	turn
	taken   bool
	records []int32 // that are still to be encoded
	buf     []byte  // what is still to be hashed and written
}

// ready is how much of a lane is to be written beside another. What it has more, which would be hashed alone, waits for what comes next.
func (l *lane) ready(other *lane) int {
	if more := len(l.buf) - len(other.buf); more > 0 && more < flushBytes && len(l.records) > 0 {
		return len(other.buf)
	}
	return len(l.buf)
}

// drop forgets n bytes that have been written.
func (l *lane) drop(n int) {
	l.buf = l.buf[:copy(l.buf, l.buf[n:])]
	if len(l.buf) == 0 && cap(l.buf) > keepBytes {
		l.buf = nil
	}
}

// body is the data of the record at hand.
type body struct {
	unpacker *archive.Unpacker
	record   *taskRecord
	extent   []byte // of all parts
	row      []byte // nil: no row
	buf      []byte // for what Bytes unpacks
	seen     uint64 // hash of what was given out
	given    int    // parts that seen is of
}

// Size implements dataset.Body.
func (b *body) Size() int {
	if b.row != nil {
		return len(b.row)
	}
	return int(b.record.entry.Size)
}

// Fill implements dataset.Body.
func (b *body) Fill(p []byte) error {
	if b.row != nil {
		copy(p, b.row)
	} else if err := b.unpacker.Unpack(p, &b.record.entry, b.extent); err != nil {
		return err
	}
	b.note(p)
	return nil
}

// note adds what is given out to the hash by which duplicates are found.
func (b *body) note(p []byte) {
	b.given++
	if b.given == 1 {
		b.seen = xxh3.Hash(p)
		return
	}
	r := random(b.seen ^ xxh3.Hash(p))
	b.seen = r.next()
}

// Bytes implements dataset.Body.
func (b *body) Bytes() ([]byte, error) {
	if b.row != nil {
		b.note(b.row)
		return b.row, nil
	}
	_, data, err := b.Part(0)
	return data, err
}

// Parts implements dataset.Body.
func (b *body) Parts() int { return 1 + len(b.record.more) }

// Part implements dataset.Body.
func (b *body) Part(i int) (string, []byte, error) {
	e, extent := &b.record.entry, b.extent
	if i > 0 {
		e = &b.record.more[i-1]
		extent = extent[e.Offset-b.record.entry.Offset:]
	}
	if e.Method == archive.Raw {
		b.note(extent[:e.Size])
		return e.Path, extent[:e.Size], nil
	}
	if int64(cap(b.buf)) < e.Size || cap(b.buf) > keepBytes && e.Size < keepBytes {
		b.buf = make([]byte, max(e.Size, flushBytes))
	}
	b.buf = b.buf[:e.Size]
	err := b.unpacker.Unpack(b.buf, e, extent[:min(int64(len(extent)), e.Extent)])
	b.note(b.buf)
	return e.Path, b.buf, err
}

// encode takes turns until there are none.
func (w *worker) encode(ctx context.Context) error {
	for {
		taken := false
		for i := range w.lanes {
			l := &w.lanes[i]
			if !l.taken {
				if l.turn, l.taken = w.turns.take(ctx, !taken && i == len(w.lanes)-1); !l.taken {
					continue
				}
				l.records = l.batch.records[l.shard]
			}
			taken = true
			if err := w.fill(ctx, l); err != nil {
				return err
			}
		}
		if err := ctx.Err(); err != nil || !taken {
			return err
		}
		if err := w.flush(); err != nil {
			return err
		}
	}
}

// fill encodes records until a lane's buffer is full.
func (w *worker) fill(ctx context.Context, l *lane) error {
	b := l.batch
	for n := 0; len(l.records) > 0 && len(l.buf) < flushBytes; n++ {
		if n%rowsAhead == 0 {
			w.ahead += b.touch(l.records[:min(rowsAhead, len(l.records))])
		}
		ref := &b.refs[l.records[0]]
		l.records = l.records[1:]
		rec := b.planned[ref.planned]
		item := dataset.Item{Path: rec.entry.Path, Label: int(rec.label), Meta: rec.meta}
		w.body.record, w.body.row, w.body.given = rec, nil, 0
		if rec.rows > 0 {
			w.body.row = rec.data[ref.start:ref.end:ref.end]
			item.Index, item.Row = int(ref.row), rec.firstRow+int64(ref.row)
		} else {
			var err error
			if w.body.extent, err = w.extentOf(ctx, rec); err != nil {
				return err
			}
		}
		if err := w.encodeOne(l, item); err != nil {
			return err
		}
	}
	return nil
}

// encodeOne encodes the record that w.body holds.
func (w *worker) encodeOne(l *lane, item dataset.Item) error {
	s, rec, start := w.shards[l.shard], w.body.record, len(l.buf)
	if rec.rows > 0 {
		w.read += int64(len(w.body.row))
	} else {
		w.read += rec.extent()
	}
	var err error
	l.buf, err = w.encoder.Encode(tfrecord.Begin(l.buf), item, &w.body, &s.stats)
	labels := s.stats.TakeLabels()
	if err != nil {
		var left *reject.File
		if errors.As(err, &left) {
			l.buf = l.buf[:start]
			return w.leaveOut(s, item, rec, left)
		}
		return fmt.Errorf("encode %q: %w", item.Path, err)
	}
	l.buf = tfrecord.End(l.buf, start)
	if w.body.seen>>(64-w.Plan.HashShift) == 0 {
		s.hashes = binary.LittleEndian.AppendUint64(s.hashes, w.body.seen)
	}
	size := int64(len(l.buf)-start) - tfrecord.Overhead
	if s.index != nil {
		if err := s.index.Add(size, labels); err != nil {
			return err
		}
	}
	s.shard.Examples++
	s.shard.DataBytes += size
	if rec.rows == 0 {
		s.files += int64(w.body.Parts())
		s.rows += w.rowsWith
	} else {
		s.rows++
	}
	s.annotations += int64(rec.annotations)
	w.made++
	return nil
}

// leaveOut notes that a record was left out: its row, or all its files.
func (w *worker) leaveOut(s *shard, item dataset.Item, rec *taskRecord, left *reject.File) error {
	if rec.rows > 0 {
		left.Kind, left.Where = reject.Row, item.Row
	}
	s.left.Add(left)
	for i := range rec.more {
		other := *left
		other.Path = rec.more[i].Path
		other.Message = fmt.Sprintf("it belongs to %q, which was left out", item.Path)
		s.left.Add(&other)
	}
	s.left.AddOwned(reject.Annotation, item.Path, int64(rec.annotations))
	if rec.rows == 0 {
		s.left.AddOwned(reject.Row, item.Path, w.rowsWith)
	}
	w.leftOut.Add(1)
	if left.Reason.Counts() && w.Plan.Options.tooManyBad(w.Plan.LeftOut.Bad()+w.bad.Add(1), w.Plan.candidates()) {
		return errTooManyBad
	}
	return nil
}

// extentOf returns the bytes of a record's files: a part of the window, or read now if the source is near and the window wasn't.
func (w *worker) extentOf(ctx context.Context, rec *taskRecord) ([]byte, error) {
	if rec.data != nil {
		return rec.data, nil
	}
	size := rec.extent()
	if int64(cap(w.extent)) < size || cap(w.extent) > keepBytes && size < keepBytes {
		w.extent = make([]byte, max(size, flushBytes))
	}
	w.extent = w.extent[:size]
	return w.extent, rec.source.ReadAt(ctx, w.extent, rec.entry.Offset)
}

// flush hashes and writes what the lanes hold, and gives back the turns that are done.
func (w *worker) flush() error {
	w.examples.Add(w.made)
	w.bytes.Add(w.read)
	w.made, w.read = 0, 0
	x, y := &w.lanes[0], &w.lanes[len(w.lanes)-1]
	var err error
	switch {
	case x.taken && y.taken && x != y:
		n, m := x.ready(y), y.ready(x)
		err = writeBoth(w.shards[x.shard], x.buf[:n], w.shards[y.shard], y.buf[:m])
		x.drop(n)
		y.drop(m)
	case x.taken:
		err = w.shards[x.shard].write(x.buf)
		x.drop(len(x.buf))
	case y.taken:
		err = w.shards[y.shard].write(y.buf)
		y.drop(len(y.buf))
	}
	if err != nil {
		return err
	}
	for i := range w.lanes {
		l := &w.lanes[i]
		if l.taken && len(l.records) == 0 {
			l.taken = false
			if w.turns.done(l.turn) {
				w.bytes.Add(l.batch.gaps)
				l.batch.release()
			}
		}
	}
	return nil
}
