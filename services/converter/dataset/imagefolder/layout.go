package imagefolder

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/reject"
)

const (
	maxClasses        = 100_000
	maxClassNameBytes = 256
)

// layout says where the class folders are: below the root, a common folder that wraps everything,
// and, if splits is set, below split folders in it.
type layout struct {
	root   string // "" or a path with a final slash
	splits bool
}

// findLayout looks at where the images are. Folders that hold just one folder with images wrap the dataset
// (digits/0/x.png) and are skipped as long as the one folder has folders of images itself; images that lie beside it are strays.
// If then all folders are named like splits, at least two of them, and have folders of images, they are the splits.
// A single folder named train says nothing about a split and counts as a wrapper.
func findLayout(files dataset.Files) layout {
	var l layout
	for {
		only, several, deeper := "", false, false
		for i := range files.Len() {
			rest, ok := l.below(files.At(i).Path)
			if !ok {
				continue
			}
			dir, rest, isDir := strings.Cut(rest, "/")
			if !isDir {
				continue
			}
			if only != "" && dir != only {
				several = true
				break
			}
			only = dir
			deeper = deeper || strings.Contains(rest, "/")
		}
		if several || !deeper {
			break
		}
		l.root += only + "/"
	}
	l.splits = l.hasSplits(files)
	return l
}

// below returns the rest of an image's path below the root.
func (l layout) below(path string) (string, bool) {
	if k := kindOf(path); k != imaged && k != unread {
		return "", false
	}
	return strings.CutPrefix(path, l.root)
}

func (l layout) hasSplits(files dataset.Files) bool {
	seen := make(map[dataset.Split]bool)
	for i := range files.Len() {
		rest, ok := l.below(files.At(i).Path)
		if !ok {
			continue
		}
		dir, rest, isDir := strings.Cut(rest, "/")
		if !isDir {
			continue
		}
		split := splitOf(dir)
		if split == dataset.NoSplit || !strings.Contains(rest, "/") {
			return false
		}
		seen[split] = true
	}
	return len(seen) > 1
}

// splitOf tells the split from a folder's name, in the spellings that are in use.
func splitOf(dir string) dataset.Split {
	switch strings.ToLower(dir) {
	case "train", "training":
		return dataset.Train
	case "validation", "valid", "val":
		return dataset.Validation
	case "test", "testing":
		return dataset.Test
	}
	return dataset.NoSplit
}

// placed is what an image's path says.
type placed struct {
	split      dataset.Split
	class, key string // class is "" for an image outside of the class folders
}

func (l layout) place(path string) placed {
	rest, ok := strings.CutPrefix(path, l.root)
	if !ok {
		return placed{}
	}
	p := placed{key: rest}
	if l.splits {
		var dir string
		dir, rest, _ = strings.Cut(rest, "/")
		p.split = splitOf(dir)
	}
	if class, _, ok := strings.Cut(rest, "/"); ok {
		p.class = class
	}
	return p
}

// classNames collects the classes, sorted by bytes as Keras and TFDS do, and checks that each can be
// told from the others and stands in a file of one name a line.
func (l layout) classNames(files dataset.Files) ([]string, error) {
	seen := make(map[string]string) // by folded name
	last := ""                      // archives are mostly in order, so most files need no further look
	for i := range files.Len() {
		f := files.At(i)
		if kindOf(f.Path) != imaged {
			continue
		}
		class := l.place(f.Path).class
		if class == last {
			continue
		}
		last = class
		folded := strings.ToLower(norm.NFC.String(class))
		if twin, ok := seen[folded]; ok {
			if twin != class {
				return nil, reject.New(reject.DuplicateClasses,
					"The class folders %q and %q differ only in case or in how an accent is written. Merge them or rename one.", twin, class)
			}
			continue
		}
		if class != strings.TrimSpace(class) || len(class) > maxClassNameBytes {
			return nil, reject.New(reject.InvalidClassName,
				"The class folder %q can't be a label: a label has at most %d bytes and neither begins nor ends with a space. Rename the folder.", class, maxClassNameBytes)
		}
		if len(seen) == maxClasses {
			return nil, reject.New(reject.TooManyClasses,
				"There are more than %d class folders. Each folder is taken as a class: %s", maxClasses, expected)
		}
		seen[folded] = class
	}
	classes := make([]string, 0, len(seen))
	for _, c := range seen {
		classes = append(classes, c)
	}
	slices.Sort(classes)
	if len(classes) < 2 {
		return nil, tooFew(classes)
	}
	return classes, nil
}

const expected = "put the images of each class into a folder of its own, for example cats/1.jpg and dogs/1.jpg."

func tooFew(classes []string) error {
	found := "no class folder"
	if len(classes) == 1 {
		found = fmt.Sprintf("only one class folder, %q", classes[0])
	}
	return reject.New(reject.TooFewClasses, "The archive has %s; at least two classes are needed. To mend it, %s", found, expected)
}
