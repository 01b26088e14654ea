package picture

import (
	"strconv"

	"github.com/trainyard/trainyard/services/converter/dataset"
)

// Names are those under which the images of one feature are counted, where examples have several images: a mask may be grey beside a
// picture in colour.
type Names struct{ encoding, channels string }

// NamesOf makes the names of a feature.
func NamesOf(feature string) Names {
	return Names{encoding: feature + "." + statEncoding, channels: feature + "." + statChannels}
}

// ObserveAs is Observe for examples with several images.
func (l Loaded) ObserveAs(n Names, stats *dataset.Stats) {
	l.Observe(stats)
	stats.Count(n.encoding, string(l.Encoding))
	stats.Count(n.channels, strconv.Itoa(l.Channels))
}

// FeatureOf is Feature for examples with several images, which ObserveAs has noted.
func FeatureOf(name string, stats *dataset.Stats) dataset.Feature {
	n := NamesOf(name)
	return Feature(name, &dataset.Stats{Counts: map[string]map[string]*int64{
		statEncoding: stats.Counts[n.encoding], statChannels: stats.Counts[n.channels],
	}})
}
