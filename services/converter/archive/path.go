package archive

import (
	"path"
	"strings"
	"unicode/utf8"

	"github.com/trainyard/trainyard/services/converter/reject"
)

// Limits of a path.
const (
	maxPathBytes = 1024
	maxPathDepth = 32
)

// CheckPath returns why a path can't be accepted, or "". Nothing is repaired: a repaired path could
// collide with another one.
func CheckPath(path string) string {
	switch {
	case path == "":
		return "the path is empty"
	case len(path) > maxPathBytes:
		return "the path is longer than 1024 bytes"
	case !utf8.ValidString(path):
		return "the path is not UTF-8; make the archive with UTF-8 names"
	case strings.ContainsFunc(path, isControl):
		return "the path holds a control character"
	case strings.Contains(path, `\`):
		return `the path holds a backslash; paths use "/"`
	case strings.HasPrefix(path, "/"), len(path) > 1 && path[1] == ':':
		return "the path is absolute; make the archive with relative paths"
	}
	depth := 0
	for part := range strings.SplitSeq(path, "/") {
		if part == "." || part == ".." {
			return `the path holds "." or ".." as a part`
		}
		if part == "" {
			return "the path has an empty part"
		}
		depth++
	}
	if depth > maxPathDepth {
		return "the path is more than 32 folders deep"
	}
	return ""
}

func isControl(r rune) bool { return r < 0x20 || r == 0x7f }

// barePath makes a path of a bare file's name. There is no other file that it could collide with.
func barePath(name string) string {
	const base = "data"
	name = strings.ToValidUTF8(path.Base(strings.ReplaceAll(name, `\`, "/")), "_")
	name = strings.Map(func(r rune) rune {
		if isControl(r) || r == ':' || r == '/' {
			return '_'
		}
		return r
	}, name)
	switch ext := path.Ext(name); strings.ToLower(ext) {
	case ".gz", ".zst", ".bz2":
		name = strings.TrimSuffix(name, ext)
	}
	if len(name) > maxPathBytes { // what tells the format is at the end
		name = strings.ToValidUTF8(name[len(name)-maxPathBytes:], "")
	}
	if strings.Trim(name, "._") == "" {
		return base
	}
	if name[0] == '.' { // it was named to be uploaded: it isn't a hidden file of a system
		name = base + name[:min(len(name), maxPathBytes-len(base))]
	}
	return name
}

// pathBlock is how many bytes of paths lie in one piece of memory.
const pathBlock = 64 << 10

// pathArena holds the paths of a listing. A million strings of their own would take up to twice the
// memory and keep the garbage collector busy.
type pathArena struct {
	limit, size int64
	full        []string // blocks that no further path fitted into
	block       strings.Builder
}

func newPathArena(limits Limits) *pathArena { return &pathArena{limit: limits.maxPaths()} }

// add copies a path of at most maxPathBytes into the arena. A path never lies in two blocks.
func (a *pathArena) add(path []byte) (string, error) {
	if a.size += int64(len(path)); a.size > a.limit {
		return "", reject.New(reject.TooManyEntries,
			"The paths in the archive are longer than %d bytes together, which is the limit. Shorten the names of folders and files, or split the archive into several datasets.", a.limit)
	}
	if a.block.Cap()-a.block.Len() < len(path) {
		a.seal()
		a.block.Grow(pathBlock)
	}
	start := a.block.Len()
	a.block.Write(path)
	return a.block.String()[start:], nil
}

// seal ends the block, after which full holds every path.
func (a *pathArena) seal() {
	if a.block.Len() > 0 {
		a.full = append(a.full, a.block.String())
	}
	a.block.Reset()
}
