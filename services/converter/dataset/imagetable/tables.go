package imagetable

import (
	"context"
	"errors"
	"path"
	"slices"
	"strings"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/reject"
	"github.com/trainyard/trainyard/services/converter/table"
)

const (
	sampleRows = 200  // that a table is judged by
	minShare   = 0.5  // of the sample that must name images
	maxTables  = 1000 // that are looked into
	fewTables  = 8    // that Detect looks into
)

// labelTable is a table and what its first rows tell.
type labelTable struct {
	file  int
	path  string
	dir   string // that it lies in, with a final slash, or ""
	start int    // where its text begins
	comma byte   // 0: JSON lines
	// names are the columns; of JSON lines those seen in the sample, sorted.
	names    []string
	header   bool
	pathName string  // the column that names images
	share    float64 // of the sample that does
	matched  int
	split    dataset.Split
}

// column is a column of a sample.
type column struct {
	values, matched int
}

// pathNames are columns that are preferred to others which name as many images.
var pathNames = []string{"file_name", "filename", "file", "image_path", "filepath", "file_path", "path", "image", "img", "image_id", "id"}

// splitNames are the columns that tell splits, if all of their values are names of splits.
var splitNames = []string{"split", "subset", "set", "partition", "phase", "usage", "dataset", "data_set"}

// named tells whether a file's name is one that tables of labels have.
func named(p string) bool {
	stem := strings.ToLower(strings.TrimSuffix(path.Base(p), path.Ext(p)))
	for _, word := range []string{"label", "metadata", "annotation", "class", "image", "train", "test", "valid", "data"} {
		if strings.Contains(stem, word) {
			return true
		}
	}
	return false
}

// openTable looks at a table's first rows. A *reject.Error says what is wrong with its text, a *reject.File why it can't be read.
func openTable(ctx context.Context, found *images, file int) (*labelTable, error) {
	f := found.files.At(file)
	head, err := dataset.ReadHead(ctx, found.files, file, table.HeadBytes)
	if err != nil {
		return nil, err
	}
	whole := int64(len(head)) == f.Size
	t := &labelTable{file: file, path: f.Path, dir: f.Path[:strings.LastIndexByte(f.Path, '/')+1], split: dataset.SplitIn(strings.TrimPrefix(f.Path, found.root))}
	if t.start, err = table.CheckHead(f.Path, head, whole); err != nil {
		return nil, err
	}
	text := head[t.start:]
	switch strings.ToLower(path.Ext(f.Path)) {
	case ".jsonl", ".ndjson":
		t.sampleJSON(found, table.SampleRows(text, table.Lines, whole, sampleRows))
	default:
		t.comma, _, _ = table.Sniff(text, whole)
		t.sampleCSV(found, table.SampleRows(text, table.CSV(t.comma), whole, sampleRows+1))
	}
	return t, nil
}

// sampleCSV finds the column that names images.
func (t *labelTable) sampleCSV(found *images, rows [][]byte) {
	if len(rows) == 0 {
		return
	}
	cut := table.NewFields(t.comma)
	first, refused := cut.Cut(rows[0])
	if refused != nil {
		return
	}
	inFirst := make([]bool, len(first)) // whether the first row names an image
	columns := make([]column, len(first))
	for n, row := range rows {
		cells, refused := cut.Cut(row)
		if refused != nil || len(cells) != len(columns) {
			continue
		}
		for i, c := range cells {
			c = table.TrimSpace(c)
			_, v := found.find(t.dir, string(c), t.split)
			if n == 0 {
				inFirst[i] = v == one
				continue
			}
			if table.IsMissing(c) {
				continue
			}
			columns[i].values++
			if v != none {
				columns[i].matched++
			}
		}
	}
	// Where the first row is a header, it is no part of the sample, and where it isn't, its columns have no names.
	first, _ = cut.Cut(rows[0])
	t.names = table.Header(first)
	for i := range columns {
		if inFirst[i] {
			columns[i].values++
			columns[i].matched++
		}
	}
	best := t.best(columns)
	t.header = best < 0 || !inFirst[best]
	if !t.header {
		for i := range t.names {
			t.names[i] = table.ColumnName(i)
		}
	}
	if best >= 0 {
		t.pathName = t.names[best]
	}
}

// sampleJSON does the same for rows that are objects.
func (t *labelTable) sampleJSON(found *images, rows [][]byte) {
	columns := make(map[string]*column)
	var flat table.Flattener
	for _, row := range rows {
		_ = flat.Row(row, func(p []byte, v *table.Value) *table.RowError {
			c := columns[string(p)]
			if c == nil {
				if len(columns) == table.MaxColumns {
					return nil
				}
				c = &column{}
				columns[string(p)] = c
			}
			if v.Kind == table.String && len(v.Text) > 0 || v.Kind == table.Int {
				c.values++
				if _, fate := found.find(t.dir, string(v.Text), t.split); fate != none {
					c.matched++
				}
			}
			return nil
		})
	}
	var list []column
	for name := range columns {
		t.names = append(t.names, name)
	}
	slices.Sort(t.names)
	for _, name := range t.names {
		list = append(list, *columns[name])
	}
	if best := t.best(list); best >= 0 {
		t.pathName = t.names[best]
	}
}

// best returns the column that names most images, and notes how many; -1 if none does.
func (t *labelTable) best(columns []column) int {
	best, bestRank := -1, 0
	for i, c := range columns {
		if c.matched == 0 {
			continue
		}
		share := float64(c.matched) / float64(c.values)
		rank := slices.Index(pathNames, strings.ToLower(t.names[i]))
		if rank < 0 {
			rank = len(pathNames)
		}
		if best < 0 || share > t.share || share == t.share && rank < bestRank {
			best, bestRank = i, rank
			t.share, t.matched = share, c.matched
		}
	}
	return best
}

// fits tells whether the table names images.
func (t *labelTable) fits() bool { return t.matched > 0 && t.share >= minShare }

// isSubmission tells whether a table is one of those that contests bring along as a pattern for answers, with labels that mean nothing.
func isSubmission(p string) bool {
	return strings.Contains(strings.ToLower(path.Base(p)), "submission")
}

// others are the columns beside the one that names images.
func (t *labelTable) others() []string {
	return slices.DeleteFunc(slices.Clone(t.names), func(n string) bool { return n == t.pathName })
}

// moreLabels are names of label columns, after those that package table knows.
var moreLabels = []string{"labels", "class_name", "classname", "class_id", "label_name", "category_name", "breed", "diagnosis", "tag"}

// captions are columns that describe an image in words rather than by a class.
var captions = []string{"text", "caption", "captions", "description", "prompt", "title"}

// label returns the column with the label, or "". Only the table's own names are taken for it, or its one other column. chosen says that the user named it.
func (t *labelTable) label(wanted, split string) (name string, chosen bool, err error) {
	others := slices.DeleteFunc(t.others(), func(n string) bool { return n == split })
	i, err := table.LabelColumn(others, wanted)
	if err != nil {
		if t.comma == 0 {
			return wanted, true, nil // the sample may not have all columns
		}
		return "", false, err
	}
	if i >= 0 {
		return others[i], wanted != "", nil
	}
	for _, label := range moreLabels {
		if i := slices.IndexFunc(others, func(n string) bool { return strings.EqualFold(n, label) }); i >= 0 {
			return others[i], false, nil
		}
	}
	if len(others) == 1 && !slices.Contains(captions, strings.ToLower(others[0])) {
		return others[0], false, nil
	}
	return "", false, nil
}

// hasLabelName tells whether a column has a name that labels have.
func (t *labelTable) hasLabelName() bool {
	others := t.others()
	i, err := table.LabelColumn(others, "")
	return err == nil && i >= 0 || slices.ContainsFunc(others, func(n string) bool { return slices.Contains(moreLabels, strings.ToLower(n)) })
}

// splitColumn returns the column that may tell splits, or "".
func (t *labelTable) splitColumn() string {
	for _, name := range splitNames {
		if i := slices.IndexFunc(t.names, func(n string) bool { return strings.EqualFold(n, name) && n != t.pathName }); i >= 0 {
			return t.names[i]
		}
	}
	return ""
}

// candidates are the files that may be tables, those first whose names say so and that lie highest.
func candidates(files dataset.Files, most int) []int {
	var list []int
	for i := range files.Len() {
		if p := files.At(i).Path; isTable(p) {
			list = append(list, i)
		}
	}
	depth := func(i int) int { return strings.Count(files.At(i).Path, "/") }
	slices.SortStableFunc(list, func(a, b int) int {
		if na, nb := named(files.At(a).Path), named(files.At(b).Path); na != nb {
			if na {
				return -1
			}
			return 1
		}
		return depth(a) - depth(b)
	})
	return list[:min(len(list), most)]
}

// isRejection tells an error that lies in a file from one of the surroundings.
func isRejection(err error) bool {
	var file *reject.File
	var whole *reject.Error
	return errors.As(err, &file) || errors.As(err, &whole)
}
