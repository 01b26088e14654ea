package table

import (
	"bytes"
	"unicode/utf8"

	"github.com/trainyard/trainyard/services/converter/reject"
)

// HeadBytes is how much of a file is looked at to tell its encoding, its delimiter and whether it has a header.
const HeadBytes = 256 << 10

// bom is the UTF-8 byte order mark.
const bom = "\xef\xbb\xbf"

// CheckHead tells from the first bytes of a file whether it is UTF-8 text, and where the text begins: at 0, or behind the byte order mark.
// whole says that head is all of the file. A *reject.Error names the file, the line and how to mend it.
//
// It refuses NUL bytes, UTF-16 and UTF-32, text most of whose lines beyond ASCII aren't UTF-8 (and at least
// two lines), which is Latin-1 or another old encoding, and line ends of CR alone.
func CheckHead(path string, head []byte, whole bool) (start int, err error) {
	switch {
	case bytes.HasPrefix(head, []byte("\xff\xfe")), bytes.HasPrefix(head, []byte("\xfe\xff")):
		return 0, reject.New(reject.UnsupportedEncoding, "%s: line 1 begins with the byte order mark of UTF-16; text must be UTF-8. To mend it: iconv -f UTF-16 -t UTF-8 %s", path, path)
	case bytes.HasPrefix(head, []byte(bom)):
		start = len(bom)
	}
	text := head[start:]
	if n := bytes.IndexByte(text, 0); n >= 0 {
		line := lineOf(text, n)
		if zeros := bytes.Count(text, []byte{0}); 3*zeros > len(text) {
			from := "UTF-16LE"
			if text[0] == 0 {
				from = "UTF-16BE"
			}
			return 0, reject.New(reject.UnsupportedEncoding, "%s: line %d holds NUL bytes, as UTF-16 does; text must be UTF-8. To mend it: iconv -f %s -t UTF-8 %s", path, line, from, path)
		}
		return 0, reject.New(reject.UnsupportedEncoding, "%s: line %d holds a NUL byte, so the file is not text. If it is, remove them: tr -d '\\000' < %s", path, line, path)
	}
	if !whole { // the last line may be cut within a character
		text = text[:bytes.LastIndexByte(text, '\n')+1]
	}
	if line := notUTF8(text); line > 0 {
		return 0, reject.New(reject.UnsupportedEncoding, "%s: line %d and others are not UTF-8; they look like Latin-1 or Windows-1252. To mend it: iconv -f WINDOWS-1252 -t UTF-8 %s", path, line, path)
	}
	if bytes.IndexByte(head, '\n') < 0 && bytes.Count(head, []byte{'\r'}) > 1 {
		return 0, reject.New(reject.UnsupportedEncoding, "%s: its lines end with CR alone, as on an old Macintosh; they must end with LF or CR LF. To mend it: tr '\\r' '\\n' < %s", path, path)
	}
	return start, nil
}

// notUTF8 returns the first line that isn't UTF-8 if that is so of most lines beyond ASCII, and of two at least; otherwise 0.
func notUTF8(text []byte) int64 {
	if utf8.Valid(text) {
		return 0
	}
	var line, first, bad, good int64
	for l := range bytes.Lines(text) {
		line++
		switch {
		case isASCII(l):
		case utf8.Valid(l):
			good++
		default:
			if bad++; bad == 1 {
				first = line
			}
		}
	}
	if bad >= 2 && bad > good {
		return first
	}
	return 0
}

func isASCII(b []byte) bool {
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func lineOf(text []byte, i int) int { return bytes.Count(text[:i], []byte{'\n'}) + 1 }

// CheckText tells whether a row is text: UTF-8 without NUL bytes.
func CheckText(row []byte) *RowError {
	if bytes.IndexByte(row, 0) >= 0 {
		return rowError(reject.InvalidText, "the row holds a NUL byte, which text has not; remove it, as by tr -d '\\000'")
	}
	if !utf8.Valid(row) {
		return rowError(reject.InvalidText, "the row is not UTF-8; convert the file, as by iconv -f WINDOWS-1252 -t UTF-8")
	}
	return nil
}

// commas are the delimiters that are told from the text, in the order of preference.
const commas = ",;\t|"

// sniffRows is how many rows a delimiter or a header is judged by.
const sniffRows = 200

// Sniff tells the delimiter from the first bytes of a file, as CheckHead found where its text begins: the one that cuts most rows
// into the same number of fields, and into more than one; of several, the one that gives most fields. A table of one column has a comma.
// fields is the number of fields a row, share of how many rows it is so.
func Sniff(text []byte, whole bool) (comma byte, fields int, share float64) {
	comma, fields = ',', 1
	for _, c := range []byte(commas) {
		n, s := regularity(SampleRows(text, CSV(c), whole, sniffRows), c)
		if n > 1 && (s > share+0.05 || (s > share-0.05 && n > fields)) {
			comma, fields, share = c, n, s
		}
	}
	return comma, fields, share
}

// SampleRows returns up to limit of the first rows of the text that aren't blank. Unless it is whole, rows that its end may have cut are not among them.
func SampleRows(text []byte, split Splitter, whole bool, limit int) [][]byte {
	var rows [][]byte
	for len(rows) < limit && len(text) > 0 {
		s := split(text, whole)
		if s.Next == 0 || s.Unclosed {
			break
		}
		if s.End > s.Start {
			rows = append(rows, text[s.Start:s.End])
		}
		text = text[s.Next:]
	}
	return rows
}

// regularity returns the most common number of fields and the share of the rows that have it.
func regularity(rows [][]byte, comma byte) (fields int, share float64) {
	counts := make(map[int]int)
	cut := NewFields(comma)
	for _, row := range rows {
		if f, err := cut.Cut(row); err == nil {
			counts[len(f)]++
		}
	}
	best := 0
	for n, c := range counts {
		if c > best || (c == best && n > fields) {
			fields, best = n, c
		}
	}
	if len(rows) == 0 {
		return 0, 0
	}
	return fields, float64(best) / float64(len(rows))
}
