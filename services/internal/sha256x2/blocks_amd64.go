package sha256x2

import "github.com/klauspost/cpuid/v2"

var supported = cpuid.CPU.Supports(cpuid.SHA, cpuid.SSSE3, cpuid.SSE4)

// blocks hashes n blocks of 64 bytes at p into the state a, and as many at q into the state b.
//
//go:noescape
func blocks(a, b *[8]uint32, p, q *byte, n int)
