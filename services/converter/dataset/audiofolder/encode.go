package audiofolder

import (
	"strconv"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/reject"
	"github.com/trainyard/trainyard/services/converter/sound"
	"github.com/trainyard/trainyard/services/converter/tfrecord"
)

// Names in the statistics.
const (
	statEncoding = "encoding"
	statRate     = "sample_rate"
	statChannels = "channels"
	statDepth    = "bit_depth"
	statClamped  = "declared_length" // of files that declare more samples than they have
	statDuration = "duration_seconds"
	statSize     = "file_bytes"
)

// NewEncoder implements dataset.Reader.
func (Reader) NewEncoder(opts dataset.Options, index dataset.Index) (dataset.Encoder, error) {
	s, err := parseSchema(index)
	return &encoder{schema: s, full: opts.Validation == dataset.Full, names: make(map[int]string)}, err
}

type encoder struct {
	schema   schema
	full     bool
	decoder  sound.Decoder
	features []tfrecord.Feature
	samples  []byte // their place in the record
	shape    [2]int64
	names    map[int]string // of numbers, for the statistics
}

// Encode implements dataset.Encoder. The samples are decoded to their place in the record.
func (e *encoder) Encode(dst []byte, record dataset.Item, body dataset.Body, stats *dataset.Stats) ([]byte, error) {
	data, err := body.Bytes()
	if err != nil {
		return dst, err
	}
	info, size, problem := e.decoder.Measure(data, e.schema.Type)
	if problem != nil {
		return dst, reject.NewFile(record.Path, problem.Reason, "%s", problem.Message)
	}
	e.features = append(e.features[:0],
		tfrecord.Int64("channels", int64(info.Channels)),
		tfrecord.Text("filename", record.Path),
		tfrecord.Int64("label", int64(record.Label)),
		tfrecord.Int64("sample_rate", int64(info.SampleRate)))
	if e.schema.Channels == 0 {
		e.shape = [2]int64{info.Frames, int64(info.Channels)}
		e.features = append(e.features, tfrecord.Reserve("audio/value", size, &e.samples), tfrecord.Int64s("audio/shape", e.shape[:]))
	} else {
		e.features = append(e.features, tfrecord.Reserve("audio", size, &e.samples))
	}
	dst = tfrecord.AppendExample(dst, e.features)
	if problem := e.decoder.Decode(e.samples, data, &info, e.schema.Type, e.full); problem != nil {
		return dst, reject.NewFile(record.Path, problem.Reason, "%s", problem.Message)
	}
	stats.AddExample(len(data), record.Label)
	stats.Observe(statDuration, float64(info.Frames)/float64(info.SampleRate))
	stats.Observe(statSize, float64(len(data)))
	stats.Count(statEncoding, info.Container)
	stats.Count(statRate, e.rateName(info.SampleRate))
	stats.Count(statChannels, e.name(info.Channels))
	stats.Count(statDepth, e.name(info.BitDepth))
	if info.Clamped {
		stats.Count(statClamped, "clamped")
	}
	if info.Cut {
		stats.Remark(sound.CutRemark, record.Path)
	}
	return dst, nil
}

// name is a number as text.
func (e *encoder) name(n int) string {
	s, ok := e.names[n]
	if !ok {
		s = strconv.Itoa(n)
		e.names[n] = s
	}
	return s
}

// rateName is a sample rate in the statistics. Strangers choose rates, and what is told apart must not grow with the upload.
func (e *encoder) rateName(rate int) string {
	switch rate {
	case 11025, 22050, 37800, 44056, 44100, 88200, 176400, 352800:
		return e.name(rate)
	}
	if rate%1000 == 0 {
		return e.name(rate)
	}
	return "other"
}
