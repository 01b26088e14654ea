package main

import (
	"strings"
	"testing"

	converterv1 "github.com/trainyard/trainyard/gen/trainyard/converter/v1"
)

func TestExampleTable(t *testing.T) {
	feature := func(name string, count int64, value *converterv1.Feature) *converterv1.Feature {
		value.Name, value.ValueCount = name, count
		return value
	}
	rows := exampleRows([]*converterv1.Example{
		{Id: "s__0", Split: "train", Class: "cat", Features: []*converterv1.Feature{
			feature("image", 1, &converterv1.Feature{Value: &converterv1.Feature_Image_{Image: &converterv1.Feature_Image{Width: 3, Height: 2, Encoding: "png"}}}),
			feature("tags", 2, &converterv1.Feature{Value: &converterv1.Feature_Labels_{Labels: &converterv1.Feature_Labels{Values: []int64{4, -1}, Names: []string{"red", ""}}}}),
		}},
		{Id: "s__1", Split: "test", Features: []*converterv1.Feature{
			feature("n", 900, &converterv1.Feature{Value: &converterv1.Feature_Ints_{Ints: &converterv1.Feature_Ints{Values: []int64{1, 2}}}}),
			feature("text", 1, &converterv1.Feature{Value: &converterv1.Feature_Texts_{Texts: &converterv1.Feature_Texts{Values: []string{"a\x1b[2Jb\t" + strings.Repeat("x", 99)}}}}),
			feature("audio", 8000, &converterv1.Feature{Value: &converterv1.Feature_Audio_{Audio: &converterv1.Feature_Audio{SampleRate: 8000, Channels: 1, Seconds: 1}}}),
		}},
	})
	want := [][]string{
		{"SPLIT", "CLASS", "image", "tags", "n", "text", "audio", "ID"},
		{"train", "cat", "3×2 png", "red, -1", "", "", "", "s__0"},
		{"test", "", "", "", "900 values: 1, 2", "a\uFFFD[2Jb\uFFFD" + strings.Repeat("x", 40) + "…", "1.00 s × 1 at 8000 Hz", "s__1"},
	}
	for i, row := range want {
		if got := strings.Join(rows[i], "|"); got != strings.Join(row, "|") {
			t.Errorf("row %d: %q, want %q", i, got, strings.Join(row, "|"))
		}
	}
}

func TestVersionsAreNamedShortly(t *testing.T) {
	for text, want := range map[string]string{
		"photos/2": "datasets/photos/versions/2", "datasets/photos/versions/2": "datasets/photos/versions/2", "../x/1": "", "a/b/c/d": "", "/": "", "a/?b": "datasets/a/versions/%3Fb",
	} {
		if got, err := readyVersion(t.Context(), nil, text); got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
}
