package webdataset

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf8"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/picture"
	"github.com/trainyard/trainyard/services/converter/reject"
	"github.com/trainyard/trainyard/services/converter/sound"
	"github.com/trainyard/trainyard/services/converter/tfrecord"
)

// NewEncoder implements dataset.Reader.
func (Reader) NewEncoder(opts dataset.Options, index dataset.Index) (dataset.Encoder, error) {
	s, err := readSchema(index)
	if err != nil {
		return nil, err
	}
	e := &encoder{label: s.Label, slots: slots{exact: s.Exact}, full: opts.Validation == dataset.Full, members: make([]member, len(s.Slots))}
	for i, f := range s.Slots {
		m := &e.members[i]
		m.feature = f
		m.loader = picture.NewLoader(opts)
		m.extra, m.names = f.Name+"_orientation", picture.NamesOf(f.Name)
		if f.Kind == audio {
			m.extra, m.value, m.shapeKey = f.Name+"_sample_rate", f.Name+"/value", f.Name+"/shape"
			if f.Channels > 0 {
				m.value = f.Name
			}
		}
	}
	return e, nil
}

type encoder struct {
	label    int
	full     bool
	slots    slots
	members  []member
	features []tfrecord.Feature
}

// member is the sample's file for a feature, while it is encoded.
type member struct {
	feature
	extra, value, shapeKey string // names of features
	path                   string
	buf                    []byte
	data                   []byte // buf, or the body's own
	there                  bool
	loader                 *picture.Loader
	picture                picture.Loaded
	names                  picture.Names // for the statistics
	decoder                sound.Decoder
	info                   sound.Info
	place                  []byte
	shape                  [2]int64
}

// Encode implements dataset.Encoder.
func (e *encoder) Encode(dst []byte, record dataset.Item, body dataset.Body, stats *dataset.Stats) ([]byte, error) {
	key, _ := cut(record.Path)
	e.features = append(e.features[:0], tfrecord.Text("sample_key", key))
	size, err := e.collect(record, body)
	if err != nil {
		return dst, err
	}
	for i := range e.members {
		m := &e.members[i]
		if i == e.label {
			e.features = append(e.features, tfrecord.Int64(m.Name, int64(record.Label)))
			continue
		}
		if !m.there {
			return dst, reject.NewFile(record.Path, reject.MissingPart, "the sample lacks %q", m.Name)
		}
		if e.features, err = m.encode(e.features, record.Path); err != nil {
			return dst, err
		}
	}
	dst = tfrecord.AppendExample(dst, e.features)
	for i := range e.members {
		m := &e.members[i]
		if m.Kind != audio || i == e.label {
			continue
		}
		if p := m.decoder.Decode(m.place, m.data, &m.info, m.Type, e.full); p != nil {
			return dst, reject.NewFile(record.Path, p.Reason, "%s: %s", m.path, p.Message)
		}
	}
	for i := range e.members {
		e.members[i].observe(stats)
	}
	stats.AddExample(size, record.Label)
	return dst, nil
}

// collect takes the data of the members from the body. Data stay only until the next part is asked for, so all but the last are copied.
func (e *encoder) collect(record dataset.Item, body dataset.Body) (size int, err error) {
	for i := range e.members {
		e.members[i].there = false
	}
	for i := range body.Parts() {
		path, data, err := body.Part(i)
		if err != nil {
			return 0, err
		}
		_, ending := cut(path)
		m := e.find(ending)
		if m == nil {
			continue
		}
		if m.there {
			return 0, reject.NewFile(record.Path, reject.DuplicateFile, "the sample has two files for %q", m.Name)
		}
		m.there, m.path, m.data = true, path, data
		size += len(data)
		if i < body.Parts()-1 {
			m.buf = append(m.buf[:0], data...)
			m.data = m.buf
		}
	}
	return size, nil
}

// find is the member that a file with the ending is for, or nil.
func (e *encoder) find(ending string) *member {
	if ending == "" {
		return nil
	}
	at := e.slots.of(ending)
	if at < 0 {
		return nil
	}
	for i := range e.members {
		if e.members[i].Name == e.slots.list[at].Name {
			return &e.members[i]
		}
	}
	return nil
}

// encode appends the member's features.
func (m *member) encode(to []tfrecord.Feature, record string) ([]tfrecord.Feature, error) {
	switch m.Kind {
	case image:
		var err error
		if m.picture, err = m.loader.Load(record, m.data); err != nil {
			return to, err
		}
		return append(to, tfrecord.Bytes(m.Name, m.picture.Data), tfrecord.Int64(m.extra, int64(m.picture.Orientation))), nil
	case audio:
		info, size, p := m.decoder.Measure(m.data, m.Type)
		if p != nil {
			return to, reject.NewFile(record, p.Reason, "%s: %s", m.path, p.Message)
		}
		if m.Channels > 0 && info.Channels != m.Channels {
			return to, reject.NewFile(record, reject.MalformedAudio, "%s: the sound has %d channels instead of %d", m.path, info.Channels, m.Channels)
		}
		m.info = info
		to = append(to, tfrecord.Reserve(m.value, size, &m.place), tfrecord.Int64(m.extra, int64(info.SampleRate)))
		if m.Channels == 0 {
			m.shape = [2]int64{info.Frames, int64(info.Channels)}
			to = append(to, tfrecord.Int64s(m.shapeKey, m.shape[:]))
		}
		return to, nil
	case text:
		if !utf8.Valid(m.data) {
			return to, reject.NewFile(record, reject.InvalidText, "%s: the text is not UTF-8; save it as UTF-8", m.path)
		}
	case object:
		if !utf8.Valid(m.data) || !json.Valid(m.data) {
			return to, reject.NewFile(record, reject.InvalidText, "%s: the file is not JSON", m.path)
		}
	case integer:
		n, err := strconv.ParseInt(string(bytes.TrimSpace(m.data)), 10, 64)
		if err != nil {
			return to, reject.NewFile(record, reject.MalformedFile, "%s: the file holds no whole number", m.path)
		}
		return append(to, tfrecord.Int64(m.Name, n)), nil
	case raw, label:
	}
	return append(to, tfrecord.Bytes(m.Name, m.data)), nil
}

func (m *member) observe(stats *dataset.Stats) {
	switch m.Kind {
	case image:
		m.picture.ObserveAs(m.names, stats)
	case audio:
		stats.Observe("duration_seconds", float64(m.info.Frames)/float64(m.info.SampleRate))
		if m.info.Cut {
			stats.Remark(sound.CutRemark, m.path)
		}
	case raw, label, text, object, integer:
	}
}
