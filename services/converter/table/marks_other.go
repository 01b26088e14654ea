//go:build !amd64

package table

const fastMarks = false

func markBlocks(_ *marks, _ *byte, _ int, _ byte) {
	panic("table: there is no fast markBlocks for this processor")
}
