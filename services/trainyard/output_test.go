package main

import (
	"bytes"
	"io"
	"testing"
)

// A step that is told to be done twice, as the last of a conversion is, doesn't draw its bar on the line of what comes next.
func TestAFinishedBarIsNotDrawnAgain(t *testing.T) {
	var drawn bytes.Buffer
	out := &output{stdout: io.Discard, stderr: &drawn}
	for range 2 {
		out.draw("convert", "", 40, 40, false)
	}
	out.endBar()
	if text := drawn.Bytes(); !bytes.HasSuffix(text, []byte("\n")) || bytes.Count(text, []byte("\n")) != 1 {
		t.Errorf("drawn: %q", text)
	}
}
