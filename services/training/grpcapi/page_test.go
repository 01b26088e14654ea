package grpcapi

import (
	"fmt"
	"strings"
	"testing"

	trainingv1 "github.com/trainyard/trainyard/gen/trainyard/training/v1"
)

func TestPages(t *testing.T) {
	for name, test := range map[string]struct {
		bytes []int // Of each item found.
		size  int64
		shown int
		next  string
	}{
		"none":                           {nil, 2, 0, ""},
		"the last page":                  {[]int{1, 1}, 2, 2, ""},
		"one more than the page's size":  {[]int{1, 1, 1}, 2, 2, "1"},
		"large items make shorter pages": {[]int{2 << 20, 1 << 20, 2 << 20, 1}, 10, 2, "1"},
		"one that is larger than a page": {[]int{5 << 20, 1}, 10, 1, "0"},
	} {
		t.Run(name, func(t *testing.T) {
			found := make([]*trainingv1.LogLine, len(test.bytes))
			for i, n := range test.bytes {
				found[i] = &trainingv1.LogLine{Message: strings.Repeat("x", n), Stream: fmt.Sprint(i)}
			}
			show := func(l *trainingv1.LogLine) (*trainingv1.LogLine, error) { return l, nil }
			shown, next, err := page(found, test.size, (*trainingv1.LogLine).GetStream, show)
			if key, _ := readPageToken(next); err != nil || len(shown) != test.shown || key != test.next {
				t.Errorf("%d shown, next %q, %v; want %d, next %q", len(shown), key, err, test.shown, test.next)
			}
		})
	}
}
