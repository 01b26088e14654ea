package inflate

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/iotest"
)

func gzipped(tb testing.TB, members ...[]byte) []byte {
	tb.Helper()
	var packed bytes.Buffer
	for i, data := range members {
		w := gzip.NewWriter(&packed)
		w.Name = fmt.Sprint("member ", i)
		if _, err := w.Write(data); err != nil {
			tb.Fatal(err)
		}
		if err := w.Close(); err != nil {
			tb.Fatal(err)
		}
	}
	return packed.Bytes()
}

func ungzip(in io.Reader) ([]byte, error) {
	g, err := NewGzip(bufio.NewReader(in))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(g)
}

func TestGzip(t *testing.T) {
	text := samples()["text"]
	packed := gzipped(t, text, nil, []byte("more"))
	want := append(bytes.Clone(text), "more"...)
	for how, in := range map[string]io.Reader{"whole": bytes.NewReader(packed), "byte for byte": iotest.OneByteReader(bytes.NewReader(packed))} {
		if got, err := ungzip(in); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v, or other data", how, err)
		}
	}

	one := gzipped(t, text)
	var again Gzip
	for range 2 { // a file that breaks off leaves nothing behind for the next
		if err := again.Reset(bufio.NewReader(bytes.NewReader(one[:len(one)/2]))); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(&again); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("half: %v", err)
		}
		if err := again.Reset(bufio.NewReader(bytes.NewReader(packed))); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(&again); err != nil || !bytes.Equal(got, want) {
			t.Errorf("after another one: %v, or other data", err)
		}
	}
	for name, test := range map[string]struct {
		change func(packed []byte) []byte
		want   error
	}{
		"no bytes":         {func([]byte) []byte { return nil }, io.EOF},
		"no gzip":          {func([]byte) []byte { return bytes.Repeat([]byte("x"), 100) }, gzip.ErrHeader},
		"another checksum": {func(p []byte) []byte { p[len(p)-5] ^= 1; return p }, gzip.ErrChecksum},
		"another size":     {func(p []byte) []byte { p[len(p)-1] ^= 1; return p }, gzip.ErrChecksum},
		"no trailer":       {func(p []byte) []byte { return p[:len(p)-8] }, io.ErrUnexpectedEOF},
		"half a trailer":   {func(p []byte) []byte { return p[:len(p)-3] }, io.ErrUnexpectedEOF},
		"half":             {func(p []byte) []byte { return p[:len(p)/2] }, io.ErrUnexpectedEOF},
		"half a head":      {func(p []byte) []byte { return append(p, p[:5]...) }, io.ErrUnexpectedEOF},
		"litter behind":    {func(p []byte) []byte { return append(p, bytes.Repeat([]byte("x"), 100)...) }, gzip.ErrHeader},
	} {
		if _, err := ungzip(bytes.NewReader(test.change(bytes.Clone(one)))); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
}
