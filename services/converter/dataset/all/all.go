// Package all lists every dataset format.
package all

import (
	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/dataset/audiofolder"
	"github.com/trainyard/trainyard/services/converter/dataset/coco"
	"github.com/trainyard/trainyard/services/converter/dataset/csvfile"
	"github.com/trainyard/trainyard/services/converter/dataset/idx"
	"github.com/trainyard/trainyard/services/converter/dataset/imagefolder"
	"github.com/trainyard/trainyard/services/converter/dataset/imagetable"
	"github.com/trainyard/trainyard/services/converter/dataset/jsonl"
	"github.com/trainyard/trainyard/services/converter/dataset/parquet"
	"github.com/trainyard/trainyard/services/converter/dataset/tfrecords"
	"github.com/trainyard/trainyard/services/converter/dataset/voc"
	"github.com/trainyard/trainyard/services/converter/dataset/webdataset"
	"github.com/trainyard/trainyard/services/converter/dataset/yolo"
)

// Readers returns the formats. Where two fit an upload equally well the earlier one is taken.
func Readers() []dataset.Reader {
	return []dataset.Reader{
		tfrecords.Reader{},
		idx.Reader{},
		coco.Reader{},
		voc.Reader{},
		yolo.Reader{},
		webdataset.Reader{},
		parquet.Reader{},
		imagetable.Reader{},
		imagefolder.Reader{},
		audiofolder.Reader{},
		jsonl.Reader{},
		csvfile.Reader{},
	}
}
