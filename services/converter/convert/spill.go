package convert

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"github.com/trainyard/trainyard/services/converter/archive"
	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/reject"
	"github.com/trainyard/trainyard/services/converter/scratch"
	"github.com/trainyard/trainyard/services/converter/source"
)

// The spill is a file on scratch disk with what can't be read at any offset where it lies: files of rows that are packed,
// and the rows of columnar files. The plan says how it came about, so that every machine that does a task makes the same one.

// spillPlan is how to make the spill again.
type spillPlan struct {
	Bytes int64       `json:"bytes,omitempty"`
	Steps []spillStep `json:"steps,omitempty"`
}

// spillStep appends to the spill: a file's data, or its rows.
type spillStep struct {
	Entry     archive.Entry `json:"entry"`
	Transcode bool          `json:"transcode,omitempty"`
	Offset    int64         `json:"offset,omitempty"` // of the data that are transcoded
	Spilled   bool          `json:"spilled,omitempty"`
}

// spiller makes the spill.
type spiller struct {
	name  string
	limit int64 // bytes

	file    *os.File // under another name until it is whole
	w       *bufio.Writer
	size    int64
	checked int64 // size up to which there was space on the disk
	steps   []spillStep
}

func spillName(scratchDir, key string) string { return filepath.Join(scratchDir, key+".spill") }

func (s *spiller) begin() error {
	if s.file != nil {
		return nil
	}
	f, err := os.CreateTemp(filepath.Dir(s.name), filepath.Base(s.name)+".*")
	if err != nil {
		return scratch.Wrap(err)
	}
	s.file, s.w = f, bufio.NewWriterSize(f, 1<<18)
	return nil
}

// grow notes that n bytes will be written, if there may be and is space for them.
func (s *spiller) grow(n int64) error {
	const step = 64 << 20
	if s.size+n > s.checked {
		if s.size+n > s.limit {
			return reject.New(reject.ArchiveTooLarge,
				"The upload unpacks to more than %d bytes, as only files made to do harm do. Upload it without compression.", s.limit)
		}
		if err := scratch.Check(filepath.Dir(s.name), step); err != nil {
			return err
		}
		s.checked = min(s.size+n+step, s.limit)
	}
	s.size += n
	return nil
}

// Write implements io.Writer.
func (s *spiller) Write(p []byte) (int, error) {
	if err := s.grow(int64(len(p))); err != nil {
		return 0, err
	}
	n, err := s.w.Write(p)
	return n, scratch.Wrap(err)
}

// unpack appends an entry's data and returns where they begin.
func (s *spiller) unpack(ctx context.Context, src source.Source, e archive.Entry) (int64, error) {
	if err := s.begin(); err != nil {
		return 0, err
	}
	r, err := archive.OpenEntry(ctx, src, &e)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	start := s.size
	if _, err := io.Copy(s, r); err != nil {
		return 0, err
	}
	s.steps = append(s.steps, spillStep{Entry: e})
	return start, scratch.Wrap(s.w.Flush())
}

// transcode appends a file's rows, block by block, and calls written with the rows of each and where it lies. A block is the rows one behind
// another, the length of each as a uint32, and their number likewise, little-endian: so a task knows where all rows are without having read them.
func (s *spiller) transcode(ctx context.Context, run dataset.Transcode, file dataset.File, at place, data io.ReaderAt, written func(rows dataset.Rows, off, size int64)) error {
	if err := s.begin(); err != nil {
		return err
	}
	s.steps = append(s.steps, spillStep{Entry: archive.Entry{Path: file.Path, Size: file.Size}, Transcode: true, Offset: at.off, Spilled: at.spilled})
	return run(ctx, file, data, func(rows dataset.Rows) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		block, start := rows.Data, 0
		for _, end := range rows.Ends {
			if end-start > dataset.MaxRowBytes {
				return reject.New(reject.TooLarge, "A row of %q has %d bytes; the limit is %d.", file.Path, end-start, dataset.MaxRowBytes)
			}
			block = binary.LittleEndian.AppendUint32(block, uint32(end-start)) //nolint:gosec // checked above
			start = end
		}
		block = binary.LittleEndian.AppendUint32(block, uint32(len(rows.Ends))) //nolint:gosec // no more than bytes
		off := s.size
		if err := s.grow(int64(len(block))); err != nil {
			return err
		}
		if _, err := s.file.Write(block); err != nil { // s.w has been flushed
			return scratch.Wrap(err)
		}
		if written != nil {
			written(rows, off, int64(len(block)))
		}
		return nil
	})
}

// transcodedRows cuts a block of rows that transcode wrote.
func transcodedRows(data []byte, row func(start, end int)) {
	const lengthBytes = 4
	rest := len(data) - lengthBytes
	if rest < 0 {
		return
	}
	count := int(binary.LittleEndian.Uint32(data[rest:]))
	if count > rest/lengthBytes {
		return
	}
	lengths := data[rest-count*lengthBytes : rest]
	rest -= len(lengths)
	start := 0
	for at := 0; at < len(lengths); at += lengthBytes {
		end := start + int(binary.LittleEndian.Uint32(lengths[at:]))
		if end > rest {
			return
		}
		row(start, end)
		start = end
	}
}

// commit gives the spill its name.
func (s *spiller) commit() (spillPlan, error) {
	if s.file == nil {
		return spillPlan{}, nil
	}
	return spillPlan{Bytes: s.size, Steps: s.steps}, os.Rename(s.file.Name(), s.name)
}

// discard closes the spill and removes it unless it was committed.
func (s *spiller) discard() error {
	if s.file == nil {
		return nil
	}
	err := os.Remove(s.file.Name())
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, s.file.Close())
}

// openSpill opens the plan's spill, or makes it if it isn't there. Processes that want the same take turns. The caller closes it.
func openSpill(ctx context.Context, p *Plan, src source.Source, scratchDir string) (*source.File, error) {
	name := spillName(scratchDir, p.Key)
	lock, err := os.OpenFile(name+".lock", os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // in our own scratch folder
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil { //nolint:gosec // a descriptor fits an int
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	if f, err := source.OpenFile(name); err == nil || !errors.Is(err, os.ErrNotExist) {
		return f, err
	}
	if err := scratch.Check(scratchDir, p.Spill.Bytes); err != nil {
		return nil, err
	}
	s := spiller{name: name, limit: p.Spill.Bytes}
	err = s.replay(ctx, p, src)
	if err == nil && s.size != p.Spill.Bytes {
		err = source.ErrChanged
	}
	if err == nil {
		_, err = s.commit()
	}
	if err = errors.Join(err, s.discard()); err != nil {
		return nil, err
	}
	return source.OpenFile(name)
}

func (s *spiller) replay(ctx context.Context, p *Plan, src source.Source) error {
	reader, err := readerNamed(p.Format.Name)
	if err != nil {
		return err
	}
	for _, step := range p.Spill.Steps {
		if !step.Transcode {
			if _, err := s.unpack(ctx, src, step.Entry); err != nil {
				return err
			}
			continue
		}
		t, ok := reader.(dataset.Transcoder)
		if !ok {
			return errPlanFile
		}
		if err := s.begin(); err != nil {
			return err
		}
		data := readerAt(ctx, src)
		if step.Spilled {
			data = s.file
		}
		file := dataset.File{Path: step.Entry.Path, Size: step.Entry.Size}
		at := place{off: step.Offset, spilled: step.Spilled}
		transcode := func(ctx context.Context, file dataset.File, data io.ReaderAt, rows func(dataset.Rows) error) error {
			return t.Transcode(ctx, p.Index, file, data, rows)
		}
		if err := s.transcode(ctx, transcode, file, at, io.NewSectionReader(data, step.Offset, file.Size), nil); err != nil {
			return err
		}
	}
	return nil
}
