package table

import (
	"bytes"
	"strings"
)

// HasHeader tells whether the first row of a sample names the columns. It does if some of its cells are words above columns of numbers, and no
// more of its cells are numbers there. Where no column has numbers, it does unless one of its cells is missing, a number, there
// twice or a value that comes again below.
func HasHeader(rows [][]byte, comma byte) bool {
	if len(rows) == 0 {
		return false
	}
	head := cellsOf(rows[0], comma)
	below := make([][]string, 0, len(rows))
	for _, row := range rows[1:] {
		if cells := cellsOf(row, comma); len(cells) == len(head) {
			below = append(below, cells)
		}
	}
	words, numbers := 0, 0
	for i, h := range head {
		if !numericBelow(below, i) || IsMissing([]byte(h)) {
			continue
		}
		if isNumeric(h) {
			numbers++
		} else {
			words++
		}
	}
	if words+numbers > 0 {
		return words > numbers
	}
	seen := make(map[string]bool)
	for i, h := range head {
		if isNumeric(h) || seen[h] || IsMissing([]byte(h)) && !(i == 0 && h == "") { // pandas leaves the name of its index empty
			return false
		}
		seen[h] = true
		for _, cells := range below {
			if cells[i] == h {
				return false
			}
		}
	}
	return true
}

func cellsOf(row []byte, comma byte) []string {
	fields, err := NewFields(comma).Cut(row)
	if err != nil {
		return nil
	}
	cells := make([]string, 0, len(fields))
	for _, f := range fields {
		cells = append(cells, string(TrimSpace(f)))
	}
	return cells
}

func isNumeric(cell string) bool {
	kind, _, _ := parseNumber([]byte(cell))
	_, isBool := parseBool([]byte(cell))
	return kind != notNumber || isBool
}

// numericBelow tells whether most values of the column are numbers or bools, and there are some.
func numericBelow(rows [][]string, i int) bool {
	numeric, other := 0, 0
	for _, cells := range rows {
		switch {
		case IsMissing([]byte(cells[i])):
		case isNumeric(cells[i]):
			numeric++
		default:
			other++
		}
	}
	return numeric > 10*other
}

// Header makes the names of the columns from the cells of a header. An empty cell is column_N, and
// of equal names the later ones get _2, _3 and so on.
func Header(cells [][]byte) []string {
	names, taken := make([]string, 0, len(cells)), make(map[string]bool)
	for i, c := range cells {
		name := strings.ToValidUTF8(string(bytes.TrimSpace(c)), "\uFFFD")
		if name == "" {
			name = ColumnName(i)
		}
		names = append(names, uniqueName(name, taken))
	}
	return names
}
