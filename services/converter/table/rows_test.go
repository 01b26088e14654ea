package table

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/trainyard/trainyard/services/converter/dataset/datasettest"
	"github.com/trainyard/trainyard/services/converter/reject"
)

// readAll returns the fields of all rows, each row with its line, and the reasons of those left out.
func readAll(t testing.TB, r io.Reader, comma byte) (rows [][]string, lines []int64, left []*RowError, err error) {
	t.Helper()
	s, cut := NewScanner(r, CSV(comma)), NewFields(comma)
	for {
		row, err := s.Next()
		var out *RowError
		if errors.As(err, &out) {
			left = append(left, out)
			continue
		}
		if errors.Is(err, io.EOF) {
			return rows, lines, left, nil
		}
		if err != nil {
			return rows, lines, left, err
		}
		fields, out := cut.Cut(row.Data)
		if out != nil {
			out.Line = row.Line
			left = append(left, out)
			continue
		}
		var texts []string
		for _, f := range fields {
			texts = append(texts, string(f))
		}
		rows, lines = append(rows, texts), append(lines, row.Line)
	}
}

func TestRows(t *testing.T) {
	for name, c := range map[string]struct {
		text  string
		rows  [][]string
		lines []int64
		left  []int64
	}{
		"plain":                    {"a,b\n1,2\n", [][]string{{"a", "b"}, {"1", "2"}}, []int64{1, 2}, nil},
		"no last line end":         {"a,b\n1,2", [][]string{{"a", "b"}, {"1", "2"}}, []int64{1, 2}, nil},
		"CR LF":                    {"a,b\r\n1,2\r\n", [][]string{{"a", "b"}, {"1", "2"}}, []int64{1, 2}, nil},
		"blank lines":              {"\n\na,b\n\r\n1,2\n\n", [][]string{{"a", "b"}, {"1", "2"}}, []int64{3, 5}, nil},
		"empty fields":             {",\n,,x\n", [][]string{{"", ""}, {"", "", "x"}}, []int64{1, 2}, nil},
		"quotes":                   {`"a","b ""c"" d",""` + "\n", [][]string{{"a", `b "c" d`, ""}}, []int64{1}, nil},
		"line ends and commas":     {"\"a\nb\",\"c,d\"\ne,f\n", [][]string{{"a\nb", "c,d"}, {"e", "f"}}, []int64{1, 3}, nil},
		"unquoted after quoted":    {"\"a\nb\",c,d\ne\n", [][]string{{"a\nb", "c", "d"}, {"e"}}, []int64{1, 3}, nil},
		"quote within a field":     {"5\" pipe,x\ny,z\n", [][]string{{"5\" pipe", "x"}, {"y", "z"}}, []int64{1, 2}, nil},
		"text behind a quote":      {"\"a\"b,c\nd,e\n", [][]string{{"d", "e"}}, []int64{2}, []int64{1}},
		"quote never closed":       {"a,\"b\nc,d\ne,f\n", [][]string{{"c", "d"}, {"e", "f"}}, []int64{2, 3}, []int64{1}},
		"a quote at the very end":  {"a,\"", nil, nil, []int64{1}},
		"empty":                    {"", nil, nil, nil},
		"blank lines alone":        {"\n\r\n\n", nil, nil, nil},
		"a quoted field of a line": {"\"\n\"\n", [][]string{{"\n"}}, []int64{1}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			rows, lines, left, err := readAll(t, strings.NewReader(c.text), ',')
			if err != nil {
				t.Fatal(err)
			}
			var at []int64
			for _, e := range left {
				at = append(at, e.Line)
			}
			if !slices.EqualFunc(rows, c.rows, slices.Equal) || !slices.Equal(lines, c.lines) || !slices.Equal(at, c.left) {
				t.Errorf("rows %q on lines %d, left out %d; want %q, %d, %d", rows, lines, at, c.rows, c.lines, c.left)
			}
		})
	}
}

// FuzzFields compares the fields of a row with those found byte by byte.
func FuzzFields(f *testing.F) {
	for _, s := range []string{"", "a,b", "1,2.5,three,,café,6,7,8,9,", `a,b",c,"d, ""e""",f"`, `"",""`, `a,"b`, `"a"b,c`, strings.Repeat(",", MaxColumns-1), strings.Repeat(",", MaxColumns), strings.Repeat(",", MaxColumns-1) + `"a,b"`} {
		f.Add([]byte(s), byte(','))
	}
	f.Fuzz(func(t *testing.T, row []byte, comma byte) {
		if !strings.ContainsRune(commas, rune(comma)) {
			return
		}
		var want []string
		field, quoted, bad := []byte{}, false, false
		for i := 0; i <= len(row); i++ {
			switch {
			case i == len(row) && quoted:
				bad = true
			case i == len(row), row[i] == comma && !quoted:
				want, field = append(want, string(field)), field[:0]
			case quoted && row[i] == '"' && i+1 < len(row) && row[i+1] == '"':
				field = append(field, '"')
				i++
			case quoted && row[i] == '"':
				quoted = false
				bad = bad || i+1 < len(row) && row[i+1] != comma
			case row[i] == '"' && (i == 0 || row[i-1] == comma && len(field) == 0):
				quoted = true
			default:
				field = append(field, row[i])
			}
		}
		got, refused := NewFields(comma).Cut(row)
		if bad = bad || len(want) > MaxColumns; bad != (refused != nil) {
			t.Fatalf("%q: %v", row, refused)
		}
		if !bad && !slices.EqualFunc(got, want, func(g []byte, w string) bool { return string(g) == w }) {
			t.Fatalf("%q is cut to %q, want %q", row, got, want)
		}
	})
}

func FuzzCSV(f *testing.F) {
	for _, s := range []string{"a,b\n1,2\n", "\"a\n\"\"b\",c\r\n\r\nd", "\"a\"b,c\nd", "a\"b,c\n", "\"a,\nb", ",,\n\n,", "\"\"\"\n\"\"\",\"\"\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		rows, _, _, err := readAll(t, bytes.NewReader(data), ',')
		var rejected *reject.Error
		if err != nil && !errors.As(err, &rejected) {
			t.Fatal(err)
		}
		std := csv.NewReader(bytes.NewReader(data))
		std.FieldsPerRecord = -1
		want, err := std.ReadAll()
		if err != nil {
			return
		}
		for _, row := range rows { // encoding/csv turns CR LF within quotes to LF
			for i := range row {
				row[i] = strings.ReplaceAll(row[i], "\r\n", "\n")
			}
		}
		if !slices.EqualFunc(rows, want, slices.Equal) {
			t.Fatalf("%q\n got %q\nwant %q", data, rows, want)
		}
	})
}

// FuzzBlocks checks that the rows of a block, split alone, are those that were counted in it, and that blocks and what lies between make up the file.
func FuzzBlocks(f *testing.F) {
	f.Add([]byte("a,b\n\"1\n\",2\n"), uint8(3))
	f.Add([]byte("{\"a\":[1,\"]\"]},\n{},1,\"x\\\"\"]"), uint8(1))
	f.Add([]byte("\",x\",\"\n\",x\",\"\n"), uint8(2))
	f.Fuzz(func(t *testing.T, data []byte, chunk uint8) {
		for i, split := range []Splitter{CSV(','), CSV(','), Lines, Array} {
			at, line := int64(0), int64(1)
			b := NewBlocks(&chunkReader{data, int(chunk) + 1}, split, 0, 1, func(*RowError) {})
			if i == 0 {
				b.marked = &marked{comma: ','}
			}
			for {
				block, err := b.Next(nil)
				if err != nil {
					break
				}
				if gap := data[at:block.Offset]; len(bytes.TrimRight(gap, "\r\n\t ,]")) > 0 {
					t.Fatalf("%q is lost", gap)
				}
				if line += int64(bytes.Count(data[at:block.Offset], []byte{'\n'})); line != block.Line {
					t.Fatalf("line %d, want %d", block.Line, line)
				}
				if !bytes.Equal(block.Data, data[block.Offset:][:len(block.Data)]) {
					t.Fatal("other data than the file's")
				}
				var rows []Bounds
				rowsOf(split)(block.Data, func(start, end int) { rows = append(rows, Bounds{int32(start), int32(end)}) })
				if !slices.Equal(rows, block.Rows) {
					t.Fatalf("the rows are at %d, not %d", rows, block.Rows)
				}
				at = block.Offset + int64(len(block.Data))
				line += int64(bytes.Count(block.Data, []byte{'\n'}))
			}
		}
	})
}

type chunkReader struct {
	data []byte
	n    int
}

func (c *chunkReader) Read(p []byte) (int, error) {
	if len(c.data) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.data[:min(c.n, len(c.data))])
	c.data = c.data[n:]
	return n, nil
}

// repeat reads a text over and over.
type repeat struct {
	text string
	left int
	at   int
}

func (r *repeat) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	p = p[:min(len(p), r.left)]
	for i := 0; i < len(p); {
		n := copy(p[i:], r.text[r.at:])
		i += n
		r.at = (r.at + n) % len(r.text)
	}
	r.left -= len(p)
	return len(p), nil
}

func TestHostileRows(t *testing.T) {
	for name, c := range map[string]struct {
		text   string
		bytes  int
		rows   int
		reason reject.Reason // of rows left out, or of the file
		left   int
	}{
		"16 MB of commas":        {",", 16 << 20, 0, reject.TooLarge, 1},
		"a field of 256 MB":      {"x", 256 << 20, 0, reject.TooLarge, 1},
		"a quoted one of 256 MB": {"\"" + strings.Repeat("x", 1<<20), 256 << 20, 0, reject.TooLarge, 1},
		"too many columns":       {strings.Repeat(",", 5000) + "\n", 50010, 0, reject.TooManyColumns, 10},
		"quotes never closed":    {"\",x\",\"\n", 16 << 20, 0, reject.MalformedTable, 0},
		"a quote, then lines":    {"\"" + strings.Repeat("x,y\n", 1<<20), 4<<20 + 1, 1<<20 - 1, reject.MalformedRow, 1},
		"blank lines":            {"\n", 256 << 20, 0, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			start, before := datasettest.ProcessorTime(t), heap()
			text := c.text
			if len(text) < 10 && c.bytes%len(text) == 0 { // one byte at a time is slow
				text = strings.Repeat(text, 1000)
			}
			s, cut := NewScanner(&repeat{text: text, left: c.bytes}, CSV(',')), NewFields(',')
			rows, left, peak := 0, 0, uint64(0)
			var reason reject.Reason
			for done := false; !done; {
				row, err := s.Next()
				var out *RowError
				var refused *reject.Error
				if err == nil {
					if _, out = cut.Cut(row.Data); out != nil {
						err = out
					}
				}
				switch {
				case errors.As(err, &out):
					left++
					reason = out.Reason
				case errors.As(err, &refused):
					reason, left, rows, done = refused.Reason, 0, 0, true
				case err != nil:
					done = true
				default:
					rows++
				}
			}
			peak = heap()
			if rows != c.rows || left != c.left || reason != c.reason {
				t.Errorf("%d rows, %d left out for %q; want %d, %d, %q", rows, left, reason, c.rows, c.left, c.reason)
			}
			datasettest.InTime(t, datasettest.ProcessorTime(t)-start)
			if peak > before+64<<20 {
				t.Errorf("the heap grew by %d MiB", (peak-before)>>20)
			}
		})
	}
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestCheckHead(t *testing.T) {
	for name, c := range map[string]struct {
		head, message string
		start         int
	}{
		"UTF-8":                  {"é,a\nü,b\n", "", 0},
		"byte order mark":        {bom + "a,b\n", "", 3},
		"UTF-16 with its mark":   {"\xff\xfea\x00", "line 1 begins with the byte order mark of UTF-16", 0},
		"UTF-16 without":         {"a\x00\n\x00b\x00\n\x00", "line 1 holds NUL bytes, as UTF-16 does", 0},
		"NUL":                    {"aaaa\nbbbb\x00\n", "line 2 holds a NUL byte", 0},
		"Latin-1":                {"name\nJos\xe9\nZo\xeb\n", "line 2 and others are not UTF-8", 0},
		"one line not UTF-8":     {"name\nJos\xe9\nb\n", "", 0},
		"more good than not":     {"é\né\né\n\xe9\n\xe9\n", "", 0},
		"lines ended by CR":      {"a\rb\rc", "CR alone", 0},
		"cut within a character": {"a\né\n\xc3", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			start, err := CheckHead("f.csv", []byte(c.head), false)
			if start != c.start || (err == nil) != (c.message == "") || err != nil && !strings.Contains(err.Error(), c.message) {
				t.Errorf("CheckHead = %d, %v; want %d, %q", start, err, c.start, c.message)
			}
		})
	}
}

func TestSniff(t *testing.T) {
	for text, want := range map[string]byte{
		"a,b\n1,2\n": ',', "a;b\n1,5;2\n1,6;3\n": ';', "a\tb\nx, y\tz\n": '\t', "a|b|c\n1|2|3\n": '|', "a\nb\n": ',', "": ',',
		"\"x;y\",1\n\"z;w\",2\n": ',',
	} {
		if got, _, _ := Sniff([]byte(text), true); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func BenchmarkBlocks(b *testing.B) {
	text := strings.Repeat("5.1,3.5,1.4,0.2,setosa,some words of text,12345\n", 20000)
	var buf []byte
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		blocks := NewBlocks(strings.NewReader(text), CSV(','), 0, 1, func(*RowError) {})
		for {
			block, err := blocks.Next(buf)
			if err != nil {
				break
			}
			buf = block.Data
		}
	}
}

func BenchmarkFields(b *testing.B) {
	row := []byte("5.1,3.5,1.4,0.2,setosa,some words of text,12345")
	cut := NewFields(',')
	b.SetBytes(int64(len(row)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := cut.Cut(row); err != nil {
			b.Fatal(err)
		}
	}
}
