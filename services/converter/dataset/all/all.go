// Package all lists every dataset format.
package all

import (
	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/dataset/audiofolder"
	"github.com/trainyard/trainyard/services/converter/dataset/imagefolder"
)

// Readers returns the formats. Where two fit an upload equally well the earlier one is taken.
func Readers() []dataset.Reader {
	return []dataset.Reader{
		imagefolder.Reader{},
		audiofolder.Reader{},
	}
}
