package boxes

import (
	"cmp"
	"path"
	"slices"
	"sort"
	"strings"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/picture"
	"github.com/trainyard/trainyard/services/converter/reject"
)

// Images finds the pictures that annotations are of.
type Images struct {
	files dataset.Files
	// All are the pictures as indices into the files, in their order.
	All  []int
	root string

	byStem []int  // All in order of name without extension, then place
	byEnd  []int  // All in order of their paths read backwards
	taken  []bool // by file
}

// FindImages lists the upload's pictures of the kinds that are read, but for those that skip tells; it may be nil.
func FindImages(files dataset.Files, skip func(path string) bool) *Images {
	im := &Images{files: files, taken: make([]bool, files.Len())}
	for i := range files.Len() {
		p := files.At(i).Path
		if picture.KindOf(p) != picture.Image || skip != nil && skip(p) {
			continue
		}
		dir := p[:strings.LastIndexByte(p, '/')+1]
		if len(im.All) == 0 {
			im.root = dir
		} else if !strings.HasPrefix(dir, im.root) {
			im.root = dataset.CommonDir([]string{im.root, dir})
		}
		im.All = append(im.All, i)
	}
	return im
}

func stem(p string) string {
	base := p[strings.LastIndexByte(p, '/')+1:]
	return base[:len(base)-len(path.Ext(base))]
}

// Key identifies a picture within the dataset, however the upload was wrapped.
func (im *Images) Key(file int) string { return strings.TrimPrefix(im.files.At(file).Path, im.root) }

// Take marks a picture as a record. It returns false if it is one already.
func (im *Images) Take(file int) bool {
	before := im.taken[file]
	im.taken[file] = true
	return !before
}

// Beside returns the pictures that a file of annotations is of: those with its name but for the extension that lie in its folder or in one that differs from it only
// by words such as images, JPEGImages, labels and Annotations.
func (im *Images) Beside(annotations string) []int {
	if im.byStem == nil {
		im.byStem = slices.Clone(im.All)
		slices.SortFunc(im.byStem, func(a, b int) int {
			x, y := im.files.At(a).Path, im.files.At(b).Path
			return cmp.Or(strings.Compare(stem(x), stem(y)), comparePlaces(x, y), cmp.Compare(a, b))
		})
	}
	name := stem(annotations)
	return run(im.byStem, func(i int) int {
		p := im.files.At(i).Path
		return cmp.Or(strings.Compare(stem(p), name), comparePlaces(p, annotations))
	})
}

// run returns the elements of a sorted slice for which order is 0.
func run(sorted []int, order func(i int) int) []int {
	from := sort.Search(len(sorted), func(n int) bool { return order(sorted[n]) >= 0 })
	to := from + sort.Search(len(sorted)-from, func(n int) bool { return order(sorted[from+n]) > 0 })
	return sorted[from:to]
}

// comparePlaces compares the folders of two paths but for the words that say what is in them.
func comparePlaces(a, b string) int {
	for {
		var x, y string
		x, a = placeWord(a)
		y, b = placeWord(b)
		if x != y || x == "" {
			return strings.Compare(x, y)
		}
	}
}

// placeWord cuts the next folder that says where a file belongs from a path; "" if there is none.
func placeWord(p string) (word, rest string) {
	for {
		dir, rest, ok := strings.Cut(p, "/")
		if !ok {
			return "", ""
		}
		switch strings.ToLower(dir) {
		case "images", "image", "img", "imgs", "jpegimages", "jpg", "jpeg", "png", "pics", "pictures", "photos",
			"labels", "label", "annotations", "annotation", "anns", "xmls", "xml", "txt", "boxes", "bboxes", "bbox", "gt":
			p = rest
		default:
			return dir, rest
		}
	}
}

// maxSameNames is how many pictures with the same name are compared to find which one is meant.
const maxSameNames = 64

// Named returns the picture that annotations call by name, a path or the end of one; folders that it begins with and the upload lacks don't matter. Of
// several pictures it is the one whose path fits the path of the annotations' own file best. Otherwise it says why there is none.
func (im *Images) Named(name, annotations string) (file int, reason reject.Reason) {
	if im.byEnd == nil {
		im.byEnd = slices.Clone(im.All)
		slices.SortFunc(im.byEnd, func(a, b int) int { return compareEnds(im.files.At(a).Path, im.files.At(b).Path, false) })
	}
	name = strings.TrimPrefix(path.Clean("/"+strings.ReplaceAll(name, `\`, "/")), "/")
	var named []int
	for {
		named = run(im.byEnd, func(i int) int { return compareEnds(im.files.At(i).Path, name, true) })
		if len(named) > 0 {
			break
		}
		var ok bool
		if _, name, ok = strings.Cut(name, "/"); !ok {
			return -1, reject.MissingImage
		}
	}
	if len(named) > maxSameNames {
		return -1, reject.AmbiguousImage
	}
	best, bestScore, tie := -1, [2]int{}, false
	for _, i := range named {
		p := im.files.At(i).Path
		score := [2]int{wordsIn(p, annotations), commonStart(p, annotations)}
		switch c := slices.Compare(score[:], bestScore[:]); {
		case best < 0 || c > 0:
			best, bestScore, tie = i, score, false
		case c == 0:
			tie = true
		}
	}
	if tie {
		return -1, reject.AmbiguousImage
	}
	return best, ""
}

// compareEnds compares two paths, with a slash before each, from their ends on. If end is set, a path that ends with the other is equal to it.
func compareEnds(a, b string, end bool) int {
	for i := 1; ; i++ {
		switch {
		case i > len(b)+1 && (end || i > len(a)+1):
			return 0
		case i > len(b)+1:
			return 1
		case i > len(a)+1:
			return -1
		}
		if c := cmp.Compare(fromEnd(a, i), fromEnd(b, i)); c != 0 {
			return c
		}
	}
}

func fromEnd(s string, i int) byte {
	if i > len(s) {
		return '/'
	}
	return s[len(s)-i]
}

// commonStart counts the first folders that two paths have in common.
func commonStart(a, b string) int {
	n := 0
	for {
		x, restA, okA := strings.Cut(a, "/")
		y, restB, okB := strings.Cut(b, "/")
		if !okA || !okB || x != y {
			return n
		}
		n++
		a, b = restA, restB
	}
}

// wordsIn counts the picture's folders that are words of the annotations' file name, as train2017 is of instances_train2017.json.
func wordsIn(image, annotations string) int {
	n := 0
	name := stem(annotations)
	for dir := range strings.SplitSeq(image[:max(0, strings.LastIndexByte(image, '/'))], "/") {
		for word := range words(name) {
			if word == dir {
				n++
			}
		}
	}
	return n
}

func words(s string) func(func(string) bool) {
	return strings.FieldsFuncSeq(s, func(r rune) bool { return strings.ContainsRune("/-_. ", r) })
}

// SplitOf tells the split from the folders of a path, the last that is named so, and with a digit for a year: train2017.
func SplitOf(p string) dataset.Split {
	split := dataset.NoSplit
	for dir := range strings.SplitSeq(p[:max(0, strings.LastIndexByte(p, '/'))], "/") {
		if s := splitWord(dir); s != dataset.NoSplit {
			split = s
		}
	}
	return split
}

// SplitInName tells the split from the words of a file's name, as in instances_train2017.json.
func SplitInName(p string) dataset.Split {
	split := dataset.NoSplit
	for word := range words(stem(p)) {
		if s := splitWord(word); s != dataset.NoSplit {
			split = s
		}
	}
	return split
}

func splitWord(s string) dataset.Split { return dataset.SplitNamed(strings.TrimRight(s, "0123456789")) }

// Distinct tells whether there are two different splits at least; fewer say nothing.
func Distinct(splits []dataset.Split) bool {
	first := dataset.NoSplit
	for _, s := range splits {
		if s == dataset.NoSplit {
			continue
		}
		if first != dataset.NoSplit && s != first {
			return true
		}
		first = s
	}
	return false
}

// FolderSplits are the splits of all pictures, in the order of All, as their folders are named; nil if these don't name two at least.
func (im *Images) FolderSplits() []dataset.Split {
	splits := make([]dataset.Split, len(im.All))
	for n, i := range im.All {
		splits[n] = SplitOf(im.files.At(i).Path)
	}
	if !Distinct(splits) {
		return nil
	}
	return splits
}

// LeaveOutRest leaves out the pictures that weren't taken, as ones without annotations, those of kinds that aren't read, and archives. why ends
// the sentence "the picture has".
func (im *Images) LeaveOutRest(found dataset.Listener, why string) {
	for _, i := range im.All {
		if !im.taken[i] {
			found.LeaveOut(i, reject.NoAnnotation, "the picture has "+why)
		}
	}
	im.LeaveOutUnread(found)
}

// LeaveOutUnread leaves out pictures of kinds that aren't read and archives.
func (im *Images) LeaveOutUnread(found dataset.Listener) {
	for i := range im.files.Len() {
		p := im.files.At(i).Path
		if picture.KindOf(p) == picture.Unread {
			found.LeaveOut(i, reject.UnsupportedImage, "images of this kind are not read; save it as JPEG or PNG and keep its name in the annotations")
			continue
		}
		switch strings.ToLower(path.Ext(p)) {
		case ".zip", ".tar", ".gz", ".tgz", ".zst", ".bz2", ".xz", ".7z", ".rar":
			found.LeaveOut(i, reject.NestedArchive, "archives within the archive are not opened; put their files into the outer one")
		}
	}
}
