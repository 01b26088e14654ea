//go:build !amd64

package tfrecord

const fastCRC = false

func shortCRC(uint32, *byte, int, int, uint64, uint64) uint32 {
	panic("tfrecord: there is no shortCRC for this processor")
}
