package shardindex_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/trainyard/trainyard/services/converter/shardindex"
	"github.com/trainyard/trainyard/services/converter/source"
	"github.com/trainyard/trainyard/services/converter/tfrecord"
)

// object is a source in memory that notes how often it is read.
type object struct {
	data  []byte
	reads int
}

func (o *object) Size() int64 { return int64(len(o.data)) }

func (o *object) ReadAt(_ context.Context, p []byte, off int64) error {
	o.reads++
	if off < 0 || off+int64(len(p)) > o.Size() {
		return io.ErrUnexpectedEOF
	}
	copy(p, o.data[off:])
	return nil
}

var _ source.Source = (*object)(nil)

type record struct {
	length int64
	labels []int32
}

// write makes an index of the records and what each label's list must hold.
func write(t testing.TB, records []record) (data []byte, want map[int][]shardindex.Posting) {
	t.Helper()
	dir := t.TempDir()
	w := shardindex.NewWriter(dir, "a.tfrecord-00000-of-00001")
	want = map[int][]shardindex.Posting{}
	var at shardindex.Posting
	for _, r := range records {
		if err := w.Add(r.length, r.labels); err != nil {
			t.Fatal(err)
		}
		at.Length = r.length
		for _, label := range r.labels {
			if list := want[int(label)]; len(list) == 0 || list[len(list)-1] != at {
				want[int(label)] = append(list, at)
			}
		}
		at.Index++
		at.Offset += r.length + tfrecord.Overhead
	}
	file, err := w.Finish()
	if err != nil {
		t.Fatal(err)
	}
	if data, err = os.ReadFile(file.Path); err != nil || int64(len(data)) != file.Bytes {
		t.Fatalf("%d bytes, %v: said to be %d", len(data), err, file.Bytes)
	}
	if err := errors.Join(w.Close(), os.Remove(file.Path)); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("it left %v, %v", left, err)
	}
	return data, want
}

func open(t testing.TB, data []byte) (*shardindex.Index, *object) {
	t.Helper()
	src := &object{data: data}
	index, err := shardindex.Open(t.Context(), src)
	if err != nil {
		t.Fatal(err)
	}
	return index, src
}

// read reads a list in pages of n.
func read(t testing.TB, index *shardindex.Index, label, n int) []shardindex.Posting {
	t.Helper()
	var all []shardindex.Posting
	var at shardindex.Cursor
	for {
		page, next, err := index.Read(t.Context(), label, at, n)
		if err != nil {
			t.Fatal(err)
		}
		all, at = append(all, page...), next
		if len(page) < n {
			return all
		}
	}
}

func TestListsHoldTheRecordsOfEachLabel(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // Any numbers will do.
	many := make([]record, 20_000)
	for i := range many {
		many[i] = record{random.Int64N(100_000), []int32{random.Int32N(300)}}
	}
	for name, records := range map[string][]record{
		"nothing":    nil,
		"no labels":  {{10, nil}, {0, nil}},
		"one class":  {{10, []int32{0}}, {0, []int32{0}}, {1 << 40, []int32{0}}},
		"boxes":      {{10, []int32{5, 2, 5, 5}}, {3, nil}, {7, []int32{2}}, {9, []int32{5}}},
		"far labels": {{10, []int32{shardindex.MaxLabel}}, {20, []int32{0, 77_000}}},
		"many":       many,
	} {
		t.Run(name, func(t *testing.T) {
			data, want := write(t, records)
			index, _ := open(t, data)
			for _, label := range []int{0, 1, 2, 5, 77, 299, 77_000, shardindex.MaxLabel} {
				for _, n := range []int{1, 7, 1000, 100_000} {
					if n == 1 && len(want[label]) > 1000 {
						continue
					}
					if got := read(t, index, label, n); !slices.Equal(got, want[label]) {
						t.Fatalf("label %d in pages of %d: %d records, want %d", label, n, len(got), len(want[label]))
					}
				}
			}
		})
	}
}

// Lists that don't fit into memory together are put in order bit by bit, one that doesn't fit alone goes through.
func TestListsLargerThanMemory(t *testing.T) {
	records := make([]record, 1_500_000)
	for i := range records {
		label := int32(0) // Its list has about 6 MB.
		if i%4 == 1 {
			label = int32(1 + i/4%9) //nolint:gosec // Below ten.
		}
		records[i] = record{int64(70_000 + i%5), []int32{label}}
	}
	data, want := write(t, records)
	index, _ := open(t, data)
	for label := range 10 {
		if got := read(t, index, label, 50_000); !slices.Equal(got, want[label]) {
			t.Errorf("label %d: %d records, want %d", label, len(got), len(want[label]))
		}
	}
}

// A page costs one read of the directory and one of the list.
func TestPagesTakeTwoReads(t *testing.T) {
	records := make([]record, 100_000)
	for i := range records {
		records[i] = record{60_000, []int32{int32(i % 1000)}} //nolint:gosec // Small.
	}
	data, want := write(t, records)
	index, src := open(t, data)
	if got, _, err := index.Read(t.Context(), 999, shardindex.Cursor{}, 24); err != nil || !slices.Equal(got, want[999][:24]) || src.reads != 2 {
		t.Errorf("%d records by %d reads, %v", len(got), src.reads, err)
	}
	if got, _, err := index.Read(t.Context(), 1000, shardindex.Cursor{}, 24); err != nil || len(got) != 0 || src.reads != 2 {
		t.Errorf("of a class that isn't there: %d records by %d reads, %v", len(got), src.reads, err)
	}
}

func TestWriterRefusesLabelsOutOfRange(t *testing.T) {
	w := shardindex.NewWriter(t.TempDir(), "a")
	for _, label := range []int32{-1, shardindex.MaxLabel + 1} {
		if err := w.Add(1, []int32{label}); err == nil {
			t.Errorf("label %d is taken", label)
		}
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}

func TestWriterDoesNotAllocateForEachRecord(t *testing.T) {
	w := shardindex.NewWriter(t.TempDir(), "a")
	labels := []int32{3}
	if allocs := testing.AllocsPerRun(1000, func() {
		if err := w.Add(60_000, labels); err != nil {
			t.Fatal(err)
		}
	}); allocs != 0 {
		t.Errorf("%v allocations a record", allocs)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}

func TestDamageIsTold(t *testing.T) {
	good, _ := write(t, []record{{10, []int32{1}}, {20, []int32{2}}})
	for i := range good {
		t.Run(fmt.Sprintf("byte %d", i), func(t *testing.T) {
			bad := slices.Clone(good)
			bad[i] ^= 0x80
			index, err := shardindex.Open(t.Context(), &object{data: bad})
			if err == nil && i < 6 { // In the lists, which have no checksum; the records have.
				_, _, err = index.Read(t.Context(), 1, shardindex.Cursor{}, 10)
				if err == nil || errors.Is(err, shardindex.ErrCorrupt) {
					return
				}
			}
			if !errors.Is(err, shardindex.ErrCorrupt) {
				t.Errorf("%v", err)
			}
		})
	}
	for n := range len(good) {
		if _, err := shardindex.Open(t.Context(), &object{data: good[:n]}); !errors.Is(err, shardindex.ErrCorrupt) {
			t.Errorf("cut to %d bytes: %v", n, err)
		}
	}
}

func FuzzRead(f *testing.F) {
	one, _ := write(f, []record{{10, []int32{1}}, {20, []int32{2, 1}}})
	f.Add(one, 1, int64(0), int64(0), int64(0))
	f.Add(one, 2, int64(1), int64(5), int64(1<<62))
	f.Fuzz(func(t *testing.T, data []byte, label int, at, place, offset int64) {
		index, err := shardindex.Open(t.Context(), &object{data: data})
		if err == nil {
			_, _, err = index.Read(t.Context(), label, shardindex.Cursor{At: at, Index: place, Offset: offset}, 100)
		}
		if err != nil && !errors.Is(err, shardindex.ErrCorrupt) {
			t.Errorf("unexpected error %v", err)
		}
	})
}

func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte{1, 2, 3, 1, 1, 9})
	f.Fuzz(func(t *testing.T, script []byte) {
		var records []record
		for i := 0; i+1 < len(script); i += 2 {
			records = append(records, record{int64(script[i]) << (script[i] % 30), []int32{int32(script[i+1]), int32(script[i] % 4)}})
		}
		data, want := write(t, records)
		index, _ := open(t, data)
		for label := range 256 {
			if got := read(t, index, label, 3); !slices.Equal(got, want[label]) {
				t.Errorf("label %d: %v, want %v", label, got, want[label])
			}
		}
	})
}
