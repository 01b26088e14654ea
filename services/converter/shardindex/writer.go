package shardindex

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"slices"

	"github.com/trainyard/trainyard/services/converter/scratch"
)

// gatherBytes is how much of the lists is put in order in memory at once.
const gatherBytes = 4 << 20

// maxNoted is the most that is noted of a record and one of its labels.
const maxNoted = binary.MaxVarintLen32 + maxPosting

// Writer makes the index of a shard while its records are written. What it notes goes to scratch disk, in the order of the shard;
// Finish puts it in the order of labels. Its memory is 32 bytes for each label up to the largest, and a few buffers.
type Writer struct {
	dir   string
	name  string
	spill *os.File
	out   *bufio.Writer
	next  Posting // the place of the record that comes next
	lists []list  // by label
	buf   []byte
}

type list struct {
	count, bytes int64
	index, end   int64 // after the last record
}

// NewWriter makes the Writer of a shard, with its files in the folder dir. Close it.
func NewWriter(dir, shard string) *Writer {
	return &Writer{dir: dir, name: shard + ".idx", buf: make([]byte, 0, maxNoted)}
}

// Add notes the shard's next record: the length of its data in bytes, and its labels, which may come in any order and several times.
func (w *Writer) Add(length int64, labels []int32) error {
	p := w.next
	p.Length = length
	w.next = Posting{Index: p.Index + 1, Offset: p.end()}
	for _, label := range labels {
		if label < 0 || label > MaxLabel {
			return fmt.Errorf("the label %d can't be indexed; labels go from 0 to %d", label, MaxLabel)
		}
		if int(label) >= len(w.lists) {
			w.lists = slices.Grow(w.lists, int(label)+1-len(w.lists))[:label+1]
		}
		l := &w.lists[label]
		if l.index == w.next.Index {
			continue // noted already
		}
		if w.spill == nil {
			f, err := os.CreateTemp(w.dir, w.name+".*")
			if err != nil {
				return scratch.Wrap(err)
			}
			w.spill, w.out = f, bufio.NewWriterSize(f, 64<<10)
		}
		w.buf = binary.AppendUvarint(w.buf[:0], uint64(label))
		start := len(w.buf)
		w.buf = binary.AppendUvarint(w.buf, uint64(p.Index-l.index)) //nolint:gosec // places only grow
		w.buf = binary.AppendUvarint(w.buf, uint64(p.Offset-l.end))  //nolint:gosec // as above
		w.buf = binary.AppendUvarint(w.buf, uint64(p.Length))        //nolint:gosec // a length
		l.count++
		l.bytes += int64(len(w.buf) - start)
		l.index, l.end = w.next.Index, w.next.Offset
		if _, err := w.out.Write(w.buf); err != nil {
			return scratch.Wrap(err)
		}
	}
	return nil
}

// Empty tells whether no record had a label, so that there is nothing to find.
func (w *Writer) Empty() bool { return len(w.lists) == 0 }

// File is a finished index on scratch disk.
type File struct {
	Path   string
	Bytes  int64
	SHA256 string // hexadecimal
}

// Finish writes the index. The file is the caller's to remove.
func (w *Writer) Finish() (_ File, err error) {
	if w.out != nil {
		if err := w.out.Flush(); err != nil {
			return File{}, scratch.Wrap(err)
		}
	}
	f, err := os.CreateTemp(w.dir, w.name+".*")
	if err != nil {
		return File{}, scratch.Wrap(err)
	}
	defer func() {
		if err = errors.Join(err, f.Close()); err != nil {
			err = errors.Join(scratch.Wrap(err), os.Remove(f.Name()))
		}
	}()
	sum := sha256.New()
	out := bufio.NewWriterSize(io.MultiWriter(f, sum), 64<<10)
	if err := w.gather(out); err != nil {
		return File{}, err
	}
	size := int64(0)
	directory, last := []byte(nil), int64(-1)
	for label, l := range w.lists {
		if l.count == 0 {
			continue
		}
		directory = binary.AppendUvarint(directory, uint64(int64(label)-last)) //nolint:gosec // labels only grow
		directory = binary.AppendUvarint(directory, uint64(l.count))           //nolint:gosec // a count
		directory = binary.AppendUvarint(directory, uint64(l.bytes))           //nolint:gosec // a length
		last = int64(label)
		size += l.bytes
	}
	size += int64(len(directory) + footerBytes)
	footer := binary.LittleEndian.AppendUint64(nil, uint64(len(directory)))
	footer = binary.LittleEndian.AppendUint32(footer, crc32.Checksum(directory, castagnoli))
	_, err = out.Write(slices.Concat(directory, footer, []byte(magic)))
	if err = errors.Join(err, out.Flush()); err != nil {
		return File{}, err
	}
	return File{Path: f.Name(), Bytes: size, SHA256: hex.EncodeToString(sum.Sum(nil))}, nil
}

// gather writes the lists one after the other, as many at a time as fit into memory, each time from the whole of what was noted.
func (w *Writer) gather(out io.Writer) error {
	for from := 0; from < len(w.lists); {
		to, size := from, int64(0)
		for to < len(w.lists) && (to == from || size+w.lists[to].bytes <= gatherBytes) {
			size += w.lists[to].bytes
			to++
		}
		if size > 0 {
			if err := w.gatherRange(out, from, to, size); err != nil {
				return err
			}
		}
		from = to
	}
	return nil
}

// gatherRange writes the lists of a range of labels, which take size bytes together. A list of its own that is larger than
// memory may be goes straight through.
func (w *Writer) gatherRange(out io.Writer, from, to int, size int64) error {
	var all []byte
	at := make([]int64, to-from)
	if to-from > 1 {
		all = make([]byte, size)
		for i := 1; i < len(at); i++ {
			at[i] = at[i-1] + w.lists[from+i-1].bytes
		}
	}
	if _, err := w.spill.Seek(0, io.SeekStart); err != nil {
		return err
	}
	buf, kept := make([]byte, 64<<10), 0
	for {
		n, err := io.ReadFull(w.spill, buf[kept:])
		noted := buf[:kept+n]
		for len(noted) >= maxNoted || n == 0 && len(noted) > 0 {
			label, start := binary.Uvarint(noted)
			end := start
			for range 3 { // numbers, each of which ends with its first byte that is below 0x80
				for noted[end] >= 0x80 {
					end++
				}
				end++
			}
			posting := noted[start:end]
			noted = noted[end:]
			if label < uint64(from) || label >= uint64(to) { //nolint:gosec // indices
				continue
			}
			if all == nil {
				if _, err := out.Write(posting); err != nil {
					return err
				}
				continue
			}
			i := int(label) - from //nolint:gosec // below the number of lists
			at[i] += int64(copy(all[at[i]:], posting))
		}
		if n == 0 {
			if !errors.Is(err, io.EOF) {
				return err
			}
			break
		}
		kept = copy(buf, noted)
	}
	_, err := out.Write(all)
	return err
}

// Close removes what the Writer has noted.
func (w *Writer) Close() error {
	if w.spill == nil {
		return nil
	}
	return errors.Join(w.spill.Close(), os.Remove(w.spill.Name()))
}
