package reject_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/trainyard/trainyard/services/converter/reject"
)

func TestListIsBounded(t *testing.T) {
	var a, b reject.List
	for i := range reject.MaxListed + 500 {
		a.Add(reject.NewFile(fmt.Sprint(i), reject.TruncatedImage, "cut"))
		b.Add(reject.NewFile(fmt.Sprint(i), reject.SystemFile, "litter"))
	}
	a.Merge(b)
	if len(a.Files) != reject.MaxListed || a.Total() != 2*(reject.MaxListed+500) || a.Bad() != reject.MaxListed+500 {
		t.Errorf("%d named, %d in all, %d bad", len(a.Files), a.Total(), a.Bad())
	}
}

// What went with a file is listed only where there is room, and is not counted twice.
func TestWhatWentWithAFile(t *testing.T) {
	var a, b reject.List
	a.Add(reject.NewFile("a", reject.TruncatedImage, "cut"))
	a.AddOwned(reject.Annotation, "a", 3*reject.MaxListed)
	for i := range reject.MaxListed - 10 {
		b.Add(reject.NewFile(fmt.Sprint("b", i), reject.TruncatedImage, "cut"))
	}
	b.AddOwned(reject.Row, "b0", 1)
	a.Merge(b)
	owned := 0
	for _, f := range a.Named() {
		if f.Reason == reject.OwnerLeftOut {
			owned++
		}
	}
	if n := len(a.Named()); n != reject.MaxListed || owned != 9 || a.Total() != reject.MaxListed-9 || a.Bad() != a.Total() || a.Annotations.Total() != 3*reject.MaxListed {
		t.Errorf("%d named, %d of these with a file; %d in all, %d bad", n, owned, a.Total(), a.Bad())
	}
	a.Trim(100)
	if n := len(a.Named()); n == 0 || n > 30 || a.Bad() != reject.MaxListed-9 {
		t.Errorf("cut to 100 bytes, %d are named", n)
	}
}

func TestPathsArePrintable(t *testing.T) {
	for _, path := range []string{"a\xff/b", strings.Repeat("ü", 5000), ""} {
		got := reject.NewFile(path, reject.BadPath, "bad").Path
		if !utf8.ValidString(got) || len(got) > 1100 {
			t.Errorf("%d bytes, valid %v", len(got), utf8.ValidString(got))
		}
	}
}

func TestErrorKeepsItsCause(t *testing.T) {
	cause := errors.New("cause")
	var err error = &reject.Error{Reason: reject.CorruptArchive, Message: "The zip is damaged.", Err: cause}
	var r *reject.Error
	if !errors.Is(fmt.Errorf("plan: %w", err), cause) || !errors.As(fmt.Errorf("plan: %w", err), &r) {
		t.Error("the error can't be unwrapped")
	}
}
