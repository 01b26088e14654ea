package picture

import (
	"bytes"

	"github.com/klauspost/cpuid/v2"
)

var hasAVX2 = cpuid.CPU.Supports(cpuid.AVX2)

// findMarkerAVX2 returns the place of the first 0xff in p that is followed by anything but 0. If it finds none, it returns how far it
// has looked, which is to the last 64 bytes.
//
//go:noescape
func findMarkerAVX2(p []byte) int

// findFF returns the place of a byte 0xff in p, or -1. It passes over those that are followed by 0, as far as it can.
func findFF(p []byte) int {
	from := 0
	if hasAVX2 {
		from = findMarkerAVX2(p)
	}
	if i := bytes.IndexByte(p[from:], 0xff); i >= 0 {
		return from + i
	}
	return -1
}
