package dataset

import "strings"

// CommonDir is the folder, with a final slash, that holds all of the paths, or "". What is left of a path behind it doesn't depend on how the
// upload was wrapped.
func CommonDir(paths []string) string {
	var dir string
	for i, p := range paths {
		d := p[:strings.LastIndexByte(p, '/')+1]
		if i == 0 {
			dir = d
		}
		for !strings.HasPrefix(d, dir) {
			dir = dir[:strings.LastIndexByte(dir[:len(dir)-1], '/')+1]
		}
	}
	return dir
}

// SplitIn tells the split from the words of a path, such as mnist-train.tfrecord-00000-of-00002 or val/shard_01. The last that is one counts.
func SplitIn(path string) Split {
	split := NoSplit
	for word := range strings.FieldsFuncSeq(path, func(r rune) bool { return strings.ContainsRune("/-_. ", r) }) {
		if s := SplitNamed(word); s != NoSplit {
			split = s
		}
	}
	return split
}

// SplitsIn tells the splits of all paths. They are said by names only where they name two at least: a single file named train says nothing about a split.
func SplitsIn(paths []string) []Split {
	splits := make([]Split, len(paths))
	seen := make(map[Split]bool)
	for i, p := range paths {
		if splits[i] = SplitIn(p); splits[i] != NoSplit {
			seen[splits[i]] = true
		}
	}
	if len(seen) < 2 {
		clear(splits)
	}
	return splits
}
