package yolo

import (
	"errors"
	"path"
	"strings"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/dataset/boxes"
	"github.com/trainyard/trainyard/services/converter/reject"
)

// readSplits tells the splits from the paths in data.yaml; or from files train.txt, val.txt and test.txt that list images, as Darknet has them; or from folders. Each of
// these counts only if it names two splits at least. An image that is said to be in several is in none: the engine draws its split.
func (x *indexer) readSplits() error {
	x.lists = make(map[int]bool)
	said := x.config.splits
	byList := make(map[dataset.Split][]int) // files
	for i := range x.files.Len() {
		p := x.files.At(i).Path
		if !isText(p) || inLabels(p) {
			continue
		}
		named := dataset.NoSplit
		for s, paths := range said {
			for _, q := range paths {
				if isText(q) && endsWith(p, q) {
					named = s
				}
			}
		}
		switch {
		case named != dataset.NoSplit:
			byList[named] = append(byList[named], i)
		case len(x.images.Beside(p)) == 0:
			stem := strings.TrimSuffix(path.Base(p), path.Ext(p))
			if split := dataset.SplitNamed(strings.TrimRight(stem, "0123456789")); split != dataset.NoSplit {
				byList[split] = append(byList[split], i)
			}
		}
	}
	set := x.newSplits()
	for _, split := range dataset.Splits {
		for _, folder := range said[split] {
			if !isText(folder) {
				x.addFolder(folder, split, set)
			}
		}
		for _, i := range byList[split] {
			if err := x.readList(i, split, set); err != nil {
				return err
			}
		}
	}
	if x.splits = set.done(); x.splits != nil {
		return nil
	}
	if folders := x.images.FolderSplits(); folders != nil {
		x.splits = make([]dataset.Split, x.files.Len())
		for n, i := range x.images.All {
			x.splits[i] = folders[n]
		}
	}
	return nil
}

// readList reads a file that lists the images of a split, a path a line.
func (x *indexer) readList(i int, split dataset.Split, set *splitSet) error {
	text, err := dataset.ReadFile(x.ctx, x.files, i, maxList)
	x.lists[i] = true
	var left *reject.File
	if errors.As(err, &left) {
		x.found.LeaveOut(i, left.Reason, left.Message)
		return nil
	}
	if err != nil {
		return err
	}
	x.found.Use(i)
	n := 0
	for line := range strings.Lines(string(text)) {
		if n++; n%1024 == 0 && x.ctx.Err() != nil {
			return x.ctx.Err()
		}
		line = strings.TrimSpace(line)
		if line == "" || len(line) > 4096 {
			continue
		}
		if image, reason := x.images.Named(line, x.files.At(i).Path); reason == "" { // others are no part of the upload
			set.add(image, split)
		}
	}
	return nil
}

// splitSet gathers the splits of images.
type splitSet struct {
	splits []dataset.Split
	torn   []bool // in several
}

func (x *indexer) newSplits() *splitSet {
	return &splitSet{splits: make([]dataset.Split, x.files.Len()), torn: make([]bool, x.files.Len())}
}

func (s *splitSet) add(image int, split dataset.Split) {
	s.torn[image] = s.torn[image] || s.splits[image] != dataset.NoSplit && s.splits[image] != split
	s.splits[image] = split
}

func (s *splitSet) done() []dataset.Split {
	for i, torn := range s.torn {
		if torn {
			s.splits[i] = dataset.NoSplit
		}
	}
	if !boxes.Distinct(s.splits) {
		return nil
	}
	return s.splits
}

// addFolder gives the images in a folder of data.yaml a split. The path is often one of another machine, so folders that it begins with are dropped until there are images in it; but
// none that says the split, lest valid/images become images.
func (x *indexer) addFolder(folder string, split dataset.Split, set *splitSet) {
	says := boxes.SplitOf(folder + "/")
	for {
		any := false
		for _, image := range x.images.All {
			p := x.files.At(image).Path
			if strings.Contains("/"+p[:strings.LastIndexByte(p, '/')+1], "/"+folder+"/") {
				set.add(image, split)
				any = true
			}
		}
		_, rest, ok := strings.Cut(folder, "/")
		if any || !ok || boxes.SplitOf(rest+"/") != says || says == dataset.NoSplit && !strings.Contains(rest, "/") {
			return
		}
		folder = rest
	}
}

// endsWith tells whether a path ends with another.
func endsWith(p, end string) bool { return strings.HasSuffix("/"+p, "/"+end) }
