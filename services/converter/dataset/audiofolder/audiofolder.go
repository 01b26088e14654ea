// Package audiofolder reads sound class folders: one folder of WAV or FLAC files for each class, its name being the
// label. It is the layout of Keras's audio_dataset_from_directory and Hugging Face's AudioFolder.
//
// An example holds the decoded samples as bytes, of the narrowest type that holds those of every file without loss: int16, int32, or float32
// or float64 where a file has floats. Full scale is that of the type; see package sound.
package audiofolder

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/dataset/folder"
	"github.com/trainyard/trainyard/services/converter/reject"
	"github.com/trainyard/trainyard/services/converter/sound"
)

// Reader implements dataset.Reader.
type Reader struct{}

// Format implements dataset.Reader.
func (Reader) Format() dataset.Format {
	return dataset.Format{
		Name:   "audio-folder",
		Title:  "Sound class folders",
		Labels: "the names of the folders",
		Description: "One folder of WAV or FLAC files for each class, such as yes/1.wav and no/1.wav; folders around them don't matter. " +
			"train, validation and test folders above the classes are kept as splits. Sample rates and channels may differ, but a batch needs them alike.",
		Extensions: []string{".wav", ".wave", ".flac"},
		Example: `commands
├── train
│   ├── no
│   │   ├── 1.wav
│   │   └── 2.flac
│   └── yes
│       └── 3.wav
└── test
    ├── no
    │   └── 4.wav
    └── yes
        └── 5.wav
`,
	}
}

// kind is what a file's name promises.
type kind int

const (
	other    kind = iota // nothing that this format reads
	sounding             // sound that is read
	unread               // sound of a kind that is not read
	archived             // an archive within the archive
)

func kindOf(name string) kind {
	switch strings.ToLower(path.Ext(name)) {
	case ".wav", ".wave", ".flac":
		return sounding
	case ".mp3", ".ogg", ".oga", ".opus", ".m4a", ".aac", ".aif", ".aiff", ".aifc", ".wma", ".au", ".snd", ".w64", ".caf", ".amr", ".mka", ".weba":
		return unread
	case ".zip", ".tar", ".gz", ".tgz", ".zst", ".bz2", ".xz", ".7z", ".rar":
		return archived
	}
	return other
}

// isData tells whether a file is meant to be an example, even if sound of its kind is not read.
func isData(name string) bool { k := kindOf(name); return k == sounding || k == unread }

func isRead(name string) bool { return kindOf(name) == sounding }

// Detect implements dataset.Reader.
func (Reader) Detect(_ context.Context, files dataset.Files) (dataset.Match, error) {
	n := 0
	for i := range files.Len() {
		if isData(files.At(i).Path) {
			n++
		}
	}
	m := dataset.Match{Why: "WAV or FLAC files in one folder for each class, such as yes/1.wav"}
	if n > 0 {
		m.Share = float64(n) / float64(files.Len())
	}
	return m, nil
}

// Index implements dataset.Reader. It reads the heads of all files, in order, because one type of samples has to serve for all.
func (Reader) Index(ctx context.Context, files dataset.Files, _ dataset.Options, found dataset.Listener) (dataset.Index, error) {
	layout := folder.Find(files, isData)
	classes, err := layout.Classes(files, isRead, "put the sounds of each class, as WAV or FLAC, into a folder of its own, for example yes/1.wav and no/1.wav.")
	if err != nil {
		return dataset.Index{}, err
	}
	labels := make(map[string]int, len(classes))
	for i, c := range classes {
		labels[c] = i
	}
	var all survey
	for i := range files.Len() {
		if err := ctx.Err(); err != nil {
			return dataset.Index{}, err
		}
		f := files.At(i)
		switch kindOf(f.Path) {
		case other:
			found.LeaveOut(i, reject.NotData, "the file is not sound; only WAV and FLAC files become examples")
			continue
		case archived:
			found.LeaveOut(i, reject.NestedArchive, "archives within the archive are not opened; put their files into the outer one")
			continue
		case unread:
			found.LeaveOut(i, reject.UnsupportedAudio, "sound of this kind is not read; save it as WAV or FLAC")
			continue
		case sounding:
		}
		p := layout.Place(f.Path)
		label, ok := labels[p.Class]
		if !ok {
			found.LeaveOut(i, reject.NoClassFolder, "the file lies outside of the class folders, so it has no label")
			continue
		}
		if f.Size == 0 {
			found.LeaveOut(i, reject.EmptyFile, "the file is empty")
			continue
		}
		info, problem, err := inspect(ctx, files, i)
		if refused := (*reject.File)(nil); errors.As(err, &refused) {
			found.LeaveOut(i, refused.Reason, refused.Message)
			continue
		}
		if err != nil {
			return dataset.Index{}, err
		}
		if problem != nil {
			found.LeaveOut(i, problem.Reason, problem.Message)
			continue
		}
		all.add(&info, f.Size)
		found.Record(dataset.Record{File: i, Key: p.Key, Label: label, Split: p.Split})
	}
	if err := all.check(); err != nil {
		return dataset.Index{}, err
	}
	form, err := json.Marshal(all.schema())
	return dataset.Index{Classes: classes, Schema: form}, err
}

// How much of a file is read to learn what it holds: at first, and where notes or pictures come before that.
const (
	headBytes     = 4 << 10
	longHeadBytes = 1 << 20
)

func inspect(ctx context.Context, files dataset.Files, i int) (sound.Info, *sound.Problem, error) {
	var info sound.Info
	var problem *sound.Problem
	for _, n := range [...]int{headBytes, longHeadBytes} {
		head, err := dataset.ReadHead(ctx, files, i, n)
		if err != nil {
			return info, nil, err
		}
		if info, problem = sound.Inspect(head, files.At(i).Size); problem == nil || !problem.Short {
			break
		}
	}
	return info, problem, nil
}

// schema is what the records have in common.
type schema struct {
	Type       sound.Type `json:"type"`
	SampleRate int        `json:"sample_rate"` // 0: it differs
	Channels   int        `json:"channels"`    // 0: their number differs
}

// survey finds it.
type survey struct {
	files     int
	precision sound.Precision
	rate      int
	channels  int
	samples   int64 // of all channels and files, as far as they say
	bytes     int64 // of the files
}

func (s *survey) add(in *sound.Info, size int64) {
	if s.files++; s.files == 1 {
		s.rate, s.channels = in.SampleRate, in.Channels
	}
	if s.rate != in.SampleRate {
		s.rate = 0
	}
	if s.channels != in.Channels {
		s.channels = 0
	}
	s.precision.Add(in)
	s.bytes += size
	// What is longer becomes no example.
	s.samples += min(max(in.Frames, 0)*int64(in.Channels), sound.MaxBytes)
}

// allowance is what little files may become, whatever their size.
const allowance = 256 << 20

// check refuses what would fill the disk and the store. An archive's own limit doesn't help against FLAC, which is packed once more.
func (s *survey) check() error {
	t := s.precision.Type()
	if decoded := s.samples * int64(t.Size()); decoded > s.bytes*sound.MaxExpansion+allowance {
		return reject.New(reject.ArchiveTooLarge, "The sounds have %d MiB and would take %d MiB as samples of type %s; the limit is %d times their size and %d MiB. Only silence packs so well: cut it off, or leave out files that hold nothing else.",
			s.bytes>>20, decoded>>20, t, sound.MaxExpansion, allowance>>20)
	}
	return nil
}

func (s *survey) schema() schema {
	return schema{Type: s.precision.Type(), SampleRate: s.rate, Channels: s.channels}
}

func parseSchema(index dataset.Index) (schema, error) {
	var s schema
	if err := json.Unmarshal(index.Schema, &s); err != nil {
		return s, fmt.Errorf("schema of audio-folder: %w", err)
	}
	return s, nil
}

// Features implements dataset.Reader.
func (Reader) Features(index dataset.Index, _ *dataset.Stats) []dataset.Feature {
	s, err := parseSchema(index)
	if err != nil {
		return nil
	}
	return []dataset.Feature{
		dataset.AudioBytesFeature("audio", string(s.Type), s.SampleRate, s.Channels),
		dataset.TensorFeature("channels", "int64"),
		dataset.TextFeature("filename"),
		dataset.ClassLabelFeature("label", index.Classes),
		dataset.TensorFeature("sample_rate", "int64"),
	}
}
