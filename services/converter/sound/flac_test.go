package sound

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// bitWriter writes bits from the highest to the lowest.
type bitWriter struct {
	data []byte
	n    int // bits in use
}

func (w *bitWriter) put(v int64, width int) {
	for i := width - 1; i >= 0; i-- {
		if w.n%8 == 0 {
			w.data = append(w.data, 0)
		}
		w.data[w.n/8] |= byte(v>>i&1) << (7 - w.n%8)
		w.n++
	}
}

// flacFrame is a frame of the block size and channel assignment that leaves rate and bits to streaminfo; body writes the subframes.
func flacFrame(size, assignment int, body func(w *bitWriter)) []byte {
	head := binary.BigEndian.AppendUint16([]byte{0xff, 0xf8, 7 << 4, byte(assignment << 4), 0}, uint16(size-1))
	w := bitWriter{data: append(head, crc8(head))}
	w.n = 8 * len(w.data)
	body(&w)
	return binary.BigEndian.AppendUint16(w.data, crc16(w.data))
}

// constant is a frame of channels that each hold one value throughout.
func constant(channels, depth, assignment, size int, values ...int64) []byte {
	return flacFrame(size, assignment, func(w *bitWriter) {
		for _, v := range values[:channels] {
			w.put(0, 8)
			w.put(v, depth)
		}
	})
}

// flacFile is a FLAC of 8000 Hz with no checksum of all; frames 0 says that their number is unknown.
func flacFile(channels, depth int, frames uint64, body ...[]byte) []byte {
	b := append([]byte("fLaC\x80\x00\x00\x22"), 0, 16, 0xff, 0xff, 0, 0, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint64(b, 8000<<44|uint64(channels-1)<<41|uint64(depth-1)<<36|frames)
	b = append(b, make([]byte, 16)...)
	if body == nil {
		body = [][]byte{nil}
	}
	if frames > 1<<18 {
		body = append(body, make([]byte, 100))
	}
	return append(b, bytes.Join(body, nil)...)
}

// flacWith is a sound FLAC with its header changed.
func flacWith(change func(b []byte)) []byte {
	b := flacFile(1, 16, 16, constant(1, 16, 0, 16, 5))
	change(b)
	return b
}

// What libFLAC's encoder doesn't write for the files of testdata.
func TestFLACSubframes(t *testing.T) {
	const top = 1 << 31
	tests := []struct {
		name     string
		channels int
		depth    int
		frames   uint64
		frame    []byte
		as       Type
		want     []float64
	}{
		{"length unknown", 1, 16, 0, constant(1, 16, 0, 3, -7), Int16, []float64{-7, -7, -7}},
		{"20 bits", 1, 20, 2, constant(1, 20, 0, 2, -7), Int32, []float64{-7 << 12, -7 << 12}},
		{"left and side of 32 bits", 2, 32, 1, flacFrame(1, leftSide, func(w *bitWriter) {
			w.put(0, 8)
			w.put(top-1, 32)
			w.put(1<<1, 8) // verbatim
			w.put(2*top-1, 33)
		}), Int32, []float64{top - 1, -top}},
		{"side and right", 2, 16, 1, flacFrame(1, sideRight, func(w *bitWriter) {
			w.put(0, 8)
			w.put(-3, 17)
			w.put(0, 8)
			w.put(5, 16)
		}), Int16, []float64{2, 5}},
		{"mid and odd side", 2, 16, 1, flacFrame(1, midSide, func(w *bitWriter) {
			w.put(0, 8)
			w.put(5, 16)
			w.put(0, 8)
			w.put(-3, 17)
		}), Int16, []float64{4, 7}},
		{"wasted bits", 1, 16, 2, flacFrame(2, 0, func(w *bitWriter) {
			w.put(1<<1|1, 8)
			w.put(1, 3) // 3 wasted
			w.put(-1, 13)
			w.put(2, 13)
		}), Int16, []float64{-8, 16}},
		{"escaped residual, of no bits too", 1, 16, 4, flacFrame(4, 0, func(w *bitWriter) {
			w.put(9<<1, 8) // fixed, order 1
			w.put(10, 16)
			w.put(0, 2)
			w.put(1, 4) // two partitions
			w.put(15, 4)
			w.put(3, 5)
			w.put(-4, 3)
			w.put(15, 4)
			w.put(0, 5)
		}), Int16, []float64{10, 6, 6, 6}},
		{"five bits of Rice parameter, long run of zeros", 1, 24, 2, flacFrame(2, 0, func(w *bitWriter) {
			w.put(8<<1, 8) // fixed, order 0
			w.put(1, 2)
			w.put(0, 4)
			w.put(0, 5)
			w.put(0, 100)
			w.put(1, 1) // 100 folded is 50
			w.put(1, 2) // 1 folded is -1
		}), Int32, []float64{50 << 8, -1 << 8}},
		{"linear prediction", 1, 16, 3, flacFrame(3, 0, func(w *bitWriter) {
			w.put(33<<1, 8) // order 2
			w.put(100, 16)
			w.put(200, 16)
			w.put(3, 4) // precision 4
			w.put(1, 5) // shift 1
			w.put(4, 4) // 2 × the last
			w.put(-2, 4)
			w.put(0, 2)
			w.put(0, 4)
			w.put(0, 4)
			w.put(1, 1)
		}), Int16, []float64{100, 200, 300}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in, samples, p := decode(new(Decoder), flacFile(tt.channels, tt.depth, tt.frames, tt.frame), tt.as)
			if p != nil {
				t.Fatal(p.Message)
			}
			got := values(samples, tt.as)
			if len(got) != len(tt.want) || in.Channels != tt.channels {
				t.Fatalf("got %v, want %v", got, tt.want)
			}
			for i := range got {
				if got[i] != tt.want[i] {
					t.Fatalf("got %v, want %v", got, tt.want)
				}
			}
		})
	}
}

// check tries everything with data, whatever they are.
func check(t *testing.T, d *Decoder, data []byte) {
	for _, as := range []Type{Int16, Int32, Float32, Float64} {
		in, samples, p := decode(d, data, as)
		if p != nil {
			if p.Reason == "" || p.Message == "" || p.Short {
				t.Errorf("incomplete problem %+v", *p)
			}
			continue
		}
		if in.Frames < 1 || in.Channels < 1 || in.SampleRate < 1 || int64(len(samples)) != in.Frames*int64(in.Channels*as.Size()) {
			t.Errorf("accepted %+v with %d bytes", in, len(samples))
		}
	}
	for _, n := range []int{0, 11, 12, 40, 50, 100} {
		if n < len(data) {
			Inspect(data[:n], int64(len(data)))
		}
	}
}

func FuzzWAV(f *testing.F) {
	for _, name := range []string{"mono8.wav", "six24.wav", "rf64.wav", "float.wav", "mono.ulaw.wav"} {
		f.Add(read(f, name)[:300])
	}
	f.Add(riff(chunk("LIST", 3, 'a', 'b', 'c', 0), format(wavePCM, 1, 8000, 2, 16), chunk("data", unknownSize, 1, 0)))
	var d Decoder
	f.Fuzz(func(t *testing.T, data []byte) { check(t, &d, data) })
}

// FuzzFLAC mends the checksums, without which a fuzzer gets no further than the first frame's header.
func FuzzFLAC(f *testing.F) {
	f.Add(flacFile(1, 16, 16, constant(1, 16, 0, 16, 5)), true)
	f.Add(flacFile(2, 32, 0, constant(2, 32, midSide, 16, 5, 6), constant(2, 32, leftSide, 16, 5, 6)), true)
	f.Add(read(f, "mono8.flac")[:1500], false)
	var d Decoder
	f.Fuzz(func(t *testing.T, data []byte, mend bool) {
		check(t, &d, data)
		in, p := Inspect(data, int64(len(data)))
		if p != nil || in.coding != codingFLAC || !mend || len(data) <= 52 {
			return
		}
		body := data[42:] // one frame, with its header taken as it is
		for n := 6; n < min(len(body)-4, 16); n++ {
			frame := bytes.Clone(body)
			frame[n] = crc8(frame[:n])
			if _, p := readFrameHeader(frame, &in); p == nil {
				d.flac.frame(frame, &in)
			}
		}
	})
}

func BenchmarkFLAC(b *testing.B) {
	data := read(b, "stereo16.flac")
	var d Decoder
	in, size, p := d.Measure(data, Int16)
	if p != nil {
		b.Fatal(p.Message)
	}
	dst := make([]byte, size)
	b.SetBytes(int64(size))
	for b.Loop() {
		d.Decode(dst, data, &in, Int16, false)
	}
}
