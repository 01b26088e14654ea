package imagetable

import (
	"cmp"
	"path"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/picture"
)

// images finds the image that a value of a table names, in 32 bytes an image.
type images struct {
	files   dataset.Files
	root    string // the folder that holds all images and tables, with a final slash, or ""
	count   int
	entries []imageEntry // sorted
}

// imageEntry leads from the hash of a path or a name, without ending, to a file.
type imageEntry struct {
	hash uint64
	file int32
}

// maxTwins is how many images may have the same name in different folders for the name alone, or with some of its folders, to be looked up.
const maxTwins = 100

// The two kinds of hashes are told apart by what they begin with.
func hashPath(p string) uint64 { return xxhash.Sum64String("/" + p) }
func hashName(n string) uint64 { return xxhash.Sum64String(n) }

func isImage(name string) bool { return picture.KindOf(name) != picture.NoImage }

// isTable tells from a file's name whether it may be a table.
func isTable(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".csv", ".tsv", ".jsonl", ".ndjson":
		return true
	}
	return false
}

// cutEnding cuts a path before the ending of an image, if it has one.
func cutEnding(p string) (stem, ending string) {
	if !isImage(p) {
		return p, ""
	}
	ending = path.Ext(p)
	return p[:len(p)-len(ending)], ending
}

func findImages(files dataset.Files) *images {
	m := &images{files: files}
	first := true
	for i := range files.Len() {
		p := files.At(i).Path
		image := isImage(p)
		if !image && !isTable(p) {
			continue
		}
		dir := p[:strings.LastIndexByte(p, '/')+1]
		if first {
			m.root, first = dir, false
		}
		for !strings.HasPrefix(dir, m.root) {
			m.root = m.root[:strings.LastIndexByte(m.root[:len(m.root)-1], '/')+1]
		}
		if image {
			m.count++
			stem, _ := cutEnding(p)
			m.entries = append(m.entries, imageEntry{hashPath(stem), int32(i)}, imageEntry{hashName(path.Base(stem)), int32(i)}) //nolint:gosec // archives are limited to fewer
		}
	}
	slices.SortFunc(m.entries, func(a, b imageEntry) int { return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.file, b.file)) })
	return m
}

// lookup returns up to maxTwins+1 of the entries with a hash.
func (m *images) lookup(hash uint64) []imageEntry {
	i, _ := slices.BinarySearchFunc(m.entries, hash, func(e imageEntry, h uint64) int { return cmp.Compare(e.hash, h) })
	j := i
	for j < len(m.entries) && m.entries[j].hash == hash && j-i <= maxTwins {
		j++
	}
	return m.entries[i:j]
}

// verdict is what became of a value.
type verdict int

const (
	none verdict = iota
	one
	several
)

// find returns the image that a value in a table in the folder dir names, by its path from there or from the root, or by
// the end of its path if that is unique, each with or without its ending. Of twins the one below dir is meant, or the one in a folder of the table's split.
func (m *images) find(dir, value string, split dataset.Split) (int, verdict) {
	if value == "" || len(value) > 1024 {
		return 0, none
	}
	value = strings.ReplaceAll(value, `\`, "/")
	stem, ending := cutEnding(strings.TrimPrefix(path.Clean("/"+value), "/"))
	if stem == "" {
		return 0, none
	}
	for _, full := range [2]string{path.Join(dir, strings.TrimSuffix(value, ending)), m.root + stem} {
		if file, v := m.match(m.lookup(hashPath(full)), full, ending, true, dir, split); v != none {
			return file, v
		}
	}
	named := m.lookup(hashName(path.Base(stem)))
	if len(named) > maxTwins {
		return 0, several
	}
	return m.match(named, stem, ending, false, dir, split)
}

// match picks the image from candidates whose path is stem, or ends with it unless it must be whole.
func (m *images) match(candidates []imageEntry, stem, ending string, whole bool, dir string, split dataset.Split) (int, verdict) {
	file, v := 0, none
	rank := func(p string) int { // of twins
		switch {
		case dir != "" && strings.HasPrefix(p, dir):
			return 2
		case split != dataset.NoSplit && folderSplit(p) == split:
			return 1
		}
		return 0
	}
	best := -1
	for _, c := range candidates {
		p := m.files.At(int(c.file)).Path
		s, e := cutEnding(p)
		rest, ok := strings.CutSuffix(s, stem)
		if !ok || rest != "" && (whole || rest[len(rest)-1] != '/') || ending != "" && !strings.EqualFold(e, ending) {
			continue
		}
		switch r := rank(p); {
		case r > best:
			file, v, best = int(c.file), one, r
		case r == best:
			v = several
		}
	}
	return file, v
}

// folderSplit tells the split from the folders of a path.
func folderSplit(p string) dataset.Split {
	for dir := range strings.SplitSeq(path.Dir(p), "/") {
		if s := dataset.SplitNamed(dir); s != dataset.NoSplit {
			return s
		}
	}
	return dataset.NoSplit
}
