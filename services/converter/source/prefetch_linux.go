package source

import "golang.org/x/sys/unix"

// Prefetch implements Prefetcher by asking the kernel to read ahead.
func (f *File) Prefetch(off, n int64) {
	// It is advice: if it can't be taken, the reads that follow are slower and right all the same.
	_ = unix.Fadvise(int(f.f.Fd()), off, n, unix.FADV_WILLNEED)
}
