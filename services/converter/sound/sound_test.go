package sound

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/trainyard/trainyard/services/converter/reject"
)

// decode is what a caller does with a whole file.
func decode(d *Decoder, data []byte, t Type) (Info, []byte, *Problem) {
	in, size, p := d.Measure(data, t)
	if p != nil {
		return in, nil, p
	}
	dst := make([]byte, size)
	return in, dst, d.Decode(dst, data, &in, t, true)
}

func read(tb testing.TB, name string) []byte {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// The files of testdata were written by libsndfile 1.2.2 and libFLAC; the digests are of what libsndfile reads from them as the same type.
func TestDecodeAsLibsndfile(t *testing.T) {
	tests := []struct {
		name                   string
		channels, rate, frames int
		as                     Type
		digest                 string
	}{
		{"mono8.flac", 1, 8000, 4700, Int16, "3b2483ad118dac8f5cd7fa9dca1cdd06"},
		{"stereo16.flac", 2, 24000, 4700, Int16, "1824ae73b1b0ddebf0cac4a8d94577cd"},
		{"stereo24.flac", 2, 44100, 4700, Int32, "2d22581c12ae09dd566041244b72c50e"},
		{"six16.flac", 6, 16000, 4700, Int16, "9cd2f1546194d2eabda8c575c46a0e68"},
		{"stereo.alaw.wav", 2, 8000, 400, Int16, "a05ae17f701cec04617630f1acc88afb"},
		{"mono.ulaw.wav", 1, 8000, 400, Int16, "13726dc5d7789a3ff539a58e6a4a76e1"},
		{"six24.wav", 6, 48000, 400, Int32, "730a76128c646f237bbf63c2f8759701"},
		{"float.wav", 2, 48000, 400, Float32, "936ca9574ae45fb8ee4f05831770545c"},
		{"rf64.wav", 1, 16000, 400, Int16, "026dcdd53bb0b792213827a19c770c79"},
		{"mono8.wav", 1, 8000, 400, Int16, "fbd3c9c7a905cdcdfae8a451a320c3e2"},
	}
	var d Decoder // one for all
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			data := read(t, tt.name)
			in, samples, p := decode(&d, data, tt.as)
			if p != nil {
				t.Fatal(p.Message)
			}
			if in.Channels != tt.channels || in.SampleRate != tt.rate || in.Frames != int64(tt.frames) || in.Clamped {
				t.Errorf("%+v", in)
			}
			var precision Precision
			if precision.Add(&in); precision.Type() != tt.as {
				t.Errorf("kept as %s, want %s", precision.Type(), tt.as)
			}
			if sum := sha256.Sum256(samples); hex.EncodeToString(sum[:16]) != tt.digest {
				t.Errorf("the samples have digest %x, want %s", sum[:16], tt.digest)
			}
			if head, p := Inspect(data[:256], int64(len(data))); p != nil || head.SampleRate != in.SampleRate || head.Channels != in.Channels || head.BitDepth != in.BitDepth {
				t.Errorf("by its head, the file is %+v (%v)", head, p)
			}
			data[len(data)/2] ^= 0x10
			if _, _, p := decode(&d, data, tt.as); in.Container == "flac" && (p == nil || p.Reason != reject.MalformedAudio && p.Reason != reject.TruncatedAudio) {
				t.Errorf("with a flipped bit: %+v", p)
			}
		})
	}
}

func TestPrecision(t *testing.T) {
	i := func(bits int) Info { return Info{BitDepth: bits} }
	f := func(bits int) Info { return Info{BitDepth: bits, Float: true} }
	tests := []struct {
		files []Info
		want  Type
	}{
		{nil, Int16},
		{[]Info{i(8), i(16)}, Int16},
		{[]Info{i(16), i(20)}, Int32},
		{[]Info{i(24), f(32), i(16)}, Float32},
		{[]Info{i(32), f(32)}, Float64},
		{[]Info{f(64), i(8)}, Float64},
	}
	for _, tt := range tests {
		var p Precision
		for _, in := range tt.files {
			p.Add(&in)
		}
		if p.Type() != tt.want {
			t.Errorf("%+v give %s, want %s", tt.files, p.Type(), tt.want)
		}
		for _, in := range tt.files {
			if !p.Type().holds(&in) {
				t.Errorf("%s doesn't hold %+v", p.Type(), in)
			}
		}
	}
}

// values reads samples back as numbers.
func values(b []byte, t Type) []float64 {
	var v []float64
	for ; len(b) > 0; b = b[t.Size():] {
		switch t {
		case Int16:
			v = append(v, float64(int16(binary.LittleEndian.Uint16(b))))
		case Int32:
			v = append(v, float64(int32(binary.LittleEndian.Uint32(b))))
		case Float32:
			v = append(v, float64(math.Float32frombits(binary.LittleEndian.Uint32(b))))
		default:
			v = append(v, math.Float64frombits(binary.LittleEndian.Uint64(b)))
		}
	}
	return v
}

func chunk(id string, length uint32, body ...byte) []byte {
	return append(binary.LittleEndian.AppendUint32([]byte(id), length), body...)
}

// format is the body of a format chunk; more is put behind it.
func format(code, channels, rate, align, bits int, more ...byte) []byte {
	b := binary.LittleEndian.AppendUint16(nil, uint16(code))
	b = binary.LittleEndian.AppendUint16(b, uint16(channels))
	b = binary.LittleEndian.AppendUint32(b, uint32(rate))
	b = binary.LittleEndian.AppendUint32(b, uint32(rate*align))
	b = binary.LittleEndian.AppendUint16(b, uint16(align))
	b = append(binary.LittleEndian.AppendUint16(b, uint16(bits)), more...)
	return chunk("fmt ", uint32(len(b)), b...)
}

func riff(chunks ...[]byte) []byte {
	body := bytes.Join(chunks, nil)
	return append(append(chunk("RIFF", uint32(4+len(body))), "WAVE"...), body...)
}

func TestWAV(t *testing.T) {
	mono16 := format(wavePCM, 1, 8000, 2, 16)
	extra := append([]byte{22, 0, 12, 0, 0, 0, 0, 0, wavePCM, 0}, subFormat...)
	floats := binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, math.Float64bits(1.5)), math.Float64bits(-1e-300))
	tests := []struct {
		name    string
		data    []byte
		as      Type
		want    []float64
		clamped bool
	}{
		{"8 bits are unsigned", riff(format(wavePCM, 1, 8000, 1, 8), chunk("data", 3, 0, 128, 255)), Int16, []float64{-32768, 0, 32512}, false},
		{"16 bits", riff(mono16, chunk("data", 4, 1, 0, 0, 0x80)), Int16, []float64{1, -32768}, false},
		{"16 bits as float", riff(mono16, chunk("data", 4, 0, 0x40, 0, 0x80)), Float32, []float64{0.5, -1}, false},
		{"24 bits", riff(format(wavePCM, 1, 8000, 3, 24), chunk("data", 6, 1, 0, 0, 0xff, 0xff, 0xff)), Int32, []float64{256, -256}, false},
		{"24 bits as float", riff(format(wavePCM, 1, 8000, 3, 24), chunk("data", 3, 0xff, 0xff, 0x7f)), Float32, []float64{1 - 1.0/(1<<23)}, false},
		{"32 bits", riff(format(wavePCM, 1, 8000, 4, 32), chunk("data", 4, 1, 0, 0, 0x80)), Int32, []float64{-1<<31 + 1}, false},
		{"32 bits as double", riff(format(wavePCM, 1, 8000, 4, 32), chunk("data", 4, 1, 0, 0, 0x80)), Float64, []float64{-1 + 1.0/(1<<31)}, false},
		{"double", riff(format(waveFloat, 1, 8000, 8, 64), chunk("data", 16, floats...)), Float64, []float64{1.5, -1e-300}, false},
		{"12 bits in extensible 16", riff(format(waveExtensible, 1, 8000, 2, 16, extra...), chunk("data", 2, 0x10, 0)), Int16, []float64{16}, false},
		{"24 bits in 4 bytes", riff(format(wavePCM, 1, 8000, 4, 24), chunk("data", 4, 0, 1, 0, 0)), Int32, []float64{256}, false},
		{"no alignment", riff(format(wavePCM, 2, 8000, 0, 16), chunk("data", 4, 1, 0, 2, 0)), Int16, []float64{1, 2}, false},
		{"half a frame at the end", riff(format(wavePCM, 2, 8000, 4, 16), chunk("data", 6, 1, 0, 2, 0, 3, 0)), Int16, []float64{1, 2}, false},
		{"odd chunks before and after", riff(chunk("LIST", 3, 'a', 'b', 'c', 0), mono16, chunk("junk", 1, 0, 0), chunk("data", 2, 1, 0), chunk("LIST", 2, 'a', 'b')), Int16, []float64{1}, false},
		{"longer than the file", riff(mono16, chunk("data", 1<<31, 1, 0, 2)), Int16, []float64{1}, true},
		{"cut off", riff(mono16, chunk("data", 4, 1, 0, 2)), Int16, []float64{1}, true},
		{"length unknown", riff(mono16, chunk("data", unknownSize, 1, 0)), Int16, []float64{1}, true},
		{"writer died", append([]byte("RIFF\x00\x00\x00\x00WAVE"), append(mono16, chunk("data", 0, 1, 0)...)...), Int16, []float64{1}, true},
		{"RF64 that lies", append([]byte("RF64\xff\xff\xff\xffWAVE"), bytes.Join([][]byte{
			chunk("ds64", 16, bytes.Repeat([]byte{0xff}, 16)...), mono16, chunk("data", unknownSize, 1, 0),
		}, nil)...), Int16, []float64{1}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in, samples, p := decode(new(Decoder), tt.data, tt.as)
			if p != nil {
				t.Fatal(p.Message)
			}
			got := values(samples, tt.as)
			if in.Cut != (tt.name == "cut off") {
				t.Errorf("cut: %v", in.Cut)
			}
			if in.Clamped != tt.clamped || len(got) != len(tt.want) {
				t.Fatalf("%v, clamped %v; want %v, %v", got, in.Clamped, tt.want, tt.clamped)
			}
			for i := range got {
				if got[i] != tt.want[i] {
					t.Fatalf("got %v, want %v", got, tt.want)
				}
			}
		})
	}
}

func TestHostile(t *testing.T) {
	mono16 := format(wavePCM, 1, 8000, 2, 16)
	data := chunk("data", 2, 1, 0)
	whole := read(t, "stereo16.flac")
	claims := func(frames uint64) []byte { return flacFile(1, 16, frames)[:100] }
	tests := []struct {
		name   string
		data   []byte
		reason reject.Reason
	}{
		{"nothing", nil, reject.TruncatedAudio},
		{"text", []byte("this is no sound at all"), reject.MalformedAudio},
		{"MP3", append([]byte("ID3\x04\x00\x00\x00\x00\x00\x02xx\xff\xfb"), make([]byte, 20)...), reject.UnsupportedAudio},
		{"tag of 256 MiB", []byte("ID3\x04\x00\x00\x7f\x7f\x7f\x7fxx"), reject.UnsupportedAudio},
		{"Ogg", []byte("OggS\x00\x02\x00\x00\x00\x00\x00\x00"), reject.UnsupportedAudio},
		{"big-endian WAV", []byte("RIFX\x00\x00\x00\x00WAVE"), reject.UnsupportedAudio},
		{"WAV without chunks", riff(), reject.TruncatedAudio},
		{"WAV without samples", riff(mono16), reject.TruncatedAudio},
		{"WAV of no samples", riff(mono16, chunk("data", 0)), reject.EmptyFile},
		{"WAV with less than a sample", riff(mono16, chunk("data", 1, 1)), reject.EmptyFile},
		{"WAV without format", riff(data), reject.MalformedAudio},
		{"WAV that ends in its format", riff(mono16[:20]), reject.TruncatedAudio},
		{"WAV with a short format", riff(chunk("fmt ", 4, 1, 0, 1, 0), data), reject.MalformedAudio},
		{"WAV of no channels", riff(format(wavePCM, 0, 8000, 2, 16), data), reject.MalformedAudio},
		{"WAV of 65,535 channels", riff(format(wavePCM, 65535, 8000, 2, 16), data), reject.MalformedAudio},
		{"WAV of 0 Hz", riff(format(wavePCM, 1, 0, 2, 16), data), reject.MalformedAudio},
		{"WAV of 4 GHz", riff(format(wavePCM, 1, math.MaxUint32, 2, 16), data), reject.MalformedAudio},
		{"WAV of 0 bits", riff(format(wavePCM, 1, 8000, 0, 0), data), reject.MalformedAudio},
		{"WAV of 64-bit integers", riff(format(wavePCM, 1, 8000, 8, 64), chunk("data", 8, make([]byte, 8)...)), reject.MalformedAudio},
		{"WAV of crooked alignment", riff(format(wavePCM, 2, 8000, 3, 16), data), reject.MalformedAudio},
		{"WAV with ADPCM", riff(format(2, 1, 8000, 2, 4), data), reject.UnsupportedAudio},
		{"WAV with an unknown GUID", riff(format(waveExtensible, 1, 8000, 2, 16, make([]byte, 24)...), data), reject.UnsupportedAudio},
		{"WAV with a NaN", riff(format(waveFloat, 1, 8000, 4, 32), chunk("data", 4, 0, 0, 0xc0, 0x7f)), reject.MalformedAudio},
		{"WAV of an hour of stereo", riff(format(wavePCM, 2, 48000, 4, 16), chunk("data", MaxBytes+4, make([]byte, MaxBytes+4)...)), reject.TooLong},
		{"FLAC of 2^36 samples in 100 bytes", claims(1<<36 - 1), reject.TruncatedAudio},
		{"FLAC of 2^32 samples in 1 MiB", append(claims(1<<32), make([]byte, 1<<20)...), reject.TooLong},
		{"FLAC of a million samples in 100 bytes", claims(1 << 20), reject.TruncatedAudio},
		{"FLAC of 0 Hz", flacWith(func(b []byte) { b[18], b[19], b[20] = 0, 0, b[20]&15 }), reject.MalformedAudio},
		{"FLAC of 1 bit", flacFile(1, 1, 1), reject.MalformedAudio},
		{"FLAC without streaminfo", flacWith(func(b []byte) { b[4] = 4 }), reject.MalformedAudio},
		{"FLAC with metadata without end", flacWith(func(b []byte) { b[4] = 0 }), reject.TruncatedAudio},
		{"FLAC cut in its header", whole[:30], reject.TruncatedAudio},
		{"FLAC cut in half", whole[:len(whole)/2], reject.TruncatedAudio},
		{"FLAC without its last byte", whole[:len(whole)-1], reject.TruncatedAudio},
		{"FLAC with a wrong checksum of all", flacWith(func(b []byte) { b[26] ^= 1 }), reject.MalformedAudio},
		{"FLAC with more than it says", flacFile(1, 16, 10, constant(1, 16, 0, 16, 5)), reject.MalformedAudio},
		{"FLAC of unknown length without frames", flacFile(1, 16, 0), reject.EmptyFile},
		{"FLAC of unknown length and much silence", flacFile(1, 16, 0, constant(1, 16, 0, 1<<16, 0)), reject.TooLong},
		{"FLAC of unknown length without end", flacFile(1, 16, 0, bytes.Repeat(constant(1, 16, 0, 1<<16, 5), 600)), reject.TooLong},
		{"FLAC that changes its channels", flacFile(1, 16, 32, constant(1, 16, 0, 16, 5), constant(2, 16, 1, 16, 5, 6)), reject.MalformedAudio},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			as := Int16
			if bytes.Contains(tt.data[:min(len(tt.data), 40)], []byte("fmt \x10\x00\x00\x00\x03")) {
				as = Float32
			}
			in, _, p := decode(new(Decoder), tt.data, as)
			switch {
			case p == nil:
				t.Errorf("accepted as %+v, want %s", in, tt.reason)
			case p.Reason != tt.reason || p.Message == "" || p.Short:
				t.Errorf("%+v, want %s", *p, tt.reason)
			}
		})
	}
}

func TestInspectAsksForMore(t *testing.T) {
	far := riff(chunk("JUNK", 5000, make([]byte, 5000)...), format(wavePCM, 1, 8000, 2, 16), chunk("data", 2, 1, 0))
	tagged := append([]byte("ID3\x04\x00\x00\x00\x00\x27\x08"), append(make([]byte, 5000), read(t, "mono8.flac")...)...)
	for name, data := range map[string][]byte{"WAV": far, "FLAC": tagged} {
		if _, p := Inspect(data[:4096], int64(len(data))); p == nil || !p.Short {
			t.Errorf("%s: %+v, want a wish for more", name, p)
		}
		if in, _, p := decode(new(Decoder), data, Int16); p != nil || in.SampleRate != 8000 {
			t.Errorf("%s: %+v, %v", name, in, p)
		}
	}
}

func TestAllocations(t *testing.T) {
	for _, name := range []string{"stereo24.flac", "six24.wav", "mono8.wav", "float.wav"} {
		data := read(t, name)
		var d Decoder
		dst := make([]byte, MaxBytes/64)
		as := Int32
		if name == "float.wav" {
			as = Float32
		}
		if n := testing.AllocsPerRun(20, func() {
			in, size, p := d.Measure(data, as)
			if p == nil {
				p = d.Decode(dst[:size], data, &in, as, false)
			}
			if p != nil {
				t.Fatal(p.Message)
			}
		}); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
