// Package formats lists the dataset formats for services that check a choice of one without reading any. The converter, which reads
// them, describes them at /v1/formats, and its tests hold this list against its own.
package formats

import "slices"

// hasColumns says, of each format, whether a column can be chosen for its labels.
var hasColumns = map[string]bool{
	"audio-folder": false,
	"coco":         false,
	"csv":          true,
	"idx":          false,
	"image-folder": false,
	"image-table":  true,
	"jsonl":        true,
	"parquet":      true,
	"tfrecord":     true,
	"voc":          false,
	"webdataset":   true,
	"yolo":         false,
}

// Known tells whether there is such a format.
func Known(id string) bool {
	_, ok := hasColumns[id]
	return ok
}

// HasColumns tells whether a column can be chosen for a format's labels.
func HasColumns(id string) bool { return hasColumns[id] }

// IDs are all formats, or those alone whose labels are a column that can be chosen, in order of the alphabet.
func IDs(withColumns bool) []string {
	var ids []string
	for id, columns := range hasColumns {
		if columns || !withColumns {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}
