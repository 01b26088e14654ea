// Package imagetable reads images with a table of labels: CSV, TSV or JSON lines with a column that names the images. It is the layout of
// Hugging Face's ImageFolder with metadata.csv or metadata.jsonl, and of most contests: labels.csv or train.csv beside the pictures.
//
// A row belongs to the image whose path, from the table's folder or from the top, stands in that column, or whose
// path is the only one that ends with it; the ending may be missing. The other columns become features.
package imagetable

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/dataset/folder"
	"github.com/trainyard/trainyard/services/converter/picture"
	"github.com/trainyard/trainyard/services/converter/reject"
	"github.com/trainyard/trainyard/services/converter/table"
	"github.com/trainyard/trainyard/services/converter/tfrecord"
)

// Reader implements dataset.Reader.
type Reader struct{}

// Format implements dataset.Reader.
func (Reader) Format() dataset.Format {
	return dataset.Format{
		Name:  "image-table",
		Title: "Images with a table of labels",
		Description: "JPEG, PNG, GIF, BMP, WebP or TIFF images and a table as CSV, TSV or JSON lines, with one row for each image: a column with its path or name, a column " +
			"with its label (label, class, category, species, target or one that you name) and any others. Numbers that aren't classes become the feature target. " +
			"A column named split, or a table for each split, such as train.csv and test.csv, tells the splits.",
		RowEach:    true,
		Extensions: append([]string{".csv", ".tsv", ".jsonl"}, picture.Extensions()...),
		Example: `birds
├── labels.csv        file_name,label
├── images            0001.jpg,wren
│   ├── 0001.jpg      0002.jpg,robin
│   └── 0002.jpg
└── README.md
`,
	}
}

const looksFor = "images and a table, such as labels.csv or metadata.jsonl, with a column that names them"

// Detect implements dataset.Reader.
func (Reader) Detect(ctx context.Context, files dataset.Files) (dataset.Match, error) {
	m := dataset.Match{Why: looksFor}
	list := candidates(files, fewTables)
	if len(list) == 0 {
		return m, nil
	}
	found := findImages(files)
	if found.count == 0 {
		return m, nil
	}
	for _, i := range list {
		t, err := openTable(ctx, found, i)
		var badText *reject.Error
		switch {
		case errors.As(err, &badText):
			// Index says how to mend the text, unless the images have their labels elsewhere.
			if named(files.At(i).Path) && !m.Certain && !hasClassFolders(files) {
				m.Why = fmt.Sprintf("images and a table, %s, that may hold their labels", files.At(i).Path)
				m.Share, m.Certain = share(found, 1, files), true
			}
		case isRejection(err):
		case err != nil:
			return m, err
		case t.fits() && !isSubmission(t.path) && (t.hasLabelName() || isMetadata(t.path) || !hasClassFolders(files)):
			return dataset.Match{
				Share: share(found, 1, files), Certain: true,
				Why: fmt.Sprintf("images and a table, %s, whose column %q names them", t.path, t.pathName),
			}, nil
		}
	}
	return m, nil
}

func share(found *images, tables int, files dataset.Files) float64 {
	return float64(found.count+tables) / float64(files.Len())
}

// hasClassFolders tells whether the images have labels by their folders, so that a table which only lists them says less.
func hasClassFolders(files dataset.Files) bool {
	classes, err := folder.Find(files, isImage).Classes(files, isImage, "")
	return err == nil && slices.ContainsFunc(classes, func(c string) bool { return dataset.SplitNamed(c) == dataset.NoSplit })
}

// isMetadata tells whether a table has the name by which Hugging Face's ImageFolder finds it.
func isMetadata(p string) bool {
	name := path.Base(p)
	return strings.TrimSuffix(name, path.Ext(name)) == "metadata"
}

// schema is Index.Schema.
type schema struct {
	Table *table.Schema `json:"table"`
	Drop  []string      `json:"drop"` // sources of the columns that are no features
}

func (s *schema) dropped(f table.Field) bool {
	return slices.Contains(s.Drop, f.Source)
}

func schemaOf(index dataset.Index) (*schema, error) {
	s := &schema{}
	if err := json.Unmarshal(index.Schema, s); err != nil {
		return nil, fmt.Errorf("image-table: schema: %w", err)
	}
	if s.Table == nil {
		return nil, errors.New("image-table: the schema has no table")
	}
	return s, nil
}

// Features implements dataset.Reader.
func (Reader) Features(index dataset.Index, stats *dataset.Stats) []dataset.Feature {
	features := []dataset.Feature{
		dataset.TextFeature("filename"),
		picture.Feature("image", stats),
		dataset.TensorFeature("orientation", "int64"),
	}
	s, err := schemaOf(index)
	if err != nil {
		return features // it came from Index, so this can't be
	}
	return append(features, s.Table.Describe(index.Classes, func(f table.Field) bool { return !s.dropped(f) })...)
}

// NewEncoder implements dataset.Reader.
func (Reader) NewEncoder(opts dataset.Options, index dataset.Index) (dataset.Encoder, error) {
	s, err := schemaOf(index)
	if err != nil {
		return nil, err
	}
	rows, err := s.rows(index.Classes)
	if err != nil {
		return nil, err
	}
	return &encoder{images: picture.NewLoader(opts), rows: rows}, nil
}

// rows makes the features of rows. Columns that are called like a property of the images have no statistics: theirs are the images'.
func (s *schema) rows(classes []string) (*table.RowFeatures, error) {
	return table.NewRowFeatures(s.Table, classes, s.dropped, func(f table.Field) bool { return picture.IsStat(f.Name) })
}

type encoder struct {
	images   *picture.Loader
	rows     *table.RowFeatures
	features []tfrecord.Feature
}

// Encode implements dataset.Encoder. The record's Meta is its row.
func (e *encoder) Encode(dst []byte, record dataset.Item, body dataset.Body, stats *dataset.Stats) ([]byte, error) {
	data, err := body.Bytes()
	if err != nil {
		return dst, err
	}
	image, err := e.images.Load(record.Path, data)
	if err != nil {
		return dst, err
	}
	columns, _, refused := e.rows.Row(record.Meta)
	if refused != nil {
		return dst, reject.NewFile(record.Path, refused.Reason, "%s", refused.Message)
	}
	e.features = append(append(e.features[:0], columns...),
		tfrecord.Text("filename", record.Path),
		tfrecord.Bytes("image", image.Data),
		tfrecord.Int64("orientation", int64(image.Orientation)))
	stats.AddExample(image.Size, record.Label)
	image.Observe(stats)
	e.rows.Observe(stats)
	return tfrecord.AppendExample(dst, e.features), nil
}
