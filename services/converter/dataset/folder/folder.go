// Package folder finds class folders: one folder of files for each class, its name being the label, below any
// number of folders that wrap the whole and, where the upload has them, folders named after the splits. It is the
// layout of Keras's *_dataset_from_directory, torchvision's ImageFolder, Hugging Face's AudioFolder and TFDS's ImageFolder.
package folder

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

// Layout says where the class folders are: below the root, a common folder that wraps everything,
// and, if splits is set, below split folders in it.
type Layout struct {
	root   string // "" or a path with a final slash
	splits bool
	isData func(path string) bool
}

// Find looks at where the files are that isData tells to be meant as data. Folders that hold just one folder with data wrap the dataset
// (digits/0/x.png) and are skipped as long as the one folder has folders of data itself; data that lie beside it are strays.
// If then all folders are named like splits, at least two of them, and have folders of data, they are the splits.
// A single folder named train says nothing about a split and counts as a wrapper.
func Find(files dataset.Files, isData func(path string) bool) Layout {
	l := Layout{isData: isData}
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

// below returns the rest of a data file's path below the root.
func (l Layout) below(path string) (string, bool) {
	rest, ok := strings.CutPrefix(path, l.root)
	return rest, ok && l.isData(path)
}

func (l Layout) hasSplits(files dataset.Files) bool {
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
		split := dataset.SplitNamed(dir)
		if split == dataset.NoSplit || !strings.Contains(rest, "/") {
			return false
		}
		seen[split] = true
	}
	return len(seen) > 1
}

// Place is what a file's path says.
type Place struct {
	Split dataset.Split
	Class string // "" for a file outside of the class folders
	Key   string // the path below the root, which doesn't depend on how the upload was wrapped
}

// Place tells what a file's path says.
func (l Layout) Place(path string) Place {
	rest, ok := strings.CutPrefix(path, l.root)
	if !ok {
		return Place{}
	}
	p := Place{Key: rest}
	if l.splits {
		var dir string
		dir, rest, _ = strings.Cut(rest, "/")
		p.Split = dataset.SplitNamed(dir)
	}
	if class, _, ok := strings.Cut(rest, "/"); ok {
		p.Class = class
	}
	return p
}

// Classes collects the classes of the files that isRead tells to be candidates for records, sorted by bytes as Keras and TFDS do, and
// checks that each can be told from the others and stands in a file of one name a line. A *reject.Error says why they
// can't be, and ends with expected, which says what the folders should look like, as a command.
func (l Layout) Classes(files dataset.Files, isRead func(path string) bool, expected string) ([]string, error) {
	seen := make(map[string]string) // by folded name
	last := ""                      // archives are mostly in order, so most files need no further look
	for i := range files.Len() {
		f := files.At(i)
		if !isRead(f.Path) {
			continue
		}
		class := l.Place(f.Path).Class
		if class == "" || class == last {
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
		return nil, l.tooFew(files, isRead, classes, expected)
	}
	return classes, nil
}

func (l Layout) tooFew(files dataset.Files, isRead func(path string) bool, classes []string, expected string) error {
	found := "no class folder"
	if len(classes) == 1 {
		found = fmt.Sprintf("only one class folder, %q", classes[0])
	}
	for i := range files.Len() {
		if p := files.At(i).Path; l.isData(p) && !isRead(p) {
			found += fmt.Sprintf(" with files that are read (files such as %q are not)", p)
			break
		}
	}
	return reject.New(reject.TooFewClasses, "The archive has %s; at least two classes are needed. To mend it, %s", found, expected)
}
