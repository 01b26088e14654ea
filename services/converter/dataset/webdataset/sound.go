package webdataset

import (
	"context"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/reject"
	"github.com/trainyard/trainyard/services/converter/sound"
)

// survey finds what the sounds of a slot have in common.
type survey struct {
	precision      sound.Precision
	rate, channels int // 0: they differ
	any            bool
	samples        int64
}

func (s *survey) add(in *sound.Info) {
	if !s.any {
		s.any, s.rate, s.channels = true, in.SampleRate, in.Channels
	}
	if s.rate != in.SampleRate {
		s.rate = 0
	}
	if s.channels != in.Channels {
		s.channels = 0
	}
	s.precision.Add(in)
	s.samples += min(max(in.Frames, 0)*int64(in.Channels), sound.MaxBytes)
}

// check refuses sounds that would fill the disk: a FLAC of silence is a thousandth of its samples.
func (s *survey) check(files dataset.Files) error {
	const allowance = 256 << 20 // what little files may become, whatever their size
	var size int64
	for i := range files.Len() {
		size += files.At(i).Size
	}
	if decoded := s.samples * int64(s.precision.Type().Size()); decoded > size*sound.MaxExpansion+allowance {
		return reject.New(reject.ArchiveTooLarge, "The sounds of %d MiB would take %d MiB as samples; the limit is %d times their size and %d MiB. Leave out files that hold nothing but silence.",
			size>>20, decoded>>20, sound.MaxExpansion, allowance>>20)
	}
	return nil
}

// inspect reads what a sound says of itself: from its first bytes, or from more where notes or pictures come before that.
func inspect(ctx context.Context, files dataset.Files, i int) (sound.Info, error) {
	f := files.At(i)
	for _, n := range [...]int{4 << 10, 1 << 20} {
		head, err := dataset.ReadHead(ctx, files, i, n)
		if err != nil {
			return sound.Info{}, err
		}
		info, problem := sound.Inspect(head, f.Size)
		if problem == nil {
			return info, nil
		}
		if !problem.Short || n == 1<<20 {
			return sound.Info{}, reject.NewFile(f.Path, problem.Reason, "%s", problem.Message)
		}
	}
	return sound.Info{}, nil
}
