package tfrecord

import "github.com/klauspost/cpuid/v2"

var fastCRC = cpuid.CPU.Supports(cpuid.SSE42, cpuid.CLMUL)

// shortCRC updates a CRC-32C, without the inversions around it, by n bytes at p. The first 24·words bytes are read in three lanes, for
// which once and twice are the factors that move a CRC on by the length of one lane and of two.
//
//go:noescape
func shortCRC(crc uint32, p *byte, n, words int, once, twice uint64) uint32
