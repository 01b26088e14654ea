package table

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestRowsOfBlock compares what is noted of a block, whose rows are mostly noted together, with what is noted row by row.
func TestRowsOfBlock(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	cells := []string{"1", "-2.5", "17", "text", `"a, b"`, `"say ""so"""`, "", "NA", ` x `, `"NA"`, "é", `"é` + "\n" + `"`, "9.75e3"}
	odd := []string{"", "a,b", `5" pipe,x,y`, `"a" b,c,d`, "\x00,1,2", "\r", "1,2,3\r", "x,4,\"q\"\r"}
	for range 2000 {
		var text []byte
		for range r.IntN(200) {
			if r.IntN(40) == 0 {
				text = append(text, odd[r.IntN(len(odd))]...)
			} else {
				text = fmt.Appendf(text, "%s,%s,%s", cells[r.IntN(len(cells))], cells[r.IntN(len(cells))], cells[r.IntN(len(cells))])
			}
			text = append(text, '\n')
		}
		names := []string{"a", "b", "label"}
		together, single := newCSVObserver(',', names, 2), newCSVObserver(',', names, 2)
		together.limits[0].count, single.limits[0].count = 5, 5 // so that it overflows
		blocks := NewBlocks(bytes.NewReader(text), CSV(','), 0, 1, func(e *RowError) { t.Fatal(e) })
		blocks.marked = &marked{comma: ','}
		for {
			block, err := blocks.Next(nil)
			if err != nil {
				break
			}
			next := 0
			together.rowsOf(block, func(row Bounds, label int32, err *RowError) {
				want, wantErr := single.row(block.Data[row.Start:row.End])
				if row != block.Rows[next] || label != want || fmt.Sprint(err) != fmt.Sprint(wantErr) {
					t.Fatalf("%q: row %d is %+v with the label %d, %v; want %d, %v", text, next, row, label, err, want, wantErr)
				}
				next++
			})
		}
		for i := range together.cols {
			got, want := &together.cols[i], &single.cols[i]
			if got.Values != want.Values || got.kind() != want.kind() || got.values.overflow != want.values.overflow || !want.values.overflow && !slices.Equal(got.distinct(), want.distinct()) {
				t.Fatalf("%q: column %d is %+v, want %+v", text, i, got, want)
			}
		}
		if together.rows != single.rows {
			t.Fatalf("%d rows, want %d", together.rows, single.rows)
		}
	}
}
