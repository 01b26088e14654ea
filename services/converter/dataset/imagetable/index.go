package imagetable

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/reject"
	"github.com/trainyard/trainyard/services/converter/table"
)

// Index implements dataset.Reader. It reads the tables twice, so that it holds no rows: first for the types of
// the columns and the classes, then for the records.
func (Reader) Index(ctx context.Context, files dataset.Files, opts dataset.Options, found dataset.Listener) (dataset.Index, error) {
	x := &indexer{images: findImages(files), found: found}
	if err := ctx.Err(); err != nil {
		return dataset.Index{}, err
	}
	if err := x.choose(ctx); err != nil {
		return dataset.Index{}, err
	}
	main := x.tables[0]
	if x.splitName = main.splitColumn(); strings.EqualFold(x.splitName, opts.LabelColumn) {
		x.splitName = ""
	}
	label, chosen, err := main.label(opts.LabelColumn, x.splitName)
	if err != nil {
		return dataset.Index{}, err
	}
	observer := table.ObserveJSON(label, chosen)
	if main.comma != 0 {
		observer = table.ObserveCSV(main.comma, main.names, slices.Index(main.names, label), chosen)
	}
	if err := x.pass(ctx, func(r row) *table.RowError {
		if err := observer.Row(r.data); err != nil {
			return err
		}
		x.seeSplits(r)
		return nil
	}); err != nil {
		return dataset.Index{}, err
	}
	s, classes, err := observer.Finish()
	if err != nil {
		return dataset.Index{}, err
	}
	index, rows, err := x.finish(s, classes, label, chosen)
	if err != nil {
		return dataset.Index{}, err
	}
	x.tell = true
	if err := x.pass(ctx, func(r row) *table.RowError { return x.record(rows, r) }); err != nil {
		return dataset.Index{}, err
	}
	x.leaveOutOthers()
	return index, nil
}

// indexer makes an index.
type indexer struct {
	images    *images
	found     dataset.Listener
	tables    []*labelTable // that are read
	splitName string        // the column that may tell splits
	tell      bool          // the second pass
	taken     []uint64      // a bit for each file that has a row

	// What the first pass saw of splits.
	rows, inColumn, inFolders int64
	columnSplits, folders     map[dataset.Split]bool
	byTable                   bool
}

// choose looks into the tables and picks those that are read: the best, and those with the same columns. It tells what becomes of the others.
func (x *indexer) choose(ctx context.Context) error {
	files := x.images.files
	if x.images.count == 0 {
		return reject.New(reject.NoImageTable, "The archive has no images. To mend it, put images into it and %s", expected)
	}
	list := candidates(files, maxTables)
	var fit []*labelTable
	var best *labelTable // of those that don't fit
	var badText error
	for _, i := range list {
		t, err := openTable(ctx, x.images, i)
		var whole *reject.Error
		var file *reject.File
		switch {
		case errors.As(err, &whole):
			x.found.LeaveOut(i, whole.Reason, whole.Message)
			if badText == nil && named(files.At(i).Path) {
				badText = err
			}
		case errors.As(err, &file):
			x.found.LeaveOut(i, file.Reason, file.Message)
		case err != nil:
			return err
		case t.fits() && isSubmission(t.path):
			x.found.LeaveOut(i, reject.NotData, "the table is a pattern for answers to a contest, whose labels mean nothing; rename it if they do")
		case t.fits():
			fit = append(fit, t)
		default:
			if best == nil || t.share > best.share {
				best = t
			}
			x.found.LeaveOut(i, reject.NotData, "the table has no column that names images of the archive")
		}
	}
	if len(fit) == 0 {
		if badText != nil {
			return badText
		}
		return noTable(best)
	}
	main := slices.MaxFunc(fit, func(a, b *labelTable) int { return a.rank() - b.rank() }) // the first of equals
	for _, t := range fit {
		if t.sameColumns(main) {
			x.tables = append(x.tables, t)
			x.found.Use(t.file)
		} else {
			x.found.LeaveOut(t.file, reject.DifferentColumns, fmt.Sprintf("the table has other columns than %s, which is read; put all columns into one table, or give both the same header", main.path))
		}
	}
	slices.SortFunc(x.tables, func(a, b *labelTable) int { return a.file - b.file })
	splits := make(map[dataset.Split]bool)
	for _, t := range x.tables {
		splits[t.split] = true
	}
	x.byTable = len(splits) > 1 && !splits[dataset.NoSplit]
	return nil
}

const expected = "add a table with one row for each, for example labels.csv with the header file_name,label and rows such as cats/1.jpg,cat."

func noTable(best *labelTable) error {
	if best == nil {
		return reject.New(reject.NoImageTable, "The archive has no table of labels. To mend it, %s", expected)
	}
	if best.matched == 0 {
		return reject.New(reject.NoImageTable, "No column of %s names images of the archive. To mend it, %s", best.path, expected)
	}
	return reject.New(reject.NoImageTable, "The column %q of %s seems to name images, but only %.0f %% of its values are images of the archive; at least %.0f %% are needed. To mend it, write the paths as they are in the archive.",
		best.pathName, best.path, 100*best.share, 100*minShare)
}

// rank orders tables by how likely they hold the labels.
func (t *labelTable) rank() int {
	r := 0
	if label, _, err := t.label("", t.splitColumn()); err == nil && label != "" {
		r += 2
	}
	if named(t.path) {
		r++
	}
	return r
}

func (t *labelTable) sameColumns(o *labelTable) bool {
	if t.comma == 0 || o.comma == 0 {
		return t.comma == o.comma && t.pathName == o.pathName
	}
	return t.comma == o.comma && t.pathName == o.pathName && slices.Equal(t.names, o.names)
}

// row is a row that has an image of its own.
type row struct {
	data   []byte
	image  int
	table  *labelTable
	split  dataset.Split // that its column says
	folder dataset.Split // that its image's folders say
}

// pass reads all tables and calls each with their rows. Rows that have no image or for which each returns an error are left out.
func (x *indexer) pass(ctx context.Context, each func(row) *table.RowError) error {
	x.taken = make([]uint64, (x.images.files.Len()+63)/64)
	for _, t := range x.tables {
		if err := x.passTable(ctx, t, each); err != nil {
			return err
		}
	}
	return nil
}

func (x *indexer) passTable(ctx context.Context, t *labelTable, each func(row) *table.RowError) error {
	r, err := x.images.files.Stream(ctx, t.file)
	if err != nil {
		return err
	}
	defer r.Close()
	if _, err := io.CopyN(io.Discard, r, int64(t.start)); err != nil {
		return unreadable(t, err)
	}
	split := table.Splitter(table.Lines)
	if t.comma != 0 {
		split = table.CSV(t.comma)
	}
	scanner, cut := table.NewScanner(r, split), newCutter(t, x.splitName)
	leave := func(line int64, e *table.RowError) {
		if x.tell {
			x.found.LeaveOutRow(t.file, line, e.Reason, e.Message)
		}
	}
	for header := t.header; ; header = false {
		if err := ctx.Err(); err != nil {
			return err
		}
		next, err := scanner.Next()
		var refused *table.RowError
		switch {
		case errors.As(err, &refused):
			leave(refused.Line, refused)
			continue
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return unreadable(t, err)
		case header:
			continue
		}
		if refused := x.row(t, next.Data, cut, each); refused != nil {
			leave(next.Line, refused)
		}
	}
}

// unreadable says that a table that labels come from can't be read to its end, so that there can be no dataset.
func unreadable(t *labelTable, err error) error {
	var file *reject.File
	if errors.As(err, &file) {
		return reject.New(file.Reason, "The table %s can't be read: %s.", t.path, file.Message)
	}
	return err
}

func (x *indexer) row(t *labelTable, data []byte, cut *cutter, each func(row) *table.RowError) *table.RowError {
	if err := cut.cut(data); err != nil {
		return err
	}
	if cut.name == "" {
		return table.NewRowError(reject.MissingImage, "the row has no value in the column %q, which names the image", t.pathName)
	}
	image, v := x.images.find(t.dir, cut.name, t.split)
	switch v {
	case none:
		return table.NewRowError(reject.MissingImage, "no image of the archive is called %q; write its path as it is in the archive", short(cut.name))
	case several:
		return table.NewRowError(reject.AmbiguousImage, "several images of the archive are called %q; write their paths from the table's folder", short(cut.name))
	}
	bit := uint64(1) << (image % 64)
	if x.taken[image/64]&bit != 0 {
		return table.NewRowError(reject.DuplicateRow, "the image %q has a row before; there must be one row for each image", short(cut.name))
	}
	p := x.images.files.At(image).Path
	r := row{data: data, image: image, table: t, split: dataset.SplitNamed(cut.split), folder: folderSplit(strings.TrimPrefix(p, x.images.root))}
	if x.tell && x.useColumn() && r.split == dataset.NoSplit {
		return table.NewRowError(reject.MalformedRow, "the value %q in the column %q names no split; write train, validation or test", short(cut.split), x.splitName)
	}
	if err := each(r); err != nil {
		return err
	}
	x.taken[image/64] |= bit
	return nil
}

func short(s string) string {
	const most = 200
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// seeSplits notes what a row says of splits.
func (x *indexer) seeSplits(r row) {
	if x.columnSplits == nil {
		x.columnSplits, x.folders = make(map[dataset.Split]bool), make(map[dataset.Split]bool)
	}
	x.rows++
	if r.split != dataset.NoSplit {
		x.inColumn++
		x.columnSplits[r.split] = true
	}
	if r.folder != dataset.NoSplit {
		x.inFolders++
		x.folders[r.folder] = true
	}
}

// useColumn tells whether the column of splits is one: nearly all of its values name a split, and two at least.
func (x *indexer) useColumn() bool {
	return x.splitName != "" && len(x.columnSplits) > 1 && float64(x.inColumn) >= 0.9*float64(x.rows)
}

// useFolders tells whether the images lie in folders of their splits.
func (x *indexer) useFolders() bool { return len(x.folders) > 1 && x.inFolders == x.rows }

// finish makes the index of what the first pass saw.
func (x *indexer) finish(s *table.Schema, classes []string, label string, chosen bool) (dataset.Index, *table.RowFeatures, error) {
	main := x.tables[0]
	if x.rows == 0 && chosen {
		if _, err := table.LabelColumn(main.others(), label); err != nil {
			return dataset.Index{}, nil, err
		}
	}
	if x.rows == 0 {
		return dataset.Index{}, nil, reject.New(reject.NoExamples, "No row of %s has an image of the archive and all that it needs beside. To mend it, %s", main.path, expected)
	}
	if chosen && s.Label < 0 {
		return dataset.Index{}, nil, reject.New(reject.UnknownColumn, "There is no column %q for the label in %s.", label, main.path)
	}
	if len(classes) == 1 {
		return dataset.Index{}, nil, reject.New(reject.TooFewClasses, "The column %q of %s has only one label, %q; at least two classes are needed.", label, main.path, classes[0])
	}
	out := &schema{Table: s, Drop: []string{main.pathName}}
	if x.useColumn() {
		out.Drop = append(out.Drop, x.splitName)
	}
	nameFeatures(s, out, classes)
	raw, err := json.Marshal(out)
	if err != nil {
		return dataset.Index{}, nil, fmt.Errorf("image-table: schema: %w", err)
	}
	rows, err := out.rows(classes)
	return dataset.Index{Classes: classes, Schema: raw}, rows, err
}

// nameFeatures gives the label the name that it has in all datasets of images: label, or target where it is a
// number to be estimated. Columns that have the name of one of the image's features get a number.
func nameFeatures(s *table.Schema, out *schema, classes []string) {
	for i, f := range s.Fields {
		switch f.Name {
		case "filename", "image", "orientation", "label", "target":
			if i != s.Label || f.Name == "filename" || f.Name == "image" || f.Name == "orientation" {
				s.Rename(i, f.Name+"_2")
			}
		}
		if out.dropped(f) {
			s.Rename(i, "dropped_column")
		}
	}
	if s.Label < 0 {
		return
	}
	f := &s.Fields[s.Label]
	switch {
	case classes != nil:
		s.Rename(s.Label, "label")
	case f.Kind == table.KindInt || f.Kind == table.KindFloat:
		f.Kind = table.KindFloat
		s.Rename(s.Label, "target")
	}
}

// record tells of a record.
func (x *indexer) record(rows *table.RowFeatures, r row) *table.RowError {
	_, label, err := rows.Row(r.data)
	if err != nil {
		return err
	}
	split := dataset.NoSplit
	switch {
	case x.useColumn():
		split = r.split
	case x.byTable:
		split = r.table.split
	case x.useFolders():
		split = r.folder
	}
	x.found.Record(dataset.Record{
		File: r.image, Key: strings.TrimPrefix(x.images.files.At(r.image).Path, x.images.root), Label: label, Split: split, Meta: r.data,
	})
	return nil
}

// leaveOutOthers tells of the images that no row names, and of archives.
func (x *indexer) leaveOutOthers() {
	for i := range x.images.files.Len() {
		p := x.images.files.At(i).Path
		switch {
		case x.taken[i/64]&(1<<(i%64)) != 0:
		case isImage(p):
			x.found.LeaveOut(i, reject.NotInTable, "no row of a table that is read names the image, so it has no label")
		case isArchive(p):
			x.found.LeaveOut(i, reject.NestedArchive, "archives within the archive are not opened; put their files into the outer one")
		}
	}
}

func isArchive(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".zip", ".tar", ".gz", ".tgz", ".zst", ".bz2", ".xz", ".7z", ".rar":
		return true
	}
	return false
}

// cutter takes the image's name and the split from rows.
type cutter struct {
	name, split         string // of the row
	fields              *table.Fields
	pathAt, splitAt     int
	flat                table.Flattener
	pathName, splitName string
	visit               func([]byte, *table.Value) *table.RowError
}

func newCutter(t *labelTable, splitName string) *cutter {
	c := &cutter{pathAt: slices.Index(t.names, t.pathName), splitAt: slices.Index(t.names, splitName), pathName: t.pathName, splitName: splitName}
	if t.comma != 0 {
		c.fields = table.NewFields(t.comma)
	}
	c.visit = func(p []byte, v *table.Value) *table.RowError {
		switch {
		case v.Kind != table.String && v.Kind != table.Int:
		case string(p) == c.pathName:
			c.name = string(v.Text)
		case string(p) == c.splitName:
			c.split = string(v.Text)
		}
		return nil
	}
	return c
}

func (c *cutter) cut(data []byte) *table.RowError {
	c.name, c.split = "", ""
	if c.fields == nil {
		return c.flat.Row(data, c.visit)
	}
	if err := table.CheckText(data); err != nil {
		return err
	}
	cells, err := c.fields.Cut(data)
	if err != nil {
		return err
	}
	if c.pathAt < len(cells) {
		c.name = string(table.TrimSpace(cells[c.pathAt]))
	}
	if c.splitAt >= 0 && c.splitAt < len(cells) {
		c.split = string(table.TrimSpace(cells[c.splitAt]))
	}
	return nil
}
