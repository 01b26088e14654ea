package inflate

import (
	"bufio"
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"

	kflate "github.com/klauspost/compress/flate"
)

// samples are data of several kinds, by name.
func samples() map[string][]byte {
	rng := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 70_000)
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	skewed := make([]byte, 100_000) // codes longer than the first look-up takes
	for i := range skewed {
		skewed[i] = byte(min(255, int(rng.ExpFloat64()*12)))
	}
	var text bytes.Buffer
	for i := range 3_000 {
		fmt.Fprintf(&text, "%d,%d,the number %d of the row\n", i, rng.IntN(1000), i*i)
	}
	far := append(append(bytes.Clone(noise[:32<<10]), noise[:32<<10]...), noise[:300]...) // matches 32 KiB back
	return map[string][]byte{
		"empty": nil, "one": {1}, "noise": noise, "skewed": skewed, "text": text.Bytes(), "far": far,
		"zeros": make([]byte, 100_000), "threes": bytes.Repeat([]byte("abc"), 30_000), "sevens": bytes.Repeat([]byte("abcdefg"), 9_999),
	}
}

func deflate(tb testing.TB, data []byte, level int) []byte {
	tb.Helper()
	var packed bytes.Buffer
	w, err := flate.NewWriter(&packed, level)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return packed.Bytes()
}

func TestReader(t *testing.T) {
	var r Reader // reused for all
	for name, data := range samples() {
		for _, level := range []int{flate.HuffmanOnly, flate.NoCompression, 1, 6, 9} {
			packed := deflate(t, data, level)
			dst := make([]byte, len(data))
			if err := r.Decode(dst, packed); err != nil || !bytes.Equal(dst, data) {
				t.Errorf("%s, level %d: Decode: %v, or other data", name, level, err)
			}
			if err := r.Decode(make([]byte, len(data)+1), packed); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%s, level %d: Decode of less than expected: %v", name, level, err)
			}
			if len(data) > 0 {
				if err := r.Decode(make([]byte, len(data)-1), packed); !errors.Is(err, ErrLong) {
					t.Errorf("%s, level %d: Decode of more than expected: %v", name, level, err)
				}
				if err := r.Decode(dst, packed[:len(packed)-1]); !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("%s, level %d: Decode of data cut short: %v", name, level, err)
				}
			}
			for _, size := range []int{1, 7, 1000, 50 << 10} {
				data, packed := data, packed
				if most := 10_000 * size; len(data) > most {
					data = data[:most]
					packed = deflate(t, data, level)
				}
				inStream := append(bytes.Clone(packed), "behind"...)
				for how, in := range map[string]io.Reader{
					"whole":         bytes.NewReader(inStream),
					"byte for byte": iotest.OneByteReader(bytes.NewReader(inStream)),
				} {
					src := bufio.NewReaderSize(in, 4096)
					r.Reset(src)
					got, err := io.ReadAll(sized{&r, size})
					if err != nil || !bytes.Equal(got, data) {
						t.Fatalf("%s, level %d, %s by %d: %v, or other data", name, level, how, size, err)
					}
					if rest, err := io.ReadAll(src); err != nil || string(rest) != "behind" {
						t.Fatalf("%s, level %d, %s by %d: %q left behind the stream (%v)", name, level, how, size, rest, err)
					}
				}
			}
		}
	}
}

// sized reads a few bytes at once.
type sized struct {
	r io.Reader
	n int
}

func (s sized) Read(p []byte) (int, error) { return s.r.Read(p[:min(len(p), s.n)]) }

// What is damaged behind the bytes that were asked for stays damaged, also where nothing but the end should follow.
func TestErrorsStay(t *testing.T) {
	packed := []byte{0, 3, 0, 0xfc, 0xff, 'a', 'b', 'c', 7} // a stored block, and a last one of a type that doesn't exist
	var r Reader
	r.Reset(bufio.NewReader(bytes.NewReader(packed)))
	got := make([]byte, 3)
	if n, err := r.Read(got); string(got[:n]) != "abc" || err != nil && !errors.Is(err, ErrCorrupt) {
		t.Errorf("read %q: %v", got[:n], err)
	}
	for range 2 {
		if n, err := r.Read(got); n != 0 || !errors.Is(err, ErrCorrupt) {
			t.Errorf("read %d bytes more: %v", n, err)
		}
	}
}

func TestFailingSource(t *testing.T) {
	failure := errors.New("the network is down")
	packed := deflate(t, samples()["text"], 6)
	for _, n := range []int{0, 1, 10, 100, len(packed) - 1} {
		var r Reader
		r.Reset(bufio.NewReader(io.MultiReader(bytes.NewReader(packed[:n]), iotest.ErrReader(failure))))
		if _, err := io.Copy(io.Discard, &r); !errors.Is(err, failure) {
			t.Errorf("after %d bytes: %v", n, err)
		}
	}
}

// compare inflates by this package, whole and piece by piece, and by the standard library, and tells where they differ.
func compare(packed []byte, r *Reader) error {
	const limit = 1 << 20
	peer := flate.NewReader(bytes.NewReader(packed))
	want, wantErr := io.ReadAll(io.LimitReader(peer, limit))
	if len(want) == limit {
		return nil
	}
	got := make([]byte, len(want))
	if err := r.Decode(got, packed); (err == nil) != (wantErr == nil) {
		return fmt.Errorf("whole: %w, where compress/flate gives %w", err, wantErr)
	} else if err == nil && !bytes.Equal(got, want) {
		return errors.New("whole: other data")
	}
	r.Reset(bufio.NewReaderSize(iotest.HalfReader(bytes.NewReader(packed)), 64))
	got, err := io.ReadAll(sized{r, 999})
	if (err == nil) != (wantErr == nil) {
		return fmt.Errorf("in pieces: %w, where compress/flate gives %w", err, wantErr)
	}
	if err == nil && !bytes.Equal(got, want) {
		return errors.New("in pieces: other data")
	}
	return nil
}

// TestDamaged changes bits of valid streams and holds the verdict against that of the standard library.
func TestDamaged(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var r Reader
	for name, data := range samples() {
		data = data[:min(len(data), 5000)]
		for _, level := range []int{flate.HuffmanOnly, flate.NoCompression, 1, 9} {
			packed := deflate(t, data, level)
			for range 200 {
				damaged := bytes.Clone(packed)
				for range 1 + rng.IntN(3) {
					at := rng.IntN(min(len(damaged), 1+rng.IntN(len(damaged))))
					damaged[at] ^= 1 << rng.IntN(8)
				}
				damaged = damaged[:len(damaged)-rng.IntN(min(len(damaged), 3))]
				if err := compare(damaged, &r); err != nil {
					t.Fatalf("%s, level %d: %v: %x", name, level, err, damaged)
				}
			}
		}
	}
}

func FuzzReader(f *testing.F) {
	for _, data := range samples() {
		f.Add(deflate(f, data[:min(len(data), 1000)], 6))
		f.Add(deflate(f, data[:min(len(data), 1000)], flate.HuffmanOnly))
	}
	f.Fuzz(func(t *testing.T, packed []byte) {
		var r Reader
		if err := compare(packed, &r); err != nil {
			t.Fatal(err)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	for name, data := range samples() {
		packed := deflate(b, data, 6)
		dst := make([]byte, len(data))
		b.Run(name, func(b *testing.B) {
			var r Reader
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if err := r.Decode(dst, packed); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/klauspost", func(b *testing.B) {
			z := kflate.NewReader(nil)
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if err := z.(kflate.Resetter).Reset(bytes.NewReader(packed), nil); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(z, dst); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
