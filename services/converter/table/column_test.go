package table

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// column collects cells; each may be followed by *N to have it N times.
func column(cells string, label bool) *Column {
	var c Column
	for cell := range strings.SplitSeq(cells, "|") {
		n := 1
		if i := strings.LastIndexByte(cell, '*'); i >= 0 {
			fmt.Sscan(cell[i+1:], &n)
			cell = cell[:i]
		}
		for range n {
			c.cell([]byte(cell), limitFor(1, label))
		}
	}
	return &c
}

func numbered(format string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "|"+format, i)
	}
	return b.String()[1:]
}

func TestKind(t *testing.T) {
	for cells, want := range map[string]Kind{
		"1|2|-3|+4": KindInt, "1|NA||3": KindInt, " 1 |2": KindInt, "9223372036854775807": KindInt,
		"1|2.5": KindFloat, "1e3|.5|5.": KindFloat, "inf|-Infinity|1": KindFloat, "9223372036854775808|1": KindFloat,
		"true|FALSE|": KindBool, "Yes|no": KindBool, "1|0": KindInt, "yes|1": KindText, "yes*2|1*2": KindCategory,
		"007|008": KindText, "007*2|008*2": KindCategory, "00.5": KindText,
		"2024-01-01|2024-01-02": KindText, "a*2|b*2": KindCategory, "a*2|b|c": KindText, "a*2|1*2": KindCategory,
		"": KindText, "NA|null|?": KindText, "NaN|1": KindInt, "1_000": KindText, "0x1F": KindText, "1,5": KindText, "--1": KindText, "1e": KindText, ".": KindText, "-": KindText,
		strings.Repeat("x", 300) + "*4": KindText, "a\nb*4": KindText, numbered("v%d*2", 1001): KindText, numbered("v%d*2", 900): KindCategory,
	} {
		if got := column(cells, false).kind(); got != want {
			t.Errorf("%.60q is %s, want %s", cells, got, want)
		}
	}
}

func TestClasses(t *testing.T) {
	for cells, want := range map[string][]string{
		"b|a|b": {"a", "b"}, "0|1|2": {"0", "1", "2"}, "10|9|1": {"1", "9", "10"}, "-1|1": {"-1", "1"}, "5": nil, "1|2|300": nil, "0.5|1": nil,
		"yes|No": {"no", "yes"}, "TRUE|no": {"false", "true"}, "true|true": {"false", "true"}, "1|a": {"1", "a"}, "": nil,
		numbered("u%d", 101): nil, numbered("v%03d*2", 101): strings.Split(numbered("v%03d", 101), "|"),
	} {
		if got, _ := column(cells, true).classes(false); !slices.Equal(got, want) {
			t.Errorf("%.60q has the classes %q, want %q", cells, got, want)
		}
	}
	if got, _ := column(numbered("u%d", 101), true).classes(true); len(got) != 101 {
		t.Errorf("a column that was named as the label has %d classes, want 101", len(got))
	}
}

// TestMerge checks that parts add up to the whole in any order.
func TestMerge(t *testing.T) {
	parts := []string{"1|2|7*3", "x|y*4", "NA", "2.5", numbered("v%d", 600), numbered("w%d", 600), "5|-9", "true"}
	for mask := range 1 << len(parts) {
		var chosen []string
		var forth, back Column
		for i, p := range parts {
			if mask>>i&1 != 0 {
				chosen = append(chosen, p)
				forth.merge(column(p, false), limitFor(1, false))
			}
		}
		for _, p := range slices.Backward(chosen) {
			back.merge(column(p, false), limitFor(1, false))
		}
		whole := column(strings.Join(chosen, "|"), false)
		for _, c := range []*Column{&forth, &back} {
			if c.kind() != whole.kind() || c.Values != whole.Values || c.kind() == KindCategory && !slices.Equal(c.distinct(), whole.distinct()) {
				t.Fatalf("parts %b are %s of %d values, the whole %s of %d", mask, c.kind(), c.Values, whole.kind(), whole.Values)
			}
		}
	}
}

func TestHasHeader(t *testing.T) {
	for text, want := range map[string]bool{
		"a,b\n1,2\n": true, "1,2\n3,4\n": false, "text,label\ngood,pos\nbad,neg\n": true, "good,pos\nbad,neg\nfine,pos\n": false,
		",x\n0,a\n1,b\n": true, "country,1990,1991\nA,1,2\n": false, "label,1x1,1x2\n1,0,0\n": true, "a,a\nx,y\n": false, "a,b\n": true, "5.1,setosa\nNA,setosa\n": false,
	} {
		if got := HasHeader(SampleRows([]byte(text), CSV(','), true, 100), ','); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

func TestHeader(t *testing.T) {
	got := Header([][]byte{[]byte(" a "), nil, []byte("a"), []byte("x/y"), []byte("column_2")})
	if want := []string{"a", "column_2", "a_2", "x/y", "column_2_2"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	for name, want := range map[string]string{"x/y\\z": "x_y_z", "a\nb": "a_b", "..": "_.", "": "column_4", strings.Repeat("é", 100): strings.Repeat("é", 64)} {
		if got := featureName(name, 3); got != want {
			t.Errorf("%q becomes %q, want %q", name, got, want)
		}
	}
}

func FuzzNumber(f *testing.F) {
	for _, s := range []string{"1", "-1.5e3", ".5", "1e400", "123456789012345678901", "0.1", "inf", "00", "1e-320"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if kind, i, x := parseNumber(b); kind != notNumber {
			if want := parseFloat(b); x != want && kind != integer {
				t.Errorf("%q is %v, want %v", b, x, want)
			}
			if kind == integer && strings.TrimLeft(string(b), "+") != fmt.Sprint(i) && string(b) != "-0" && string(b) != "+0" {
				t.Errorf("%q is %d", b, i)
			}
		}
	})
}
