package table

import (
	"encoding/json"
	"strings"

	"github.com/trainyard/trainyard/services/converter/dataset"
)

// Parts are the listed files as parts of one table. Offset and Line are those of the beginning.
func Parts(files dataset.Files, list []int) []File {
	paths := make([]string, 0, len(list))
	for _, i := range list {
		paths = append(paths, files.At(i).Path)
	}
	dir := dataset.CommonDir(paths)
	for i := range paths {
		paths[i] = strings.TrimPrefix(paths[i], dir)
	}
	splits := dataset.SplitsIn(paths)
	parts := make([]File, 0, len(list))
	for n, i := range list {
		parts = append(parts, File{Index: i, Size: files.At(i).Size, Line: 1, Key: paths[n], Split: splits[n]})
	}
	return parts
}

// schemaOf reads Index.Schema, which Finish wrote. One that it didn't write has no fields.
func schemaOf(index dataset.Index) *Schema {
	var s Schema
	if json.Unmarshal(index.Schema, &s) != nil {
		return &Schema{Label: -1}
	}
	return &s
}

// Rows is dataset.RowReader.Rows.
func Rows(index dataset.Index) func(data []byte, row func(start, end int)) {
	return schemaOf(index).rows()
}

// Features is dataset.Reader.Features.
func Features(index dataset.Index) []dataset.Feature {
	return schemaOf(index).features(index.Classes)
}
