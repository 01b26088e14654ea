package imagetable_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/dataset/datasettest"
	"github.com/trainyard/trainyard/services/converter/dataset/imagetable"
	"github.com/trainyard/trainyard/services/converter/reject"
	"github.com/trainyard/trainyard/services/converter/tfrecord"
)

func pngFile(tb testing.TB) []byte {
	tb.Helper()
	img := image.NewGray(image.Rect(0, 0, 5, 4))
	img.SetGray(1, 1, color.Gray{200})
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// upload are files: tables by their text, images where the text is "image".
func upload(tb testing.TB, pairs ...string) []datasettest.File {
	tb.Helper()
	p := pngFile(tb)
	var files []datasettest.File
	for i := 0; i < len(pairs); i += 2 {
		data := []byte(pairs[i+1])
		if pairs[i+1] == "image" {
			data = p
		}
		files = append(files, datasettest.File{Path: pairs[i], Data: data})
	}
	return files
}

func TestConformance(t *testing.T) {
	type labels = map[string]int
	type reasons = map[string]reject.Reason
	type splits = map[string]dataset.Split
	datasettest.Run(t, imagetable.Reader{}, []datasettest.Case{
		{
			Name: "labels.csv with rows and images that have no partner",
			Files: upload(t, "labels.csv", "file_name,label,weight\n1.png,cat,1.5\nimages/2.png,dog,2\n3,cat,3\n9.png,dog,4\n1.png,dog,5\n5.png,,6\n,cat,7\n6.png,dog\n7.png,dog,8\n",
				"images/1.png", "image", "images/2.png", "image", "images/3.PNG", "image", "images/4.png", "image", "images/5.png", "image",
				"images/6.png", "image", "images/7.png", "not an image", "README.md", "about", "more.zip", "PK"),
			Classes: []string{"cat", "dog"},
			Labels:  labels{"images/1.png": 0, "images/2.png": 1, "images/3.PNG": 0},
			LeftOut: reasons{
				"labels.csv#5": reject.MissingImage, "labels.csv#6": reject.DuplicateRow, "labels.csv#7": reject.MissingLabel, "labels.csv#8": reject.MissingImage, "labels.csv#9": reject.MalformedRow,
				"images/4.png": reject.NotInTable, "images/5.png": reject.NotInTable, "images/6.png": reject.NotInTable, "images/7.png": reject.MalformedImage,
				"README.md": reject.NotData, "more.zip": reject.NestedArchive,
			},
			Used: []string{"labels.csv"},
		},
		{
			Name: "metadata.jsonl beside the images of each split",
			Files: upload(t, "train/metadata.jsonl", `{"file_name": "1.png", "label": "b", "box": [1, 2]}`+"\n"+`{"file_name": "2.png", "label": "a", "box": [3, 4]}`+"\n",
				"train/1.png", "image", "train/2.png", "image",
				"test/metadata.jsonl", `{"file_name": "1.png", "label": "a", "box": [1, 2]}`+"\n"+`{"file_name": 3}`+"\nnot JSON\n", "test/1.png", "image"),
			Classes: []string{"a", "b"},
			Labels:  labels{"train/1.png": 1, "train/2.png": 0, "test/1.png": 0},
			Splits:  splits{"train/1.png": dataset.Train, "train/2.png": dataset.Train, "test/1.png": dataset.Test},
			LeftOut: reasons{"test/metadata.jsonl#2": reject.MissingImage, "test/metadata.jsonl#3": reject.MalformedRow},
			Used:    []string{"train/metadata.jsonl", "test/metadata.jsonl"},
		},
		{
			Name: "a table for each split, with other tables beside",
			Files: upload(t, "train.csv", "id;species\r\na;wren\r\nb;robin\r\n", "val.csv", "id;species\r\nc;wren\r\n", "sample_submission.csv", "id;species\r\nd;wren\r\n",
				"extra.csv", "id;size\r\na;5\r\n", "colours.csv", "colour;code\nred;1\n",
				"pictures/a.png", "image", "pictures/b.png", "image", "pictures/c.png", "image", "pictures/d.png", "image"),
			Classes: []string{"robin", "wren"},
			Labels:  labels{"pictures/a.png": 1, "pictures/b.png": 0, "pictures/c.png": 1},
			Splits:  splits{"pictures/a.png": dataset.Train, "pictures/b.png": dataset.Train, "pictures/c.png": dataset.Validation},
			LeftOut: reasons{
				"sample_submission.csv": reject.NotData, "extra.csv": reject.DifferentColumns, "colours.csv": reject.NotData, "pictures/d.png": reject.NotInTable,
			},
			Used: []string{"train.csv", "val.csv"},
		},
		{
			Name: "a column of splits and numbers as classes, in their order",
			Files: upload(t, "data.tsv", "\xef\xbb\xbfpath\tclass\tsplit\n1.png\t10\ttrain\n2.png\t2\ttest\n3.png\t10\tTRAIN\n",
				"1.png", "image", "2.png", "image", "3.png", "image"),
			Classes: []string{"2", "10"},
			Labels:  labels{"1.png": 1, "2.png": 0, "3.png": 1},
			Splits:  splits{"1.png": dataset.Train, "2.png": dataset.Test, "3.png": dataset.Train},
			LeftOut: reasons{},
			Used:    []string{"data.tsv"},
		},
		{
			Name: "numbers to be estimated, without a header; images in folders of their splits",
			Files: upload(t, "list.csv", "train/1.png,0.5\ntrain/2.png,1\ntest/1.png,2.25\n",
				"train/1.png", "image", "train/2.png", "image", "test/1.png", "image"),
			Labels:  labels{"train/1.png": -1, "train/2.png": -1, "test/1.png": -1},
			Splits:  splits{"train/1.png": dataset.Train, "train/2.png": dataset.Train, "test/1.png": dataset.Test},
			LeftOut: reasons{},
			Used:    []string{"list.csv"},
		},
		{
			Name: "a named column, and columns that are called like features",
			Files: upload(t, "labels.csv", "image,label,kind,orientation,width,target\n1.png,x,b,up,5,1\n2.png,y,a,up,6,2\n",
				"1.png", "image", "2.png", "image"),
			Options: dataset.Options{LabelColumn: "kind"},
			Classes: []string{"a", "b"},
			Labels:  labels{"1.png": 1, "2.png": 0},
			LeftOut: reasons{},
			Used:    []string{"labels.csv"},
		},
		{
			Name:    "captions",
			Files:   upload(t, "metadata.csv", "file_name,text\n1.png,\"a cat,\na dog\"\n2.png,a bird\n", "1.png", "image", "2.png", "image"),
			Labels:  labels{"1.png": -1, "2.png": -1},
			LeftOut: reasons{},
			Used:    []string{"metadata.csv"},
		},
		{
			Name: "twins in folders are told apart by the table's folder",
			Files: upload(t, "a/labels.csv", "name,label\n1.png,x\n2.png,y\n", "a/img/1.png", "image", "a/img/2.png", "image", "b/img/1.png", "image",
				"b/img/2.png", "image", "c/labels.csv", "name,label\n1.png,x\n"),
			Classes: []string{"x", "y"},
			Labels:  labels{"a/img/1.png": 0, "a/img/2.png": 1},
			LeftOut: reasons{"b/img/1.png": reject.NotInTable, "b/img/2.png": reject.NotInTable, "c/labels.csv#2": reject.AmbiguousImage},
			Used:    []string{"a/labels.csv", "c/labels.csv"},
		},
	})
}

// memory implements dataset.Files.
type memory []datasettest.File

func (m memory) Len() int { return len(m) }

func (m memory) At(i int) dataset.File {
	return dataset.File{Path: m[i].Path, Size: int64(len(m[i].Data))}
}

func (m memory) Stream(_ context.Context, i int) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(m[i].Data)), nil
}

func (m memory) Open(context.Context, int) (io.ReaderAt, error) { return nil, errors.ErrUnsupported }

// listener notes records and counts what is left out.
type listener struct {
	dataset.Listener
	records []dataset.Record
	left    map[reject.Reason]int
}

func (l *listener) Record(r dataset.Record) {
	r.Meta = slices.Clone(r.Meta)
	l.records = append(l.records, r)
}
func (l *listener) Use(int) {}
func (l *listener) LeaveOut(_ int, reason reject.Reason, _ string) {
	l.note(reason)
}

func (l *listener) LeaveOutRow(_ int, _ int64, reason reject.Reason, _ string) {
	l.note(reason)
}

func (l *listener) note(reason reject.Reason) {
	if l.left == nil {
		l.left = make(map[reject.Reason]int)
	}
	l.left[reason]++
}

// bare is the body of a record of one file.
type bare struct {
	dataset.Body
	data []byte
}

func (b bare) Bytes() ([]byte, error) { return b.data, nil }

func TestDetect(t *testing.T) {
	tests := []struct {
		name    string
		files   memory
		certain bool
		why     string
	}{
		{"labels", upload(t, "labels.csv", "f,label\n1.png,a\n", "1.png", "image"), true, `"f"`},
		{"a table of something else", upload(t, "labels.csv", "f,label\nx,a\ny,b\n", "1.png", "image"), false, ""},
		{"a list of files beside class folders", upload(t, "list.csv", "f,size\na/1.png,5\nb/1.png,6\n", "a/1.png", "image", "b/1.png", "image"), false, ""},
		{"labels beside class folders", upload(t, "list.csv", "f,label\na/1.png,5\nb/1.png,6\n", "a/1.png", "image", "b/1.png", "image"), true, "list.csv"},
		{"captions in folders of splits", upload(t, "list.csv", "f,text\ntrain/1.png,5\ntest/1.png,6\n", "train/1.png", "image", "test/1.png", "image"), true, "list.csv"},
		{"captions by Hugging Face's name", upload(t, "metadata.csv", "file_name,text\na/1.png,x\nb/1.png,y\n", "a/1.png", "image", "b/1.png", "image"), true, "metadata.csv"},
		{"fewer than half of the values are images", upload(t, "labels.csv", "f,label\n1.png,a\n2.png,a\n3.png,b\n", "1.png", "image"), false, ""},
		{"no images", upload(t, "labels.csv", "f,label\n1.png,a\n"), false, ""},
		{"no table", upload(t, "1.png", "image"), false, ""},
		{"a pattern for answers", upload(t, "sample_submission.csv", "f,label\n1.png,a\n", "1.png", "image"), false, ""},
		{"UTF-16 beside images without classes", upload(t, "labels.csv", "\xff\xfef\x00,\x00", "1.png", "image"), true, "labels.csv"},
		{"UTF-16 beside class folders", upload(t, "labels.csv", "\xff\xfef\x00,\x00", "a/1.png", "image", "b/1.png", "image"), false, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, err := imagetable.Reader{}.Detect(t.Context(), tt.files)
			if err != nil || m.Certain != tt.certain || (m.Share > 0) != tt.certain || !strings.Contains(m.Why, tt.why) {
				t.Errorf("%+v, %v", m, err)
			}
		})
	}
}

func TestIndexRejects(t *testing.T) {
	tests := []struct {
		name   string
		files  memory
		column string
		reason reject.Reason
		says   string
	}{
		{"no images", upload(t, "labels.csv", "f,label\n1.png,a\n"), "", reject.NoImageTable, "no images"},
		{"no table", upload(t, "1.png", "image"), "", reject.NoImageTable, "no table"},
		{"a table of something else", upload(t, "labels.csv", "f,label\nx,a\n", "1.png", "image"), "", reject.NoImageTable, "labels.csv"},
		{"a third of the values are images", upload(t, "labels.csv", "f,label\n1.png,a\n2.png,a\n3.png,b\n", "1.png", "image"), "", reject.NoImageTable, "33 %"},
		{"one class", upload(t, "labels.csv", "f,label\n1.png,a\n", "1.png", "image"), "", reject.TooFewClasses, `"a"`},
		{"a column that there isn't", upload(t, "labels.csv", "f,label\n1.png,a\n", "1.png", "image"), "kind", reject.UnknownColumn, "kind"},
		{"the same in JSON", upload(t, "labels.jsonl", `{"f":"1.png"}`, "1.png", "image"), "kind", reject.UnknownColumn, "kind"},
		{"UTF-16", upload(t, "labels.csv", "\xff\xfef\x00,\x00", "1.png", "image"), "", reject.UnsupportedEncoding, "labels.csv: line 1"},
		{"NUL", upload(t, "labels.csv", "f,label\n1.png,\x00\n", "1.png", "image"), "", reject.UnsupportedEncoding, "line 2"},
		{"Latin-1", upload(t, "labels.csv", "f,label\n1.png,caf\xe9\n2.png,\xe9t\xe9\n", "1.png", "image"), "", reject.UnsupportedEncoding, "line 2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := imagetable.Reader{}.Index(t.Context(), tt.files, dataset.Options{LabelColumn: tt.column}, &listener{})
			var rejected *reject.Error
			if !errors.As(err, &rejected) || rejected.Reason != tt.reason || !strings.Contains(rejected.Message, tt.says) {
				t.Errorf("got %v, want %s that says %q", err, tt.reason, tt.says)
			}
		})
	}
}

// encodeFirst indexes an upload and returns the example of its first record and the features.
func encodeFirst(t *testing.T, files memory, opts dataset.Options) (map[string]tfrecord.Value, []string) {
	t.Helper()
	found := &listener{}
	index, err := imagetable.Reader{}.Index(t.Context(), files, opts, found)
	if err != nil {
		t.Fatal(err)
	}
	e, err := imagetable.Reader{}.NewEncoder(opts, index)
	if err != nil {
		t.Fatal(err)
	}
	var stats dataset.Stats
	r := found.records[0]
	data, err := e.Encode(nil, dataset.Item{Path: files[r.File].Path, Label: r.Label, Meta: r.Meta}, bare{data: files[r.File].Data}, &stats)
	if err != nil {
		t.Fatal(err)
	}
	example, err := tfrecord.ParseExample(data)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range (imagetable.Reader{}).Features(index, &stats) {
		names = append(names, f.Name)
	}
	slices.Sort(names)
	return example, names
}

func TestColumnsBecomeFeatures(t *testing.T) {
	tests := []struct {
		name  string
		table string
		want  map[string]string
	}{
		{"classes", "f,label,n,x,note\n1.png,b,3,0.5,hello\n2.png,a,4,2,\n", map[string]string{"label": "[1]", "n": "[3]", "x": "[0.5]", "note": "hello"}},
		{"numbers to be estimated", "f,target\n1.png,0.5\n2.png,1\n", map[string]string{"target": "[0.5]"}},
		{"whole numbers to be estimated", "f,age\n1.png,212\n2.png,-5\n3.png,1000\n", map[string]string{"target": "[212]"}},
		{"names of the image's features", "image,filename,label\n1.png,x,b\n2.png,y,a\n", map[string]string{"filename": "1.png", "filename_2": "x", "label": "[1]"}},
		{"a slash in a name", "f,a/b,label\n1.png,3,b\n2.png,4,a\n", map[string]string{"a_b": "[3]", "label": "[1]"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			example, names := encodeFirst(t, upload(t, "labels.csv", tt.table, "1.png", "image", "2.png", "image", "3.png", "image"), dataset.Options{})
			for name, want := range tt.want {
				v := example[name]
				got := fmt.Sprint(v.Int64s)
				switch {
				case len(v.Bytes) > 0:
					got = string(v.Bytes[0])
				case len(v.Floats) > 0:
					got = fmt.Sprint(v.Floats)
				}
				if got != want || !slices.Contains(names, name) {
					t.Errorf("%s = %s, want %s; features %q", name, got, want, names)
				}
			}
		})
	}
}

func TestManyTwinsCostLittle(t *testing.T) {
	const n = 20_000
	files := memory{}
	var b strings.Builder
	b.WriteString("f,label\n")
	for i := range n {
		files = append(files, datasettest.File{Path: fmt.Sprintf("d%05d/0.png", i)})
		fmt.Fprintf(&b, "d%05d/0,%d\n", i, i%3)
	}
	b.WriteString(strings.Repeat("0,1\n", n)) // names that fit all of them
	files = append(files, datasettest.File{Path: "labels.csv", Data: []byte(b.String())})
	found := &listener{}
	if _, err := (imagetable.Reader{}).Index(t.Context(), files, dataset.Options{}, found); err != nil {
		t.Fatal(err)
	}
	if len(found.records) != n || found.left[reject.AmbiguousImage] != n {
		t.Errorf("%d records, left out %v", len(found.records), found.left)
	}
}

func TestEncodeDoesNotAllocate(t *testing.T) {
	for _, name := range []string{"labels.csv", "labels.jsonl"} {
		text := "f,label,n,note\n1.png,b,3,hello\n2.png,a,4,you\n"
		if name == "labels.jsonl" {
			text = `{"f":"1.png","label":"b","n":3,"note":"hello"}` + "\n" + `{"f":"2.png","label":"a","n":4,"note":"you"}`
		}
		files := memory(upload(t, name, text, "1.png", "image", "2.png", "image"))
		found := &listener{}
		index, err := imagetable.Reader{}.Index(t.Context(), files, dataset.Options{}, found)
		if err != nil {
			t.Fatal(err)
		}
		e, err := imagetable.Reader{}.NewEncoder(dataset.Options{Validation: dataset.Structure}, index)
		if err != nil {
			t.Fatal(err)
		}
		var stats dataset.Stats
		var body dataset.Body = bare{data: files[1].Data}
		buf := make([]byte, 0, 1<<16)
		r := found.records[0]
		item := dataset.Item{Path: "1.png", Label: r.Label, Meta: r.Meta}
		if allocs := testing.AllocsPerRun(100, func() {
			if _, err := e.Encode(buf, item, body, &stats); err != nil {
				t.Fatal(err)
			}
		}); allocs > 1 {
			t.Errorf("%s: %v allocations a record", name, allocs)
		}
	}
}

func FuzzIndex(f *testing.F) {
	f.Add([]byte("f,label,split\n1.png,a,train\n2.png,b,test\n"), false)
	f.Add([]byte("1.png;0.5\n\"2.png\";1\n"), false)
	f.Add([]byte(`{"f":"1.png","label":1}`+"\n"+`{"f":"../2.png","label":{"x":[1,2]}}`), true)
	f.Add(bytes.Repeat([]byte(","), 5000), false)
	p := pngFile(f)
	f.Fuzz(func(t *testing.T, text []byte, json bool) {
		name := "labels.csv"
		if json {
			name = "labels.jsonl"
		}
		files := memory{{Path: name, Data: text}, {Path: "1.png", Data: p}, {Path: "d/2.png", Data: p}}
		if _, err := (imagetable.Reader{}).Detect(t.Context(), files); err != nil {
			t.Fatal(err)
		}
		found := &listener{}
		index, err := imagetable.Reader{}.Index(t.Context(), files, dataset.Options{}, found)
		var rejected *reject.Error
		if errors.As(err, &rejected) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		e, err := imagetable.Reader{}.NewEncoder(dataset.Options{}, index)
		if err != nil {
			t.Fatal(err)
		}
		var stats dataset.Stats
		for _, r := range found.records {
			if _, err := e.Encode(nil, dataset.Item{Path: files[r.File].Path, Label: r.Label, Meta: r.Meta}, bare{data: files[r.File].Data}, &stats); err != nil {
				t.Errorf("a row that was indexed isn't encoded: %v", err)
			}
		}
		imagetable.Reader{}.Features(index, &stats)
	})
}
