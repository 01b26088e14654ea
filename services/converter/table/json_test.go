package table

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/trainyard/trainyard/services/converter/reject"
)

func describe(v *Value) string {
	switch v.Kind {
	case Bool, Int:
		return fmt.Sprint(v.Int)
	case Float:
		return fmt.Sprint(v.Float)
	case String:
		return fmt.Sprintf("%q", v.Text)
	case Ints:
		return fmt.Sprint("ints", v.Shape, v.Ints)
	case Floats:
		return fmt.Sprint("floats", v.Shape, v.Floats)
	case Strings:
		return fmt.Sprintf("%q", v.Strings)
	case Empty:
		return fmt.Sprint("empty", v.Shape)
	case Mixed:
		return "mixed " + string(v.Text)
	default:
		return "null"
	}
}

func TestFlattener(t *testing.T) {
	for row, want := range map[string]string{
		`{"a":1,"b":{"c":"x","d":{"e":null}},"f":true}`: `a=1 b.c="x" b.d.e=null f=1`,
		`{}`: ``,
		`{"a":[1,2,3],"b":[[1,2],[3,4.5]],"c":["x","y"]}`: `a=ints[3] [1 2 3] b=floats[2 2] [1 2 3 4.5] c=["x" "y"]`,
		`{"a":[[1,2],[3]],"b":[],"c":[[],[1]]}`:           `a=ints[2 -1] [1 2 3] b=empty[0] c=ints[2 -1] [1]`,
		`{"a":[1,"x"],"b":[{"k":[1,2]},2],"c":[[1],2]}`:   `a=mixed [1,"x"] b=mixed [{"k":[1,2]},2] c=mixed [[1],2]`,
		`{"a":[1,null]}`: `a=floats[2] [1 NaN]`,
		`{"a":"\u00e9\n\ud83d\ude00\"","b":"é"}`:                           `a="é\n😀\"" b="é"`,
		`{"a":1e5,"b":-0.5,"c":9223372036854775808,"d":NaN,"e":-Infinity}`: `a=100000 b=-0.5 c=9.223372036854776e+18 d=null e=-Inf`,
		"\t{ \"a\" : [ 1 , 2 ] , \"b\" : [ [ ] , [ ] ] }\r":                `a=ints[2] [1 2] b=empty[2 0]`,
		`{"a":[[]],"b":[[],[[]]],"c":[[[]]]}`:                              `a=empty[1 0] b=mixed [[],[[]]] c=mixed [[[]]]`,
		`{"a":[[[1],[2]],[[3],[4]]]}`:                                      `a=ints[2 2 1] [1 2 3 4]`,
	} {
		var got []string
		var f Flattener
		if err := f.Row([]byte(row), func(path []byte, v *Value) *RowError {
			got = append(got, string(path)+"="+describe(v))
			return nil
		}); err != nil {
			t.Errorf("%s: %v", row, err)
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%s\n got %s\nwant %s", row, s, want)
		}
	}
}

func TestFlattenerRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		row    string
		reason reject.Reason
	}{
		"no object":         {`[1]`, reject.MalformedRow},
		"text behind":       {`{} x`, reject.MalformedRow},
		"not closed":        {`{"a":1`, reject.MalformedRow},
		"no value":          {`{"a":}`, reject.MalformedRow},
		"comma at the end":  {`{"a":1,}`, reject.MalformedRow},
		"leading zero":      {`{"a":01}`, reject.MalformedRow},
		"point at the end":  {`{"a":1.}`, reject.MalformedRow},
		"control character": {"{\"a\":\"\t\"}", reject.MalformedRow},
		"half a surrogate":  {`{"a":"\ud800"}`, reject.MalformedRow},
		"unknown escape":    {`{"a":"\x"}`, reject.MalformedRow},
		"not UTF-8":         {"{\"a\":\"\xff\"}", reject.InvalidText},
		"NUL":               {"{\"a\":\x00}", reject.InvalidText},
		"depth flood":       {`{"a":` + strings.Repeat("[", 500_000), reject.TooDeep},
		"objects too deep":  {strings.Repeat(`{"a":`, 17), reject.TooDeep},
		"token flood":       {`{"a":[` + strings.Repeat("1,", 400_000) + "1]}", reject.TooLarge},
		"name flood":        {`{"` + strings.Repeat("a", 2000) + `":1}`, reject.TooLarge},
		"digits":            {`{"a":` + strings.Repeat("1", 100) + `}`, reject.TooLarge},
		"size":              {`{"a":"` + strings.Repeat("1", 1<<20) + `"}`, reject.TooLarge},
	} {
		var f Flattener
		if err := f.Row([]byte(c.row), func([]byte, *Value) *RowError { return nil }); err == nil || err.Reason != c.reason {
			t.Errorf("%s: %v, want %s", name, err, c.reason)
		}
	}
}

func TestFlattenerAllocates(t *testing.T) {
	row := []byte(`{"id":17,"text":"some \"words\"","tags":["a","b"],"vector":[0.1,0.2,0.3],"meta":{"ok":true}}`)
	var f Flattener
	visit := func([]byte, *Value) *RowError { return nil }
	if n := testing.AllocsPerRun(100, func() { _ = f.Row(row, visit) }); n > 0 {
		t.Errorf("%v allocations a row", n)
	}
}

// FuzzJSONRow compares with encoding/json: the same rows are accepted, up to the documented differences, and strings and numbers are the same.
func FuzzJSONRow(f *testing.F) {
	for _, s := range []string{`{"a":1}`, `{"a":{"b":[1,[2]]},"c":"\u00e9\ud83d\ude00"}`, `{"a":[{"b":[1]},null]}`, `{"a":1.5e-3,"b":[[1,2],[3]]}`, `{"a":NaN}`, `{"a"`, `{"a":"\ud800"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, row []byte) {
		var fl Flattener
		flat := make(map[string]any)
		twice := false
		err := fl.Row(row, func(path []byte, v *Value) *RowError {
			if _, ok := flat[string(path)]; ok {
				twice = true
			}
			switch v.Kind {
			case String:
				flat[string(path)] = string(v.Text)
			case Int, Float:
				flat[string(path)] = v.Float
			default:
				flat[string(path)] = nil
			}
			return nil
		})
		text := string(row)
		if err != nil {
			if err.Reason == reject.MalformedRow && json.Valid(row) && utf8.Valid(row) && len(bytes.TrimSpace(row)) > 0 && bytes.TrimSpace(row)[0] == '{' && !strings.Contains(text, `\u`) {
				t.Fatalf("%q is JSON: %v", row, err)
			}
			return
		}
		if !json.Valid(row) {
			if !strings.Contains(text, "NaN") && !strings.Contains(text, "Infinity") {
				t.Fatalf("%q is no JSON", row)
			}
			return
		}
		var want map[string]any
		if json.Unmarshal(row, &want) != nil || twice || slices.ContainsFunc([]byte(text), func(c byte) bool { return c == '.' }) {
			return
		}
		for k, w := range want {
			switch w.(type) {
			case string, float64:
				if flat[k] != w {
					t.Fatalf("%q: %q is %v, want %v", row, k, flat[k], w)
				}
			}
		}
	})
}

func BenchmarkFlattener(b *testing.B) {
	row := []byte(`{"id":17,"text":"some words of a sentence that isn't short","label":"sports","score":0.25,"vector":[0.1,0.2,0.3],"meta":{"ok":true}}`)
	visit := func([]byte, *Value) *RowError { return nil }
	var f Flattener
	b.SetBytes(int64(len(row)))
	b.ReportAllocs()
	for b.Loop() {
		if err := f.Row(row, visit); err != nil {
			b.Fatal(err)
		}
	}
}
