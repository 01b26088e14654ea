package webdataset

import (
	"path"
	"strings"

	"github.com/trainyard/trainyard/services/converter/picture"
)

// kind is what a member of a sample becomes.
type kind string

const (
	raw     kind = "bytes"
	image   kind = "image"
	audio   kind = "audio"
	label   kind = "label"
	text    kind = "text"
	object  kind = "json"
	integer kind = "int"
)

// cut splits a path, as webdataset does, into the sample's key and the member's ending: 000/17.seg.png is the member seg.png of 000/17. Endings
// are told apart without regard to case. A file without one belongs to no sample.
func cut(name string) (key, ending string) {
	base := name[strings.LastIndexByte(name, '/')+1:]
	i := strings.IndexByte(base, '.')
	if i < 1 || i == len(base)-1 {
		return name, ""
	}
	return name[:len(name)-len(base)+i], strings.ToLower(base[i+1:])
}

// kindOf tells what a member becomes by its ending; the names are those that webdataset's own decoders know.
func kindOf(ending string) kind {
	last := ending[strings.LastIndexByte(ending, '.')+1:]
	switch last {
	case "cls", "class":
		return label
	case "txt", "text", "transcript", "caption":
		return text
	case "json", "jsn":
		return object
	case "id", "index", "inx", "count":
		return integer
	case "wav", "wave", "flac":
		return audio
	}
	if picture.KindOf("."+last) == picture.Image {
		return image
	}
	return raw
}

// slotName is the name of the feature that a member becomes: what it is, behind whatever stands before the last dot of its ending (seg.png:
// seg_image). So JPEG and PNG files are one feature. If exact is set, because most samples have several of one kind, it is the ending.
func slotName(ending string, k kind, exact bool) string {
	before := strings.TrimSuffix(ending, path.Ext(ending))
	if !strings.Contains(ending, ".") {
		before = ""
	}
	name := string(k)
	switch {
	case exact || k == raw || k == integer:
		name = ending
	case before != "" && before != name:
		name = before + "_" + name
	}
	name = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '_', r == '-':
			return r
		}
		return '_'
	}, name)
	if name == "sample_key" || strings.HasSuffix(name, "_orientation") || strings.HasSuffix(name, "_sample_rate") {
		name += "_" // those are features that the Encoder adds
	}
	return name
}

const (
	maxSlots   = 64 // features that samples may have
	maxMembers = 64 // files that a sample may have
)

// slot is a feature-to-be.
type slot struct {
	Name    string `json:"name"`
	Kind    kind   `json:"kind"`
	samples int64  // that have it
}

// slots are the features that members become.
type slots struct {
	exact    bool
	list     []slot
	byEnding map[string]int // index into list; -1: there are too many
}

// of is the index of a member's slot, or -1.
func (s *slots) of(ending string) int {
	if i, ok := s.byEnding[ending]; ok {
		return i
	}
	k := kindOf(ending)
	name := slotName(ending, k, s.exact)
	at := -1
	for i := range s.list {
		if s.list[i].Name == name && s.list[i].Kind == k {
			at = i
		}
	}
	if at < 0 && len(s.list) < maxSlots && len(name) <= 128 {
		for i := range s.list {
			if s.list[i].Name == name { // of another kind: exact endings that differ in what isn't a letter
				return -1
			}
		}
		at = len(s.list)
		s.list = append(s.list, slot{Name: name, Kind: k})
	}
	if s.byEnding == nil {
		s.byEnding = make(map[string]int)
	}
	if len(s.byEnding) < 16*maxSlots {
		s.byEnding[ending] = at
	}
	return at
}
