package csvfile

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/dataset/datasettest"
	"github.com/trainyard/trainyard/services/converter/reject"
	"github.com/trainyard/trainyard/services/converter/table/tabletest"
)

func file(path, data string) datasettest.File {
	return datasettest.File{Path: path, Data: []byte(data)}
}

const flowers = "length,width,seen,species,note\n5.1,3,yes,setosa,\"a, b\"\n6,,no,virginica,c\nNA,2,yes,setosa,\"d\ne\"\n"

func TestReader(t *testing.T) {
	datasettest.Run(t, Reader{}, []datasettest.Case{
		{
			Name: "one table", Files: []datasettest.File{file("flowers.csv", flowers)}, Classes: []string{"setosa", "virginica"},
			Labels: map[string]int{"flowers.csv#2": -1, "flowers.csv#3": -1, "flowers.csv#4": -1}, Used: []string{"flowers.csv"},
		},
		{
			Name: "splits, and other files",
			Files: []datasettest.File{
				file("README.md", "x"), file("test.csv", "\xef\xbb\xbfa,y\n1,0\n"), file("train.csv", "a,y\r\n2,1\r\n\r\n3,0\r\n"),
			},
			Classes: []string{"0", "1"},
			Labels:  map[string]int{"test.csv#2": -1, "train.csv#2": -1, "train.csv#3": -1},
			Splits:  map[string]dataset.Split{"test.csv#2": dataset.Test, "train.csv#2": dataset.Train, "train.csv#3": dataset.Train},
			LeftOut: map[string]reject.Reason{"README.md": reject.NotData},
			Used:    []string{"test.csv", "train.csv"},
		},
		{
			Name:    "rows left out with their lines",
			Files:   []datasettest.File{file("a.tsv", "x\tlabel\n1\ta\n2\n3\tb\n4\t\n\"5\"6\ta\n7\t\xff\n8\ta\n9\t\"b\n10\tb\n")},
			Classes: []string{"a", "b"},
			Labels:  map[string]int{"a.tsv#2": -1, "a.tsv#4": -1, "a.tsv#8": -1, "a.tsv#10": -1},
			LeftOut: map[string]reject.Reason{
				"a.tsv#3": reject.MalformedRow, "a.tsv#5": reject.MissingLabel, "a.tsv#6": reject.MalformedRow, "a.tsv#7": reject.InvalidText, "a.tsv#9": reject.MalformedRow,
			},
			Used: []string{"a.tsv"},
		},
		{
			Name:    "another label",
			Files:   []datasettest.File{file("a.csv", "kind,label\nx,0.5\ny,1\nx,2\n")},
			Options: dataset.Options{LabelColumn: "kind"}, Classes: []string{"x", "y"},
			Labels: map[string]int{"a.csv#2": -1, "a.csv#3": -1, "a.csv#4": -1}, Used: []string{"a.csv"},
		},
		{
			Name: "no header", Files: []datasettest.File{file("iris.data", "5.1,3.5,setosa\n4.9,3.0,setosa\n6.3,3.3,virginica\n")},
			Labels: map[string]int{"iris.data#1": -1, "iris.data#2": -1, "iris.data#3": -1}, Used: []string{"iris.data"},
		},
		{
			Name:    "one file empty, one with a header alone",
			Files:   []datasettest.File{file("a.csv", "x,y\n1,2.5\n"), file("b.csv", ""), file("c.csv", "x,y\n")},
			Labels:  map[string]int{"a.csv#2": -1},
			LeftOut: map[string]reject.Reason{"b.csv": reject.EmptyFile, "c.csv": reject.EmptyFile},
			Used:    []string{"a.csv"},
		},
	})
}

func TestRefused(t *testing.T) {
	for name, c := range map[string]struct {
		files  []datasettest.File
		label  string
		reason reject.Reason
		says   []string
	}{
		"no such label":       {[]datasettest.File{file("a.csv", "x,y\n1,2\n")}, "z", reject.UnknownColumn, []string{`"z"`, `"x", "y"`}},
		"different headers":   {[]datasettest.File{file("a.csv", "x,y\n1,2\n"), file("b.csv", "x,z\n1,2\n")}, "", reject.DifferentColumns, []string{"a.csv", "b.csv", `"y"`, `"z"`}},
		"different widths":    {[]datasettest.File{file("a.csv", "x,y\n1,2\n"), file("b.csv", "x,y,z\n1,2,3\n")}, "", reject.DifferentColumns, []string{"a.csv has 2", "b.csv has 3"}},
		"different delimiter": {[]datasettest.File{file("a.csv", "x,y\n1,2\n"), file("b.csv", "x;y\n1;2\n")}, "", reject.DifferentColumns, []string{"a.csv", "b.csv"}},
		"UTF-16":              {[]datasettest.File{file("a.csv", "\xff\xfex\x00")}, "", reject.UnsupportedEncoding, []string{"a.csv: line 1", "iconv"}},
		"Latin-1":             {[]datasettest.File{file("a.csv", "name\nJos\xe9\nZo\xeb\n")}, "", reject.UnsupportedEncoding, []string{"line 2", "iconv"}},
		"NUL":                 {[]datasettest.File{file("a.csv", "name\nJose\nZo\x00\n")}, "", reject.UnsupportedEncoding, []string{"line 3", "NUL"}},
		"16 MB of commas":     {[]datasettest.File{file("a.csv", strings.Repeat(",", 16<<20))}, "", reject.MalformedTable, []string{"line 1"}},
		"too many columns":    {[]datasettest.File{file("a.csv", strings.Repeat(",", 5000)+"\n")}, "", reject.TooManyColumns, []string{"4096"}},
		"no rows":             {[]datasettest.File{file("a.csv", "\n\n")}, "", reject.NoExamples, []string{"No table"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := tabletest.Index(t, Reader{}, dataset.Options{LabelColumn: c.label}, c.files...)
			var rejected *reject.Error
			if !errors.As(err, &rejected) || rejected.Reason != c.reason {
				t.Fatalf("%v, want %s", err, c.reason)
			}
			for _, s := range c.says {
				if !strings.Contains(rejected.Message, s) {
					t.Errorf("%q doesn't say %q", rejected.Message, s)
				}
			}
		})
	}
}

func TestValues(t *testing.T) {
	var b strings.Builder
	b.WriteString("id,zip,price,ok,kind,note,date,a/b,big,,id,when\n")
	for i := range 20 {
		fmt.Fprintf(&b, "%d,%05d,%d.5,%s,%s,note %d,2024-01-%02d,%d,%d,NA,%d,\n", i*1000, i, i, []string{"yes", "No"}[i%2], []string{" red", "blue"}[i%2], i, i+1, i, uint64(1)<<63, i)
	}
	b.WriteString("NA,00007,,,, NULL ,,1,1,1,1,x\n")
	examples, stats := tabletest.Examples(t, Reader{}, dataset.Options{}, file("a.csv", b.String()))
	for _, c := range []struct {
		row       int
		key, want string
	}{
		{1, "id", "[] [] [1000]"},
		{20, "id", "[] [] [0]"},
		{20, "id_missing", "[] [] [1]"},
		{1, "id_missing", "[] [] [0]"},
		{3, "zip", "[00003] [] []"},
		{3, "price", "[] [3.5] []"},
		{20, "price", "[] [0] []"},
		{20, "price_missing", "[] [] [1]"},
		{0, "ok", "[] [] [1]"},
		{1, "ok", "[] [] [0]"},
		{20, "ok_missing", "[] [] [1]"},
		{0, "kind", "[] [] [1]"},
		{1, "kind", "[] [] [0]"},
		{20, "kind", "[] [] [-1]"},
		{3, "note", "[note 3] [] []"},
		{20, "note", "[] [] []"},
		{3, "date", "[2024-01-04] [] []"},
		{3, "a_b", "[] [] [3]"},
		{0, "big", "[] [9.223372e+18] []"},
		{0, "column_10_missing", "[] [] [1]"},
		{3, "id_2", "[] [] [3]"},
		{20, "when", "[x] [] []"},
	} {
		if got := tabletest.Text(examples[c.row][c.key]); got != c.want {
			t.Errorf("row %d: %s is %s, want %s", c.row, c.key, got, c.want)
		}
	}
	if *stats.Counts["missing"]["price"] != 1 || *stats.Counts["kind"]["red"] != 10 || stats.Numbers["id"].Max != 19000 {
		t.Errorf("statistics %v, %v", stats.Counts, stats.Numbers["id"])
	}
}

// TestSameOnEveryMachine indexes a table of many blocks with one and with several goroutines.
func TestSameOnEveryMachine(t *testing.T) {
	var b strings.Builder
	b.WriteString("n,kind,label\n")
	for i := range 50_000 {
		fmt.Fprintf(&b, "%d,kind %d,l%d\n", i, i%900, i%50)
		if i%1000 == 0 {
			b.WriteString("bad\n\n")
		}
	}
	index := func(procs int) (string, int) {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
		idx, found, err := tabletest.Index(t, Reader{}, dataset.Options{}, file("a.csv", b.String()))
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%s %q %+v %q", idx.Schema, idx.Classes, found.Blocks, found.LeftOut), len(found.LeftOut)
	}
	one, left := index(1)
	if many, _ := index(4); one != many || left != 50 {
		t.Errorf("the index differs with several goroutines, or %d rows are left out", left)
	}
}

func TestManyBadRows(t *testing.T) {
	examples := 0
	data := file("a.csv", "x,y\n"+strings.Repeat("1,2\n3\n", 20_000))
	idx, found, err := tabletest.Index(t, Reader{}, dataset.Options{}, data)
	if err != nil || idx.Schema == nil || len(found.LeftOut) != reject.MaxListed {
		t.Fatalf("%d rows left out by line, want %d: %v", len(found.LeftOut), reject.MaxListed, err)
	}
	left := len(found.LeftOut)
	tabletest.Each(t, Reader{}, dataset.Options{}, func(e dataset.Encoder, item dataset.Item, body *tabletest.Body) {
		if _, err := e.Encode(nil, item, body, &dataset.Stats{}); err == nil {
			examples++
		} else {
			left++
		}
	}, data)
	if examples != 20_000 || left != 20_000 {
		t.Errorf("%d examples and %d left out, want 20000 of each", examples, left)
	}
}

func TestEncodeAllocates(t *testing.T) {
	data := file("a.csv", "x,y,note,label\n"+strings.Repeat("1,2.5,\"some \"\"text\"\"\",a\n", 10))
	buf, stats := make([]byte, 0, 4096), &dataset.Stats{}
	tabletest.Each(t, Reader{}, dataset.Options{}, func(e dataset.Encoder, item dataset.Item, body *tabletest.Body) {
		if n := testing.AllocsPerRun(10, func() {
			if _, err := e.Encode(buf, item, body, stats); err != nil {
				t.Fatal(err)
			}
		}); n > 1 {
			t.Errorf("%v allocations", n)
		}
	}, data)
}

func FuzzReader(f *testing.F) {
	for _, s := range []string{flowers, "a\n1\n2.5\n", "x;label\n1;yes\n2;No\n", "1,2\n3,\n", "\"a\nb\",c\n1,2\n", "a,b\n1\n\"x\"y,2\n3,4\n", "y\n+1\n-1\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) { tabletest.Fuzz(t, Reader{}, "a.csv", data) })
}
