package coco

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/trainyard/trainyard/services/converter/reject"
)

// The limits on the JSON of a file. Python writes NaN and Infinity, so these are let through as numbers.
const (
	maxDepth   = 64      // objects and arrays within each other
	maxElement = 4 << 20 // bytes of one picture, annotation or category, without the space between
	maxKey     = 1024    // bytes of a name
)

// stream reads the JSON object of a file piece by piece: the elements of an array are handed out one at a time. It holds one of them and checks the structure
// around them; what they hold is for the parsers of elements to check.
type stream struct {
	r        io.Reader
	buf      []byte
	pos, end int
	offset   int64 // of buf in the file
	element  []byte
}

// reset begins another file.
func (s *stream) reset(r io.Reader) {
	if s.buf == nil {
		s.buf = make([]byte, 256<<10)
	}
	s.r, s.pos, s.end, s.offset = r, 0, 0, 0
}

// syntaxError is how a file is no JSON object of the shape wanted, or beyond a limit.
type syntaxError struct {
	reason  reject.Reason
	message string
}

func (e *syntaxError) Error() string { return e.message }

func (s *stream) fail(reason reject.Reason, format string, args ...any) error {
	return &syntaxError{reason, fmt.Sprintf("byte %d: ", s.offset+int64(s.pos)+1) + fmt.Sprintf(format, args...)}
}

func (s *stream) malformed(what string) error { return s.fail(reject.MalformedFile, "%s", what) }

// fill reads more; io.EOF says that the file has ended.
func (s *stream) fill() error {
	s.offset += int64(s.end)
	s.pos, s.end = 0, 0
	for range 100 {
		n, err := s.r.Read(s.buf)
		if n > 0 {
			s.end = n
			return nil
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// peek returns the next byte that is no space.
func (s *stream) peek() (byte, error) {
	for {
		for s.pos < s.end {
			switch c := s.buf[s.pos]; c {
			case ' ', '\t', '\n', '\r':
				s.pos++
			default:
				return c, nil
			}
		}
		if err := s.fill(); err != nil {
			if errors.Is(err, io.EOF) {
				return 0, s.malformed("the file ends in the middle of the JSON; it is not whole")
			}
			return 0, err
		}
	}
}

func (s *stream) expect(c byte) error {
	got, err := s.peek()
	if err != nil {
		return err
	}
	if got != c {
		return s.malformed(fmt.Sprintf("%q where %q must be", got, c))
	}
	s.pos++
	return nil
}

// object calls member with each name of the object that follows. member must read the value: by elements or by skip.
func (s *stream) object(member func(name string) error) error {
	if err := s.bom(); err != nil {
		return err
	}
	if err := s.expect('{'); err != nil {
		return err
	}
	if c, err := s.peek(); err != nil || c == '}' {
		s.pos++
		return err
	}
	for {
		if c, err := s.peek(); err != nil || c != '"' {
			return errors.Join(err, s.malformed("a name in quotes is missing"))
		}
		name, err := s.value(maxKey)
		if err != nil {
			return err
		}
		if err := s.expect(':'); err != nil {
			return err
		}
		if err := member(string(bytes.Trim(name, `"`))); err != nil {
			return err
		}
		c, err := s.peek()
		if err != nil {
			return err
		}
		s.pos++
		switch c {
		case ',':
		case '}':
			return nil
		default:
			s.pos--
			return s.malformed("a comma or a closing brace is missing")
		}
	}
}

// bom skips a byte order mark at the beginning.
func (s *stream) bom() error {
	c, err := s.peek()
	if err != nil || c != 0xef {
		return err
	}
	for _, want := range []byte("\xef\xbb\xbf") {
		if c, err := s.peek(); err != nil || c != want {
			return errors.Join(err, s.malformed("the file is no JSON"))
		}
		s.pos++
	}
	return nil
}

// elements calls element with each element of the array that follows, without space between tokens, valid until the next.
func (s *stream) elements(element func(raw []byte) error) error {
	if err := s.expect('['); err != nil {
		return err
	}
	if c, err := s.peek(); err != nil || c == ']' {
		s.pos++
		return err
	}
	for {
		raw, err := s.value(maxElement)
		if err != nil {
			return err
		}
		if err := element(raw); err != nil {
			return err
		}
		c, err := s.peek()
		if err != nil {
			return err
		}
		s.pos++
		switch c {
		case ',':
		case ']':
			return nil
		default:
			s.pos--
			return s.malformed("a comma or a closing bracket is missing")
		}
	}
}

// skip reads a value of any length to nowhere.
func (s *stream) skip() error {
	_, err := s.value(0)
	return err
}

// value reads the value that follows and returns it without the space between tokens, until the next call. limit is for its length; with 0, nothing is kept.
func (s *stream) value(limit int) ([]byte, error) {
	if _, err := s.peek(); err != nil {
		return nil, err
	}
	s.element = s.element[:0]
	depth, inString, escaped, began := 0, false, false, false
	last, gap := byte(0), false // the last byte that is no space, and whether there was space behind it
	for {
		start := s.pos // of what isn't kept yet
		for ; s.pos < s.end; s.pos++ {
			c := s.buf[s.pos]
			if inString {
				for !endsPlain[c] && s.pos+1 < s.end && !escaped {
					s.pos++
					c = s.buf[s.pos]
				}
				switch {
				case escaped:
					escaped = false
				case c == '\\':
					escaped = true
				case c == '"':
					inString = false
					if depth == 0 {
						s.pos++
						return s.keep(start, limit)
					}
				case c < ' ':
					return nil, s.malformed("a control character within a string; write it as an escape such as \\n")
				}
				continue
			}
			switch c {
			case ' ', '\t', '\n', '\r':
				if depth == 0 { // behind a number or a literal
					return s.keep(start, limit)
				}
				if _, err := s.keep(start, limit); err != nil {
					return nil, err
				}
				start, gap = s.pos+1, true
				continue
			case '"':
				if depth == 0 && began {
					return nil, s.malformed("a quote in the middle of a value")
				}
				inString = true
			case '{', '[':
				if depth == 0 && began {
					return nil, s.malformed("a bracket in the middle of a value")
				}
				if depth++; depth > maxDepth {
					return nil, s.fail(reject.TooDeep, "objects and arrays lie more than %d deep within each other, the limit", maxDepth)
				}
			case '}', ']':
				if depth--; depth < 0 { // of the object or array around a number
					if !began {
						return nil, s.malformed("a value is missing")
					}
					return s.keep(start, limit)
				}
				if depth == 0 {
					s.pos++
					return s.keep(start, limit)
				}
			case ',', ':':
				if depth == 0 {
					if !began {
						return nil, s.malformed("a value is missing")
					}
					return s.keep(start, limit)
				}
			}
			if gap && isWord(c) && isWord(last) {
				return nil, s.malformed("a comma is missing between two values")
			}
			began, last, gap = true, c, false
			for s.pos+1 < s.end && isPlain[s.buf[s.pos+1]] { // Digits mostly.
				s.pos++
				last = s.buf[s.pos]
			}
		}
		if _, err := s.keep(start, limit); err != nil {
			return nil, err
		}
		if err := s.fill(); err != nil {
			if errors.Is(err, io.EOF) {
				return nil, s.malformed("the file ends in the middle of the JSON; it is not whole")
			}
			return nil, err
		}
	}
}

// isPlain has the bytes of numbers and literals that mean nothing to the structure, endsPlain those that do within a string.
var isPlain, endsPlain = func() (plain, ends [256]bool) {
	for c := range 256 {
		ends[c] = c < ' ' || c == '"' || c == '\\'
		plain[c] = c >= '0' && c <= '9' || c == '.' || c == '-' || c == '+' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
	}
	return plain, ends
}()

// isWord tells whether a byte can be part of a number or a literal, or ends or begins a string.
func isWord(c byte) bool {
	switch c {
	case '{', '}', '[', ']', ',', ':':
		return false
	}
	return true
}

// keep appends what was read since start to the value and returns it.
func (s *stream) keep(start, limit int) ([]byte, error) {
	if limit == 0 {
		return nil, nil
	}
	if len(s.element)+s.pos-start > limit {
		return nil, s.fail(reject.TooLarge, "a value has more than %d bytes, the limit", limit)
	}
	s.element = append(s.element, s.buf[start:s.pos]...)
	return s.element, nil
}

// finish reads to the end of the file, where nothing but space may be; that is what checks the checksum.
func (s *stream) finish() error {
	for {
		for ; s.pos < s.end; s.pos++ {
			switch s.buf[s.pos] {
			case ' ', '\t', '\n', '\r':
			default:
				return s.malformed("text behind the JSON object")
			}
		}
		if err := s.fill(); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
}

// errElement is for an element that is no JSON object.
var errElement = errors.New("it is no JSON object")

// fields calls field with each name and value of a JSON object without space between tokens, as elements gives it. Values are their source; whether one within
// brackets is valid is for its reader to check.
func fields(raw []byte, field func(name, value []byte) error) error {
	if len(raw) < 2 || raw[0] != '{' || raw[len(raw)-1] != '}' {
		return errElement
	}
	rest := raw[1 : len(raw)-1]
	for len(rest) > 0 {
		if rest[0] != '"' {
			return errElement
		}
		n := valueEnd(rest)
		if n >= len(rest) || rest[n] != ':' {
			return errElement
		}
		name := rest[1 : n-1]
		rest = rest[n+1:]
		n = valueEnd(rest)
		if n == 0 {
			return errElement
		}
		if err := field(name, rest[:n]); err != nil {
			return err
		}
		if rest = rest[n:]; len(rest) > 0 {
			if rest[0] != ',' || len(rest) == 1 {
				return errElement
			}
			rest = rest[1:]
		}
	}
	return nil
}

// valueEnd returns the length of the value that b begins with. Brackets have been paired and strings closed by stream.value.
func valueEnd(b []byte) int {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '"':
			for i++; i < len(b) && b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
			if depth == 0 {
				return min(i+1, len(b))
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth <= 0 {
				return i + 1
			}
		case ',', ':':
			if depth == 0 {
				return i
			}
		}
	}
	return len(b)
}
