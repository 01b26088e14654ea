package table

import "bytes"

// Array splits a JSON array into its elements. The data begins behind the opening bracket; the commas between elements and the
// closing bracket are no rows. Whether an element is JSON is for Flattener to tell.
func Array(data []byte, whole bool) Span {
	start := 0
	for start < len(data) && isArraySpace(data[start]) {
		start++
	}
	if start == len(data) {
		return Span{Start: start, End: start, Next: start}
	}
	first := bytes.IndexByte(data[start:], '\n')
	depth, i := 0, start
	for i < len(data) {
		switch c := data[i]; c {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
			if depth < 0 { // the array's own bracket, behind a bare value
				return Span{Start: start, End: i, Next: i + 1}
			}
			if depth == 0 {
				return Span{Start: start, End: i + 1, Next: i + 1}
			}
		case ',':
			if depth == 0 {
				return Span{Start: start, End: i, Next: i + 1}
			}
		case '"':
			i = stringEnd(data, i+1)
			continue
		}
		i++
	}
	if !whole {
		return Span{}
	}
	if depth == 0 && i == len(data) {
		return Span{Start: start, End: i, Next: i}
	}
	end := len(data)
	if first >= 0 {
		end = start + first + 1
	}
	return Span{Start: start, End: end, Next: end, Unclosed: true}
}

func isArraySpace(c byte) bool {
	return c == ' ' || c == '\n' || c == '\r' || c == '\t' || c == ',' || c == ']'
}

// stringEnd returns the place behind the quote that closes the string whose content begins at i, or one behind the end of the data.
func stringEnd(data []byte, i int) int {
	for {
		q := bytes.IndexByte(data[i:], '"')
		if q < 0 {
			return len(data) + 1
		}
		q += i
		backslashes := 0
		for q-backslashes > i && data[q-1-backslashes] == '\\' {
			backslashes++
		}
		if backslashes%2 == 0 {
			return q + 1
		}
		i = q + 1
	}
}
