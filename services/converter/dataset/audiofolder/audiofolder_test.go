package audiofolder_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"testing"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/dataset/audiofolder"
	"github.com/trainyard/trainyard/services/converter/dataset/datasettest"
	"github.com/trainyard/trainyard/services/converter/reject"
	"github.com/trainyard/trainyard/services/converter/tfrecord"
)

// wav is a WAV of whole samples in the given coding: 1 is PCM, 3 floats.
func wav(coding, channels, rate, bits int, samples ...byte) []byte {
	align := channels * bits / 8
	b := binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(36+len(samples)))
	b = binary.LittleEndian.AppendUint32(append(b, "WAVEfmt "...), 16)
	b = binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint16(b, uint16(coding)), uint16(channels))
	b = binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(b, uint32(rate)), uint32(rate*align))
	b = binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint16(b, uint16(align)), uint16(bits))
	return append(binary.LittleEndian.AppendUint32(append(b, "data"...), uint32(len(samples))), samples...)
}

// flac is a FLAC of 8 kHz, mono, 8 bits, 4700 samples.
func flac(t *testing.T) []byte {
	t.Helper()
	data, err := os.ReadFile("../../sound/testdata/mono8.flac")
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestConformance(t *testing.T) {
	mono, stereo, f := wav(1, 1, 8000, 16, 1, 0, 2, 0), wav(1, 2, 44100, 24, 1, 2, 3, 4, 5, 6), flac(t)
	lies := bytes.Clone(mono)
	binary.LittleEndian.PutUint32(lies[40:], math.MaxUint32)
	late := append(append(bytes.Clone(mono[:12]), "JUNK\x88\x13\x00\x00"...), append(make([]byte, 5000), mono[12:]...)...)
	datasettest.Run(t, audiofolder.Reader{}, []datasettest.Case{
		{
			Name: "two classes with strays",
			Files: []datasettest.File{
				{Path: "README.txt", Data: []byte("about")},
				{Path: "intro.wav", Data: mono},
				{Path: "no/1.wav", Data: mono},
				{Path: "no/deep/er/2.FLAC", Data: f},
				{Path: "no/3.wav", Data: f}, // misnamed; the content counts
				{Path: "no/4.wav", Data: lies},
				{Path: "no/5.wav", Data: late},
				{Path: "yes/1.wav", Data: mono},
				{Path: "yes/2.flac", Data: f[:len(f)-20]},
				{Path: "yes/3.mp3", Data: []byte("ID3")},
				{Path: "yes/4.wav", Data: nil},
				{Path: "yes/5.zip", Data: []byte("PK")},
				{Path: "yes/6.wav", Data: []byte("a text that is no sound")},
				{Path: "yes/7.wav", Data: wav(1, 0, 8000, 16, 1, 0)},
				{Path: "yes/8.wav", Data: wav(2, 1, 8000, 16, 1, 0)},
				{Path: "yes/9.wav", Data: wav(1, 1, 8000, 16)},
			},
			Classes: []string{"no", "yes"},
			Labels:  map[string]int{"no/1.wav": 0, "no/deep/er/2.FLAC": 0, "no/3.wav": 0, "no/4.wav": 0, "no/5.wav": 0, "yes/1.wav": 1},
			LeftOut: map[string]reject.Reason{
				"README.txt": reject.NotData, "intro.wav": reject.NoClassFolder, "yes/2.flac": reject.TruncatedAudio, "yes/3.mp3": reject.UnsupportedAudio,
				"yes/4.wav": reject.EmptyFile, "yes/5.zip": reject.NestedArchive, "yes/6.wav": reject.MalformedAudio, "yes/7.wav": reject.MalformedAudio,
				"yes/8.wav": reject.UnsupportedAudio, "yes/9.wav": reject.EmptyFile,
			},
		},
		{
			Name: "split folders, mixed channels",
			Files: []datasettest.File{
				{Path: "train/a/1.wav", Data: mono},
				{Path: "train/b/1.wav", Data: stereo},
				{Path: "dev/a/1.wav", Data: mono},
			},
			Classes: []string{"a", "b"},
			Labels:  map[string]int{"train/a/1.wav": 0, "train/b/1.wav": 1, "dev/a/1.wav": 0},
			Splits:  map[string]dataset.Split{"train/a/1.wav": dataset.Train, "train/b/1.wav": dataset.Train, "dev/a/1.wav": dataset.Validation},
			LeftOut: map[string]reject.Reason{},
		},
	})
}

// upload implements dataset.Files.
type upload []datasettest.File

func (u upload) Len() int { return len(u) }

func (u upload) At(i int) dataset.File {
	return dataset.File{Path: u[i].Path, Size: int64(len(u[i].Data))}
}

func (u upload) Stream(_ context.Context, i int) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(u[i].Data)), nil
}

func (u upload) Open(_ context.Context, i int) (io.ReaderAt, error) {
	return bytes.NewReader(u[i].Data), nil
}

// records implements dataset.Listener.
type records struct {
	dataset.Listener
	found []dataset.Record
}

func (r *records) Record(one dataset.Record) { r.found = append(r.found, one) }

// body implements dataset.Body.
type body struct {
	dataset.Body
	data []byte
}

func (b body) Bytes() ([]byte, error) { return b.data, nil }

// convert gives the examples of an upload and its features by name.
func convert(t *testing.T, u upload) ([]map[string]tfrecord.Value, map[string]dataset.Feature) {
	t.Helper()
	var found records
	index, err := audiofolder.Reader{}.Index(t.Context(), u, dataset.Options{}, &found)
	if err != nil {
		t.Fatal(err)
	}
	e, err := audiofolder.Reader{}.NewEncoder(dataset.Options{}, index)
	if err != nil {
		t.Fatal(err)
	}
	var examples []map[string]tfrecord.Value
	var stats dataset.Stats
	for _, r := range found.found {
		out, err := e.Encode(nil, dataset.Item{Path: u[r.File].Path, Label: r.Label}, body{data: u[r.File].Data}, &stats)
		if err != nil {
			t.Fatal(err)
		}
		example, err := tfrecord.ParseExample(out)
		if err != nil {
			t.Fatal(err)
		}
		examples = append(examples, example)
	}
	features := map[string]dataset.Feature{}
	for _, f := range (audiofolder.Reader{}).Features(index, &stats) {
		features[f.Name] = f
	}
	return examples, features
}

func TestOneTypeForAll(t *testing.T) {
	short := wav(1, 1, 8000, 16, 0, 0x40)
	deep := wav(1, 1, 8000, 24, 0, 0, 0x40)
	floats := wav(3, 1, 8000, 32, binary.LittleEndian.AppendUint32(nil, math.Float32bits(2))...)
	stereo := wav(1, 2, 16000, 16, 0, 0x40, 0, 0xc0)
	tests := []struct {
		name    string
		files   [][]byte
		feature string
		first   []byte // the first example's samples
		key     string
	}{
		{"16 bits", [][]byte{short, short}, `{"dtype":"int16","encoding":"bytes","sampleRate":"8000","shape":{"dimensions":["-1"]}}`, []byte{0, 0x40}, "audio"},
		{"and 24", [][]byte{short, deep}, `{"dtype":"int32","encoding":"bytes","sampleRate":"8000","shape":{"dimensions":["-1"]}}`, []byte{0, 0, 0, 0x40}, "audio"},
		{"and floats", [][]byte{short, deep, floats}, `{"dtype":"float32","encoding":"bytes","sampleRate":"8000","shape":{"dimensions":["-1"]}}`, []byte{0, 0, 0, 0x3f}, "audio"},
		{"stereo", [][]byte{stereo, stereo}, `{"dtype":"int16","encoding":"bytes","sampleRate":"16000","shape":{"dimensions":["-1","2"]}}`, []byte{0, 0x40, 0, 0xc0}, "audio"},
		{"mixed", [][]byte{stereo, short}, `{"dtype":"int16","encoding":"bytes","sampleRate":"0","shape":{"dimensions":["-1","-1"]}}`, []byte{0, 0x40, 0, 0xc0}, "audio/value"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var u upload
			for i, data := range tt.files {
				u = append(u, datasettest.File{Path: string(rune('a'+i)) + "/1.wav", Data: data})
			}
			examples, features := convert(t, u)
			got, err := json.Marshal(features["audio"].JSON["audio"])
			if err != nil || string(got) != tt.feature {
				t.Errorf("feature %s (%v), want %s", got, err, tt.feature)
			}
			if value := examples[0][tt.key].Bytes; len(value) != 1 || !bytes.Equal(value[0], tt.first) {
				t.Errorf("samples %v, want %v", examples[0][tt.key], tt.first)
			}
		})
	}
}

func TestNoClassFolders(t *testing.T) {
	_, err := audiofolder.Reader{}.Index(t.Context(), upload{{Path: "1.wav", Data: wav(1, 1, 8000, 16, 1, 0)}}, dataset.Options{}, &records{})
	var rejected *reject.Error
	if !errors.As(err, &rejected) || rejected.Reason != reject.TooFewClasses ||
		rejected.Message != "The archive has no class folder; at least two classes are needed. To mend it, put the sounds of each class, as WAV or FLAC, into a folder of its own, for example yes/1.wav and no/1.wav." {
		t.Errorf("got %v", err)
	}
}

func TestBombIsRefused(t *testing.T) {
	// Silent frames of 65,536 samples need about ten bytes each, so that these heads don't lie in an obvious way.
	bomb := append(flac(t)[:42], make([]byte, 8000)...)
	binary.BigEndian.PutUint64(bomb[18:], 8000<<44|7<<36|30<<20)
	u := upload{{Path: "a/1.flac", Data: bomb}}
	for i := range 6 {
		u = append(u, datasettest.File{Path: "b/" + string(rune('0'+i)) + ".flac", Data: bomb})
	}
	_, err := audiofolder.Reader{}.Index(t.Context(), u, dataset.Options{}, &records{})
	var rejected *reject.Error
	if !errors.As(err, &rejected) || rejected.Reason != reject.ArchiveTooLarge {
		t.Errorf("got %v", err)
	}
}

func TestEncodeAllocations(t *testing.T) {
	for name, data := range map[string][]byte{"WAV": wav(1, 2, 44100, 16, make([]byte, 40_000)...), "FLAC": flac(t)} {
		u := upload{{Path: "a/1.wav", Data: data}, {Path: "b/1.wav", Data: data}}
		index, err := audiofolder.Reader{}.Index(t.Context(), u, dataset.Options{}, &records{})
		if err != nil {
			t.Fatal(err)
		}
		e, err := audiofolder.Reader{}.NewEncoder(dataset.Options{}, index)
		if err != nil {
			t.Fatal(err)
		}
		var stats dataset.Stats
		var one dataset.Body = body{data: data}
		dst := make([]byte, 0, 1<<16)
		if n := testing.AllocsPerRun(50, func() {
			if _, err := e.Encode(dst[:0], dataset.Item{Path: "a/1.wav"}, one, &stats); err != nil {
				t.Fatal(err)
			}
		}); n > 1 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
