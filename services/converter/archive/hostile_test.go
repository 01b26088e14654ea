package archive_test

import (
	"archive/tar"
	"cmp"
	"maps"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/trainyard/trainyard/services/converter/archive"
	"github.com/trainyard/trainyard/services/converter/reject"
	"github.com/trainyard/trainyard/services/converter/source"
)

// What a hostile upload may cost until its verdict.
const (
	maxTime = 5 * time.Second
	maxHeap = 64 << 20
	// A million entries are no attack, and what Go's archive/zip takes for them is 85 MB.
	maxHeapOfMillion = 85_000_000
	readAhead        = 32 << 20 // of a source.Reader; as much again may wait for the garbage collector
)

// attack is an upload made to do harm, and what must become of it.
type attack struct {
	name  string
	src   source.Source
	want  reject.Reason            // why it is refused as a whole; "" if it isn't
	left  map[string]reject.Reason // otherwise the entries that are refused
	kept  int                      // and how many are kept
	heap  uint64                   // the most by which the heap may grow; maxHeap if 0
	bytes int64                    // the most that is read of it, if not 0
	limit int                      // of entries; the usual one if 0
}

func attacks(t *testing.T) []attack {
	text := []byte("some text that is here")
	tarHead := tarRecord(t, tar.TypeReg, "a", 1<<40, nil)
	window := func(log byte) byte { return (log - 10) << 3 }
	file := func(b []byte) source.Source { return memory{data: b} }
	zipped := makeZip(zipEntry{name: "a", data: text})
	counted := func(v virtual) virtual { v.read = new(int64); return v }
	all := []attack{
		{name: "zip in gzip", src: file(gzipped(t, zipped)), want: reject.UnsupportedContainer},
		{name: "zip in zstd", src: file(zstdCompressed(t, zipped)), want: reject.UnsupportedContainer},
		{name: "gzip in gzip", src: file(gzipped(t, gzipped(t, text))), want: reject.UnsupportedContainer},
		{name: "bzip2 in zstd", src: file(zstdCompressed(t, bzip2Text)), want: reject.UnsupportedContainer},
		{name: "xz in gzip", src: file(gzipped(t, []byte("\xfd7zXZ\x00"))), want: reject.UnsupportedContainer},

		{name: "overlapping zip entries of 19 GB", src: file(quotedZip(t)), want: reject.OverlappingEntries},
		{name: "zip deflated 1000:1", src: file(denseZip(t, 32)), want: reject.ArchiveTooLarge},
		{name: "zip entry larger than it says", src: file(makeZip(zipEntry{name: "a", data: deflated(t, make([]byte, 64<<20)), size: 10, crc: 1, method: 8})), left: map[string]reject.Reason{"a": reject.CorruptEntry}},

		{name: "GNU sparse tar of 1 TiB", src: file(gnuSparseTar(t)), left: map[string]reject.Reason{"hole": reject.SparseFile}, kept: 1},
		{name: "PAX 0.0 sparse tar of 1 TiB", src: file(paxTar(t, nil, "GNU.sparse.size=1099511627776", "GNU.sparse.numblocks=1", "GNU.sparse.offset=0", "GNU.sparse.numbytes=0")), left: map[string]reject.Reason{"hole": reject.SparseFile}, kept: 1},
		{name: "PAX 0.1 sparse tar of 1 TiB", src: file(paxTar(t, nil, "GNU.sparse.size=1099511627776", "GNU.sparse.numblocks=1", "GNU.sparse.map=0,0")), left: map[string]reject.Reason{"hole": reject.SparseFile}, kept: 1},
		{name: "PAX 1.0 sparse tar of 1 TiB", src: file(paxTar(t, tarBlocks([]byte("1\n0\n0\n")), "GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.realsize=1099511627776", "GNU.sparse.name=hole")), left: map[string]reject.Reason{"hole": reject.SparseFile}, kept: 1},
		{name: "PAX size of 1 TiB", src: file(paxTar(t, nil, "size=1099511627776")), want: reject.CorruptArchive},
		{name: "tar header of 1 TiB", src: file(tarRecord(t, '0', "a", 1<<40, text)), want: reject.CorruptArchive},
		{name: "tar header of a negative size", src: file(tarRecord(t, '0', "a", -1<<40, text)), want: reject.CorruptArchive},
		{name: "tar name record of 1 GiB", src: virtual{size: 1 << 30, fill: func(p []byte, off int64) int {
			if off < 512 {
				return copy(p, tarRecord(t, 'L', "././@LongLink", 1<<30-1024, nil)[off:])
			}
			return zeros(p, int64(len(p)))
		}}, want: reject.CorruptArchive},
		{name: "PAX records by the hundred thousand", src: file(paxTar(t, nil, slices.Repeat([]string{"a=b"}, 150_000)...)), kept: 2},

		{name: "gzip 1000:1", src: file(gzipBomb(t, text)), want: reject.ArchiveTooLarge},
		{name: "gzip 1000:1 of a tar", src: file(gzipBomb(t, tarHead)), want: reject.ArchiveTooLarge},
		{name: "zstd 32000:1", src: file(zstdBomb(window(20), text, 16_000)), want: reject.ArchiveTooLarge},
		{name: "zstd 32000:1 of a tar, with the largest window", src: file(zstdBomb(window(25), tarHead, 16_000)), want: reject.ArchiveTooLarge, heap: maxHeap + 8<<20}, // twice the window: one is garbage
		{name: "zstd window of 64 MiB", src: file(zstdBomb(window(26), text, 1)), want: reject.UnsupportedContainer},
		{name: "zstd window of 2 TiB", src: file(zstdBomb(window(41), text, 1)), want: reject.UnsupportedContainer},
		{name: "zstd frame of 1 TiB in one segment", src: file([]byte("\x28\xb5\x2f\xfd\xe0\x00\x00\x00\x00\x00\x01\x00\x00\x03\x00\x00\x00")), want: reject.UnsupportedContainer},
		{name: "bzip2 1000000:1", src: file(slices.Repeat(bzip2Zeros, 64)), want: reject.ArchiveTooLarge},

		{name: "a million entries in a zip", src: virtualZip(1_000_000, ""), kept: 1_000_000, heap: maxHeapOfMillion},
		{name: "a million entries in a tar", src: virtualTar(t, 1_000_000, 1), kept: 1_000_000, heap: maxHeapOfMillion + 2*readAhead},
		{name: "more entries in a zip than the limit, by the directory's count alone", src: counted(virtualZip(2_000_001, "")), want: reject.TooManyEntries, bytes: 128 << 10},
		{name: "more entries in a tar than the limit", src: near{virtualTar(t, 100_001, 0)}, limit: 100_000, want: reject.TooManyEntries},
		{name: "paths of 100 MB", src: virtualZip(100_000, strings.Repeat("n", 1000)), want: reject.TooManyEntries, heap: maxHeapOfMillion + 8<<20},
		{name: "a tar of 20 GB", src: virtualTar(t, 2_000, 10<<20), kept: 2_000},
		{name: "a tar of 20 GB that is near", src: near{virtualTar(t, 20_000, 1<<20)}, kept: 20_000},
	}
	for _, name := range slices.Sorted(maps.Keys(badNames)) {
		path := badNames[name]
		shown := path
		if len(shown) > 1024 {
			shown = shown[:1024] + "…"
		}
		left := map[string]reject.Reason{shown: reject.BadPath}
		all = append(all, attack{name: "zip name: " + name, src: file(makeZip(zipEntry{name: "ok", data: text}, zipEntry{name: path, data: text})), left: left, kept: 1})
		if !strings.Contains(path, "\x00") {
			all = append(all, attack{name: "tar name: " + name, src: file(makeTar(t, &tar.Header{Name: "ok", Typeflag: tar.TypeReg}, &tar.Header{Name: path, Typeflag: tar.TypeReg})), left: left, kept: 1})
		}
	}
	for name, mode := range map[string]uint32{"symlink": 0o120777, "device": 0o060666, "pipe": 0o010666, "socket": 0o140777} {
		all = append(all, attack{
			name: "zip with a " + name, src: file(makeZip(zipEntry{name: "ok", data: text}, zipEntry{name: "a", data: []byte("/etc/passwd"), mode: mode})),
			left: map[string]reject.Reason{"a": reject.NotARegularFile}, kept: 1,
		})
	}
	for name, typeflag := range map[string]byte{"symlink": tar.TypeSymlink, "hardlink": tar.TypeLink, "device": tar.TypeBlock, "pipe": tar.TypeFifo, "contiguous file": tar.TypeCont} {
		all = append(all, attack{
			name: "tar with a " + name, src: file(makeTar(t, &tar.Header{Name: "ok", Typeflag: tar.TypeReg}, &tar.Header{Name: "a", Typeflag: typeflag, Linkname: "/etc/passwd"})),
			left: map[string]reject.Reason{"a": reject.NotARegularFile}, kept: 1,
		})
	}
	return all
}

// open does what a conversion does with an upload up to its first record.
func open(t *testing.T, src source.Source, limits archive.Limits) (*archive.Listing, source.Source, error) {
	kind, err := archive.Detect(t.Context(), src)
	if err != nil {
		return nil, nil, err
	}
	if kind.Compressed() {
		f, err := archive.Unpack(t.Context(), src, filepath.Join(t.TempDir(), "u"), limits)
		if err != nil {
			return nil, nil, err
		}
		t.Cleanup(func() { f.Close() })
		src, kind = f, kind.Unpacked()
	}
	l, err := archive.List(t.Context(), src, kind, limits)
	return l, src, err
}

// TestHostileUploads is the part of the list of attacks on uploads that concerns containers. Nested archives
// that are entries of an archive are left out by the formats, twins by the plan.
func TestHostileUploads(t *testing.T) {
	if underRaceDetector() {
		t.Skip("time and memory are measured, and the race detector takes many times of both; scripts/test.sh runs this without it")
	}
	for _, a := range attacks(t) {
		t.Run(a.name, func(t *testing.T) {
			var l *archive.Listing
			var src source.Source
			var err error
			limits := archive.DefaultLimits
			limits.MaxEntries = cmp.Or(a.limit, limits.MaxEntries)
			took, grew := measure(t, func() { l, src, err = open(t, a.src, limits) })
			if took > maxTime {
				t.Errorf("the verdict took %v", took)
			}
			if limit := cmp.Or(a.heap, maxHeap); grew > limit {
				t.Errorf("the heap grew by %d bytes; the limit is %d", grew, limit)
			}
			t.Logf("%v, heap +%.1f MB, %v", took.Round(time.Millisecond), float64(grew)/1e6, err)
			if v, ok := a.src.(virtual); ok && a.bytes > 0 && *v.read > a.bytes {
				t.Errorf("%d bytes were read; the limit is %d", *v.read, a.bytes)
			}
			if a.want != "" {
				wantReason(t, err, a.want)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if a.kept > 10 {
				if len(l.Entries) != a.kept {
					t.Errorf("%d entries, want %d", len(l.Entries), a.kept)
				}
				return
			}
			kept, left := unpackAll(t, src.(memory), l)
			if len(kept) != a.kept || !maps.Equal(left, a.left) {
				t.Errorf("kept %d, want %d; left out %v, want %v", len(kept), a.kept, left, a.left)
			}
		})
	}
}

// measure runs something and returns the processor time that it took, which other work on the machine doesn't change, and by how much the heap, garbage included, grew meanwhile at most. The
// collector is held to the limit as GOMEMLIMIT holds that of a worker.
func measure(t *testing.T, run func()) (time.Duration, uint64) {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/total:bytes"}}
	runtime.GC()
	debug.FreeOSMemory()
	metrics.Read(sample)
	base, most := sample[0].Value.Uint64(), uint64(0)
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(int64(sample[1].Value.Uint64()) + maxHeap))
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			metrics.Read(sample[:1])
			most = max(most, sample[0].Value.Uint64())
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	}()
	start := processorTime(t)
	run()
	took := processorTime(t) - start
	close(stop)
	<-stopped
	return took, most - min(base, most)
}

func underRaceDetector() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

func processorTime(t *testing.T) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
