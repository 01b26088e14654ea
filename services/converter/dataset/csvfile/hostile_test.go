package csvfile

import (
	"context"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/dataset/datasettest"
	"github.com/trainyard/trainyard/services/converter/reject"
	"github.com/trainyard/trainyard/services/converter/table/tabletest"
)

// endless is a file of a head and then one byte over and over, which takes no memory.
type endless struct {
	head string
	fill byte
	size int64
}

func (e endless) Len() int            { return 1 }
func (e endless) At(int) dataset.File { return dataset.File{Path: "a.csv", Size: e.size} }
func (e endless) Open(context.Context, int) (io.ReaderAt, error) {
	return e, nil
}

func (e endless) Stream(context.Context, int) (io.ReadCloser, error) {
	return io.NopCloser(io.NewSectionReader(e, 0, e.size)), nil
}

func (e endless) ReadAt(p []byte, off int64) (int, error) {
	if off >= e.size {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), e.size-off)]
	n := 0
	if off < int64(len(e.head)) {
		n = copy(p, e.head[off:])
	}
	for i := n; i < len(p); i++ {
		p[i] = e.fill
	}
	return len(p), nil
}

// TestHostile has a verdict for each attack within five seconds and 64 MiB.
func TestHostile(t *testing.T) {
	for name, c := range map[string]struct {
		file    endless
		refused reject.Reason
		leftOut string // how the one row that is left out is told
	}{
		"16 MB of commas":              {endless{"", ',', 16 << 20}, reject.MalformedTable, ""},
		"16 MB of commas in a row":     {endless{"x,y\n1,2\n", ',', 16 << 20}, "", "3: TOO_LARGE"},
		"a field of 256 MB":            {endless{"x,y\n1,2\n", 'x', 256 << 20}, "", "3: TOO_LARGE"},
		"a quoted field of 256 MB":     {endless{"x,y\n1,2\n\"", 'x', 256 << 20}, "", "3: TOO_LARGE"},
		"a quoted field of many lines": {endless{"x,y\n1,2\n\"", '\n', 64 << 20}, "", "3: MALFORMED_ROW"},
		"quotes":                       {endless{"x,y\n1,2\n", '"', 64 << 20}, "", "3: TOO_LARGE"},
		"NUL bytes":                    {endless{"x,y\n1,2\n", 0, 16 << 20}, reject.UnsupportedEncoding, ""},
		"NUL bytes further on":         {endless{strings.Repeat("1,2\n", 400_000), 0, 16 << 20}, "", "400001: TOO_LARGE"},
		"blank lines":                  {endless{"x,label\n" + strings.Repeat("1,2\n", 10), '\n', 64 << 20}, "", ""},
		"columns without number":       {endless{strings.Repeat(",", 100_000) + "\n", '\n', 1 << 20}, reject.TooManyColumns, ""},
		"quotes never closed":          {endless{"x,y\n1,2\n" + strings.Repeat("\",x\",\"\n", 1<<20), '\n', 16 << 20}, reject.MalformedTable, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			start := datasettest.ProcessorTime(t)
			found := &tabletest.Found{}
			_, err := Reader{}.Index(t.Context(), c.file, dataset.Options{}, found)
			took := datasettest.ProcessorTime(t) - start
			runtime.ReadMemStats(&after)
			var rejected *reject.Error
			errors.As(err, &rejected)
			switch {
			case c.refused != "" && (rejected == nil || rejected.Reason != c.refused), c.refused == "" && err != nil:
				t.Errorf("%v, want %q", err, c.refused)
			case c.leftOut != "" && (len(found.LeftOut) == 0 || !strings.HasPrefix(found.LeftOut[0], c.leftOut)):
				t.Errorf("left out %.200q, want %q", found.LeftOut, c.leftOut)
			}
			datasettest.InTime(t, took)
			if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 64<<20 {
				t.Errorf("the heap grew by %d MiB", grown>>20)
			}
		})
	}
}
