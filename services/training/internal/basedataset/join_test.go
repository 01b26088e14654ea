package basedataset_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/trainyard/trainyard/services/training/internal/basedataset"
	"github.com/trainyard/trainyard/services/training/recipe"
)

func TestCheckJoin(t *testing.T) {
	images := func(name, label string, shape ...int) basedataset.Features {
		return basedataset.Features{name: {Class: "Image", Shape: shape}, label: {Class: "ClassLabel"}, "file": {Class: "Text"}}
	}
	ten := strings.Split("0123456789", "")
	tests := map[string]struct {
		base   basedataset.BaseDataset
		with   basedataset.Dataset
		notes  []string
		refuse string
	}{
		"all classes": {
			base:  basedataset.BaseDataset{Labels: ten, Features: images("image", "label", -1, -1, 1)},
			with:  basedataset.Dataset{Labels: ten, Features: images("image", "label", -1, -1, 1)},
			notes: []string{"b has 10 of the dataset's 10 classes."},
		},
		"some classes": {
			base:  basedataset.BaseDataset{Labels: append(slices.Clone(ten[:8]), "x", "y")},
			with:  basedataset.Dataset{Labels: ten},
			notes: []string{"b has 8 of the dataset's 10 classes; its examples of x, y are left out."},
		},
		"no class": {
			base:   basedataset.BaseDataset{Labels: []string{"a", "b"}},
			with:   basedataset.Dataset{Labels: ten},
			refuse: "shares no class with the dataset: its classes are a, b, the dataset's are 0, 1, 2, 3, 4, …. Rename",
		},
		"nothing is known": {with: basedataset.Dataset{Labels: ten, Features: images("image", "label")}},
		"no image": {
			base:   basedataset.BaseDataset{Features: basedataset.Features{"audio": {Class: "Audio"}, "label": {Class: "ClassLabel"}}},
			with:   basedataset.Dataset{Labels: ten},
			refuse: "hold no image of the kind Image, which recipes/image-classification needs; their features are audio (Audio), label (ClassLabel)",
		},
		"another name, and no other image": {
			base: basedataset.BaseDataset{Features: images("photo", "label")},
			with: basedataset.Dataset{Labels: ten},
		},
		"two images of other names": {
			base: basedataset.BaseDataset{Features: basedataset.Features{
				"front": {Class: "Image"}, "back": {Class: "Image"}, "label": {Class: "ClassLabel"},
			}},
			with:   basedataset.Dataset{Labels: ten},
			refuse: "several features that may be the image: back, front.",
		},
		"grey and coloured": {
			base:  basedataset.BaseDataset{Features: images("image", "label", 28, 28, 1)},
			with:  basedataset.Dataset{Labels: ten, Features: images("photo", "label", 28, -1, 3), Inputs: map[string]string{"image_feature": "photo"}},
			notes: []string{"The images of b are 28 × 28 × 1 and the dataset's are 28 × any × 3 (height × width × channels): the training program brings them to one shape."},
		},
		"shapes that may vary": {
			base: basedataset.BaseDataset{Features: images("image", "label", 28, 28, 1)},
			with: basedataset.Dataset{Labels: ten, Features: images("image", "label", -1, -1, 1)},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			test.base.ID = "b"
			notes, err := basedataset.CheckJoin(&test.base, recipe.All()[0], test.with)
			if test.refuse != "" {
				if refused := (*basedataset.JoinError)(nil); !errors.As(err, &refused) || refused.ID != "b" || !strings.Contains(err.Error(), test.refuse) {
					t.Fatalf("got %v; want it refused, saying %q", err, test.refuse)
				}
				return
			}
			if err != nil || !slices.Equal(notes, test.notes) {
				t.Errorf("%v: %q", err, notes)
			}
		})
	}
	t.Run("an image of the user's own reads what it likes", func(t *testing.T) {
		notes, err := basedataset.CheckJoin(&basedataset.BaseDataset{ID: "b", Labels: []string{"a"}}, nil, basedataset.Dataset{Labels: ten})
		if err != nil || len(notes) != 0 {
			t.Errorf("%v: %q", err, notes)
		}
	})
}

func TestMix(t *testing.T) {
	of := func(ratios ...float64) (bases []*basedataset.BaseDataset) {
		for _, r := range ratios {
			bases = append(bases, &basedataset.BaseDataset{MixRatio: r})
		}
		return bases
	}
	for _, test := range []struct {
		bases []*basedataset.BaseDataset
		want  float64
	}{{nil, 0}, {of(0), 0}, {of(0.3, 0, 0.7, 0.6), 0.7}, {of(0, 0.2), 0.2}} {
		if got := basedataset.Mix(test.bases); got != test.want {
			t.Errorf("%v, want %v", got, test.want)
		}
	}
}
