// Package scratch guards the scratch disk: space is checked before a large file is written, so that
// a full disk is found out before the work and not in the middle of a shard.
package scratch

import (
	"errors"
	"fmt"
	"syscall"
)

// Reserve is what must stay free on the disk, in bytes, for logs, the database and the like.
const Reserve = 256 << 20

// ErrFull reports that the scratch disk has too little room. The work should be given back: another
// machine, or this one later, may do it.
var ErrFull = errors.New("the scratch disk has too little free space")

// Check returns an error that wraps ErrFull when writing need bytes under dir would leave less than Reserve free.
func Check(dir string, need int64) error {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return fmt.Errorf("look at the free space of the scratch disk: %w", err)
	}
	free := int64(st.Bavail) * int64(st.Bsize) //nolint:gosec,unconvert // a disk's free bytes fit an int64; the fields' types differ by system
	if free-Reserve < need {
		return fmt.Errorf("%w: %d bytes free, %d needed besides a reserve of %d", ErrFull, free, need, int64(Reserve))
	}
	return nil
}

// Wrap turns "no space left on device" into ErrFull and leaves other errors alone.
func Wrap(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}
