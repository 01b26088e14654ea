//go:build !amd64

package picture

import "bytes"

// findFF returns the place of a byte 0xff in p, or -1.
func findFF(p []byte) int { return bytes.IndexByte(p, 0xff) }
