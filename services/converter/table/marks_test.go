package table

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// randomCSV is text of the bytes that structure CSV, and of few others.
func randomCSV(r *rand.Rand) []byte {
	const plain = "abcdefgh,;\n"
	alphabet := plain + []string{"", "\"", "\"\"\"\r\n,,", "\r\x00é"}[r.IntN(4)]
	text := make([]byte, r.IntN(300))
	for i := range text {
		text[i] = alphabet[r.IntN(len(alphabet))]
	}
	return text
}

// TestMarks compares the marks of all bytes with the bytes.
func TestMarks(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	m := &marked{comma: ','}
	for range 2000 {
		text := randomCSV(r)
		m.load(text)
		for i, c := range text {
			block, bit := &m.marks[i/markedBytes], uint64(1)<<(i%markedBytes)
			if block.comma&bit != 0 != (c == ',') || block.line&bit != 0 != (c == '\n') || block.quote&bit != 0 != (c == '"') || block.odd&bit != 0 != (c == 0 || c >= 0x80) {
				t.Fatalf("byte %d of %q has the marks %+v", i, text, *block)
			}
			if odd := m.isOdd(i/2, i); odd != strings.ContainsFunc(string(text[i/2:i]), func(c rune) bool { return c == 0 || c >= 0x80 }) {
				t.Fatalf("bytes %d to %d of %q are odd: %v", i/2, i, text, odd)
			}
		}
		for i := 0; i+markedBytes <= len(text); i += markedBytes {
			if got := markBlock(text[i:], ','); got != m.marks[i/markedBytes] {
				t.Fatalf("%q has the marks %+v with any processor, %+v with this one", text[i:i+markedBytes], got, m.marks[i/markedBytes])
			}
		}
	}
}

// TestMarkedRows compares the rows that are found by marks with those of the Splitter.
func TestMarkedRows(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	m, split := &marked{comma: ','}, CSV(',')
	for range 20_000 {
		text := randomCSV(r)
		m.load(text)
		for at := 0; at < len(text); {
			want := split(text[at:], true)
			want.Start, want.End, want.Next = at+want.Start, at+want.End, at+want.Next
			if got := m.row(at, split); got != want {
				t.Fatalf("%q from %d on is %+v, want %+v", text, at, got, want)
			}
			at = want.Next
		}
	}
}

// TestUsualFields compares the fields of usual rows with those that are cut one by one.
func TestUsualFields(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	usual, f := 0, NewFields(',')
	for range 50_000 {
		row := bytes.ReplaceAll(randomCSV(r), []byte("\n"), nil)
		if quoted := r.IntN(len(row) + 1); r.IntN(2) == 0 {
			row = slices.Concat([]byte(`"quoted, `), bytes.ReplaceAll(row[:quoted], []byte(`"`), nil), []byte(`",`), row[quoted:])
		}
		fields, err := f.Cut(row)
		columns := len(fields)
		if !f.usual(columns) {
			continue
		}
		usual++
		if err != nil {
			t.Fatalf("%q is usual, but %v", row, err)
		}
		start := 0
		for i, end := range f.ends {
			if quote := f.quoteAt(start); string(row[start+quote:int(end)-quote]) != string(fields[i]) {
				t.Fatalf("field %d of %q ends at %d, but is %q", i, row, end, fields[i])
			}
			start = int(end) + 1
		}
	}
	if usual < 10_000 {
		t.Errorf("only %d rows are usual", usual)
	}
}
