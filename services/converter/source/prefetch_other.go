//go:build !linux

package source

// Prefetch implements Prefetcher. There is no portable way to ask for it.
func (f *File) Prefetch(int64, int64) {}
