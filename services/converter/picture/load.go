package picture

import (
	"strconv"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/reject"
)

// Loader takes images to the form in which examples hold them, for the Encoders of all formats with images. It isn't
// safe for concurrent use.
type Loader struct {
	validation dataset.ValidationMode
	transcoder Transcoder
	png        []byte
}

// NewLoader makes a Loader.
func NewLoader(opts dataset.Options) *Loader { return &Loader{validation: opts.Validation} }

// Loaded is an image as an example holds it.
type Loaded struct {
	Info
	Data    []byte // JPEG or PNG; valid until the next Load
	Size    int    // of the data that the upload holds, in bytes
	checked string
}

// Load inspects an image and returns it as it is stored. A *reject.File with the path says why it can't be an example. It doesn't allocate
// for JPEG and PNG whose structure alone is checked.
func (l *Loader) Load(path string, data []byte) (Loaded, error) {
	out := Loaded{Data: data, Size: len(data), checked: "structure"}
	info, problem := Inspect(data)
	switch {
	case problem != nil:
	case info.Encoding.Stored() != info.Encoding:
		l.png, info, problem = l.transcoder.PNG(l.png[:0], data, info)
		out.Data, out.checked = l.png, "full"
	case l.validation == dataset.Full:
		var decoded bool
		if decoded, problem = l.transcoder.Check(data, info); decoded {
			out.checked = "full"
		}
	}
	if problem != nil {
		return Loaded{}, reject.NewFile(path, problem.Reason, "%s", problem.Message)
	}
	out.Info = info
	return out, nil
}

// Names in the statistics.
const (
	statEncoding    = "encoding"
	statChannels    = "channels"
	statOrientation = "orientation"
	statChecked     = "validation"
	statMore        = "pictures"
	statWidth       = "width"
	statHeight      = "height"
	statAspect      = "aspect"
	statSize        = "file_bytes"
)

// IsStat tells whether Observe uses a name in the statistics, so that nothing else must.
func IsStat(name string) bool {
	switch name {
	case statEncoding, statChannels, statOrientation, statChecked, statMore, statWidth, statHeight, statAspect, statSize:
		return true
	}
	return false
}

// Observe notes an image in the statistics.
func (l Loaded) Observe(stats *dataset.Stats) {
	stats.Observe(statWidth, float64(l.Width))
	stats.Observe(statHeight, float64(l.Height))
	stats.Observe(statAspect, float64(l.Width)/float64(l.Height))
	stats.Observe(statSize, float64(l.Size))
	stats.Count(statEncoding, string(l.Encoding))
	stats.Count(statChannels, strconv.Itoa(l.Channels))
	stats.Count(statOrientation, strconv.Itoa(l.Orientation))
	stats.Count(statChecked, l.checked)
	if l.More {
		stats.Count(statMore, "first of several")
	}
}

// Feature describes a feature with the images that the statistics saw.
func Feature(name string, stats *dataset.Stats) dataset.Feature {
	encoding := Encoding("")
	for seen := range stats.Counts[statEncoding] {
		if stored := Encoding(seen).Stored(); encoding != "" && stored != encoding {
			encoding = ""
			break
		} else {
			encoding = stored
		}
	}
	// Grey images stay grey only if all are: a batch needs one depth. Colour loses nothing.
	channels := 1
	for seen := range stats.Counts[statChannels] {
		if seen != "1" && seen != "2" {
			channels = 3
		}
	}
	if len(stats.Counts[statChannels]) == 0 {
		channels = 3
	}
	return dataset.ImageFeature(name, string(encoding), channels)
}
