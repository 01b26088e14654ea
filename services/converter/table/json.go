package table

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/trainyard/trainyard/services/converter/reject"
)

// Limits of a row of JSON.
const (
	MaxDepth  = 16      // objects and arrays within each other
	MaxTokens = 1 << 18 // values, names among them
	MaxPath   = 1024    // bytes of the names down to a value
	maxRank   = 8       // dimensions of an array of numbers
)

// ValueKind is what a value of JSON is.
type ValueKind uint8

// The kinds. Objects are not among them, because they are flattened.
const (
	Null    ValueKind = iota // null, and NaN, which Python writes
	Bool                     // Int is 0 or 1
	Int                      // fits int64
	Float                    // any other number; infinite beyond float64, and Infinity and -Infinity, which Python writes
	String                   // Text, without escapes
	Ints                     // an array of integers, or arrays of them
	Floats                   // the same of any numbers; null among them is NaN
	Strings                  // an array of strings
	Empty                    // an array of nothing, which may be of numbers as well as of strings, or of such arrays
	Mixed                    // any other array, as its source
)

// Value is a value of JSON. What it refers to stays until the visit returns.
type Value struct {
	Kind    ValueKind
	Int     int64
	Float   float64   // of Int as well
	Text    []byte    // of String; of all other kinds, the value's source
	Ints    []int64   // in row-major order
	Floats  []float64 // of Ints as well
	Strings [][]byte
	// Shape has the length of each dimension of arrays of numbers. With two dimensions, the second may be -1: then Lengths has the length of each.
	Shape   []int
	Lengths []int64
}

// Flattener reads rows that are objects of JSON (RFC 8259) and flattens objects within them: {"a":{"b":1}} has a value of the path a.b.
// It is strict: UTF-8 throughout, no half surrogates, no name or path twice in a row, nothing behind the object. Beyond the RFC it
// takes Python's NaN, Infinity and -Infinity. The zero value is ready to use, by one goroutine.
type Flattener struct {
	row    []byte
	i      int
	tokens int
	path   []byte
	visit  func(path []byte, v *Value) *RowError
	text   []byte // unescaped strings; never grows within a row
	value  Value
	shape  [maxRank]int
	array  arrayState
}

// Row calls visit with the path and the value of each value in the row, in order. It returns what
// visit returns, or why the row is left out. Whether a path is there twice is for visit to tell.
func (f *Flattener) Row(row []byte, visit func(path []byte, v *Value) *RowError) *RowError {
	if len(row) > MaxRowBytes {
		return rowError(reject.TooLarge, "the row has %d bytes; the limit is %d", len(row), MaxRowBytes)
	}
	if err := CheckText(row); err != nil {
		return err
	}
	if cap(f.text) < len(row) {
		f.text = make([]byte, 0, 2*len(row))
	}
	f.row, f.i, f.tokens, f.path, f.text, f.visit = row, 0, 0, f.path[:0], f.text[:0], visit
	f.space()
	if f.peek() != '{' {
		return rowError(reject.MalformedRow, "the row is not a JSON object; each row must be one, such as {\"text\": \"hello\", \"label\": 1}")
	}
	if err := f.object(1); err != nil {
		return err
	}
	f.space()
	if f.i < len(row) {
		return f.syntax("text behind the object; each row must be one object")
	}
	return nil
}

func (f *Flattener) syntax(what string) *RowError {
	return rowError(reject.MalformedRow, "byte %d of the row: %s", f.i+1, what)
}

// peek returns the next byte, or 0 at the end of the row, which holds no NUL.
func (f *Flattener) peek() byte {
	if f.i < len(f.row) {
		return f.row[f.i]
	}
	return 0
}

func (f *Flattener) space() {
	for f.i < len(f.row) {
		switch f.row[f.i] {
		case ' ', '\t', '\n', '\r':
			f.i++
		default:
			return
		}
	}
}

func (f *Flattener) token() *RowError {
	if f.tokens++; f.tokens > MaxTokens {
		return rowError(reject.TooLarge, "the row has more than %d names and values, the limit", MaxTokens)
	}
	return nil
}

func (f *Flattener) deeper(depth int) *RowError {
	if depth > MaxDepth {
		return rowError(reject.TooDeep, "byte %d of the row: objects and arrays lie more than %d deep within each other, the limit", f.i+1, MaxDepth)
	}
	return nil
}

// object reads an object, whose brace is next.
func (f *Flattener) object(depth int) *RowError {
	if err := f.deeper(depth); err != nil {
		return err
	}
	f.i++
	f.space()
	if f.peek() == '}' {
		f.i++
		return nil
	}
	length := len(f.path)
	for {
		if f.peek() != '"' {
			return f.syntax("a name in quotes is missing")
		}
		name, err := f.string()
		if err != nil {
			return err
		}
		if length > 0 {
			f.path = append(f.path, '.')
		}
		f.path = append(f.path, name...)
		if len(f.path) > MaxPath {
			return rowError(reject.TooLarge, "a name has more than %d bytes with the names around it, the limit", MaxPath)
		}
		f.space()
		if f.peek() != ':' {
			return f.syntax("a colon is missing")
		}
		f.i++
		f.space()
		if err := f.member(depth); err != nil {
			return err
		}
		f.path = f.path[:length]
		f.space()
		switch f.peek() {
		case ',':
			f.i++
			f.space()
		case '}':
			f.i++
			return nil
		default:
			return f.syntax("a comma or a closing brace is missing")
		}
	}
}

// member reads the value of a name and visits it.
func (f *Flattener) member(depth int) *RowError {
	v := &f.value
	v.Ints, v.Floats, v.Strings, v.Lengths, v.Shape = v.Ints[:0], v.Floats[:0], v.Strings[:0], v.Lengths[:0], nil
	start := f.i
	switch f.peek() {
	case '{':
		return f.object(depth + 1)
	case '[':
		f.array = arrayState{leaf: -1}
		if err := f.elements(depth+1, 0); err != nil {
			return err
		}
		f.shaped()
	default:
		if err := f.scalar(); err != nil {
			return err
		}
	}
	if v.Kind != String {
		v.Text = f.row[start:f.i]
	}
	return f.visit(f.path, v)
}

// scalar reads what is neither an object nor an array.
func (f *Flattener) scalar() *RowError {
	if err := f.token(); err != nil {
		return err
	}
	v := &f.value
	if c := f.peek(); c == '"' {
		s, err := f.string()
		v.Kind, v.Text = String, s
		return err
	}
	start := f.i
	for f.i < len(f.row) && isWord[f.row[f.i]] {
		f.i++
	}
	word := f.row[start:f.i]
	switch string(word) {
	case "true":
		v.Kind, v.Int = Bool, 1
		return nil
	case "false":
		v.Kind, v.Int = Bool, 0
		return nil
	case "null", "NaN":
		v.Kind = Null
		return nil
	case "Infinity":
		v.Kind, v.Float = Float, math.Inf(1)
		return nil
	case "-Infinity":
		v.Kind, v.Float = Float, math.Inf(-1)
		return nil
	}
	return f.number(word, start)
}

func (f *Flattener) number(word []byte, start int) *RowError {
	v := &f.value
	digit := bytes.TrimPrefix(word, []byte("-"))
	point := bytes.IndexByte(word, '.')
	if len(digit) == 0 || !isDigit(digit[0]) || point >= 0 && (point+1 == len(word) || !isDigit(word[point+1])) {
		f.i = start
		return f.syntax("a value is missing or is none of JSON's")
	}
	kind, i, x := parseNumber(word)
	switch kind {
	case integer:
		v.Kind, v.Int, v.Float = Int, i, x
	case notNumber:
		f.i = start
		if len(word) > maxNumberBytes {
			return rowError(reject.TooLarge, "byte %d of the row: a number has more than %d digits, the limit", start+1, maxNumberBytes)
		}
		return f.syntax("this is no number of JSON's")
	default:
		v.Kind, v.Float = Float, x
	}
	return nil
}

// isWord has the bytes that numbers and literals are made of.
var isWord = func() (w [256]bool) {
	for _, c := range "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-._" {
		w[c] = true
	}
	return w
}()

// string reads a string, whose quote is next, and returns its content.
func (f *Flattener) string() ([]byte, *RowError) {
	if err := f.token(); err != nil {
		return nil, err
	}
	f.i++
	start := f.i
	for f.i+8 <= len(f.row) { // eight bytes at a time, to the first that is of interest
		const ones, high = 0x0101010101010101, 0x8080808080808080
		v := binary.LittleEndian.Uint64(f.row[f.i:])
		quote, slash := v^'"'*ones, v^'\\'*ones
		// The high bit of each byte that is none, or less than a space. Above the first of them there may be others.
		found := ((quote-ones)&^quote | (slash-ones)&^slash | (v-' '*ones)&^v) & high
		if found != 0 {
			f.i += bits.TrailingZeros64(found) / 8
			break
		}
		f.i += 8
	}
	for f.i < len(f.row) {
		switch c := f.row[f.i]; {
		case c == '"':
			s := f.row[start:f.i:f.i]
			f.i++
			return s, nil
		case c == '\\':
			return f.escaped(start)
		case c < ' ':
			return nil, f.syntax("a control character within a string; write it as an escape such as \\n")
		}
		f.i++
	}
	return nil, f.syntax("a string is not closed")
}

// escaped reads the rest of a string from its first escape on. What it unescapes is shorter than its source, so f.text has room.
func (f *Flattener) escaped(start int) ([]byte, *RowError) {
	from := len(f.text)
	f.text = append(f.text, f.row[start:f.i]...)
	for f.i < len(f.row) {
		c := f.row[f.i]
		switch {
		case c == '"':
			f.i++
			return f.text[from:len(f.text):len(f.text)], nil
		case c < ' ':
			return nil, f.syntax("a control character within a string; write it as an escape such as \\n")
		case c != '\\':
			f.text = append(f.text, c)
			f.i++
		default:
			if err := f.escape(); err != nil {
				return nil, err
			}
		}
	}
	return nil, f.syntax("a string is not closed")
}

// escape reads one escape.
func (f *Flattener) escape() *RowError {
	f.i++
	c := f.peek()
	if c == 'u' {
		r, ok := f.hex()
		if ok && utf16.IsSurrogate(r) {
			if f.i+1 < len(f.row) && f.row[f.i] == '\\' && f.row[f.i+1] == 'u' {
				f.i++
				low, _ := f.hex()
				r = utf16.DecodeRune(r, low)
				ok = r != utf8.RuneError
			} else {
				ok = false
			}
		}
		if !ok {
			return f.syntax("a \\u escape is not four hexadecimal digits, or is half of a surrogate pair, which is no character")
		}
		f.text = utf8.AppendRune(f.text, r)
		return nil
	}
	n := bytes.IndexByte([]byte(`"\/bfnrt`), c)
	if n < 0 || c == 0 {
		return f.syntax("JSON has no such escape")
	}
	f.text = append(f.text, "\"\\/\b\f\n\r\t"[n])
	f.i++
	return nil
}

// hex reads the four digits behind the u that is next.
func (f *Flattener) hex() (rune, bool) {
	f.i++
	if f.i+4 > len(f.row) {
		return 0, false
	}
	var r rune
	for _, c := range f.row[f.i : f.i+4] {
		switch {
		case isDigit(c):
			c -= '0'
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			c = (c | 0x20) - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	f.i += 4
	return r, true
}
