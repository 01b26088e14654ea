package folder_test

import (
	"context"
	"errors"
	"io"
	"path"
	"slices"
	"testing"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/dataset/folder"
	"github.com/trainyard/trainyard/services/converter/reject"
)

type paths []string

func (p paths) Len() int              { return len(p) }
func (p paths) At(i int) dataset.File { return dataset.File{Path: p[i], Size: 1} }

func (paths) Stream(context.Context, int) (io.ReadCloser, error) {
	return nil, errors.New("a layout is found by paths alone")
}

func (paths) Open(context.Context, int) (io.ReaderAt, error) {
	return nil, errors.New("a layout is found by paths alone")
}

func isWAV(p string) bool { return path.Ext(p) == ".wav" }

func TestLayout(t *testing.T) {
	tests := []struct {
		name    string
		files   paths
		classes []string
		places  map[string]folder.Place
	}{
		{
			"strays after the classes are no class",
			paths{"cat/1.wav", "dog/1.wav", "stray.wav"},
			[]string{"cat", "dog"},
			map[string]folder.Place{"cat/1.wav": {Class: "cat", Key: "cat/1.wav"}, "stray.wav": {Key: "stray.wav"}},
		},
		{
			"two wrappers, the outer with strays and a README",
			paths{"a/README", "a/b/cat/x/1.wav", "a/b/dog/1.wav", "a/stray.wav"},
			[]string{"cat", "dog"},
			map[string]folder.Place{"a/b/cat/x/1.wav": {Class: "cat", Key: "cat/x/1.wav"}, "a/stray.wav": {}},
		},
		{
			"splits within a wrapper",
			paths{"a/dev/cat/1.wav", "a/Training/cat/1.wav", "a/Training/dog/2.wav"},
			[]string{"cat", "dog"},
			map[string]folder.Place{
				"a/dev/cat/1.wav":      {Split: dataset.Validation, Class: "cat", Key: "dev/cat/1.wav"},
				"a/Training/dog/2.wav": {Split: dataset.Train, Class: "dog", Key: "Training/dog/2.wav"},
			},
		},
		{
			"splits without classes are classes",
			paths{"train/1.wav", "test/1.wav"},
			[]string{"test", "train"},
			map[string]folder.Place{"train/1.wav": {Class: "train", Key: "train/1.wav"}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := folder.Find(tt.files, isWAV)
			classes, err := l.Classes(tt.files, isWAV, "")
			if err != nil || !slices.Equal(classes, tt.classes) {
				t.Errorf("classes %q (%v), want %q", classes, err, tt.classes)
			}
			for p, want := range tt.places {
				if got := l.Place(p); got != want {
					t.Errorf("%s is at %+v, want %+v", p, got, want)
				}
			}
		})
	}
}

func TestClassesSaysHowToMend(t *testing.T) {
	_, err := folder.Find(paths{"1.wav"}, isWAV).Classes(paths{"1.wav"}, isWAV, "make folders.")
	var rejected *reject.Error
	want := "The archive has no class folder; at least two classes are needed. To mend it, make folders."
	if !errors.As(err, &rejected) || rejected.Reason != reject.TooFewClasses || rejected.Message != want {
		t.Errorf("got %v", err)
	}
}
