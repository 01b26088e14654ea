package idx

import (
	"path"
	"regexp"
	"strings"
)

// maxFiles bounds how many files of an upload are looked into.
const maxFiles = 10_000

// mayBe tells by its name whether a file may be IDX: train-images-idx3-ubyte, train-images.idx3-ubyte, labels.idx, or one without an ending.
func mayBe(name string) bool {
	base := strings.ToLower(path.Base(name))
	ext := path.Ext(base)
	return strings.Contains(base, "idx") || strings.Contains(base, "ubyte") || ext == "" || ext == ".bin"
}

// isPacked tells by its name whether a file is a compressed one such as train-images-idx3-ubyte.gz.
func isPacked(name string) bool {
	base := strings.ToLower(path.Base(name))
	switch path.Ext(base) {
	case ".gz", ".zst", ".bz2", ".xz", ".z":
		return strings.Contains(base, "idx") || strings.Contains(base, "ubyte")
	}
	return false
}

// hasLabels tells by its name whether a file holds the labels of another.
func hasLabels(name string) bool { return strings.Contains(strings.ToLower(path.Base(name)), "label") }

// telling are the words in a name that say what a file holds and not of which part of the dataset.
var telling = regexp.MustCompile(`^(images?|imgs?|labels?|data|features|samples|idx[0-9]*|u?byte|u?int[0-9]*|short|float[0-9]*|double|bin)$`)

func words(name string) []string {
	return strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return strings.ContainsRune("-_. ", r) })
}

// part is what the path of a file of images and that of its labels have in common.
func part(name string) string {
	var kept []string
	for dir := range strings.SplitSeq(name, "/") {
		for _, w := range words(dir) {
			if !telling.MatchString(w) {
				kept = append(kept, w)
			}
		}
		kept = append(kept, "/")
	}
	return strings.Join(kept, "-")
}
