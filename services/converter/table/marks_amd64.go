package table

import "github.com/klauspost/cpuid/v2"

var fastMarks = cpuid.CPU.Supports(cpuid.AVX2)

// markBlocks notes the marks of n blocks of 64 bytes at p, at least one.
//
//go:noescape
func markBlocks(to *marks, p *byte, n int, comma byte)
