package webdataset

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/reject"
	"github.com/trainyard/trainyard/services/converter/sound"
)

// group is a run of files that share a key.
type group struct {
	first, files int32
	members      uint64 // the slots that it has, as bits
	twice        bool   // two files are for one slot
	label        int32  // number of the label in labels; -1: none
}

// indexer is one run of Index.
type indexer struct {
	files    dataset.Files
	listener dataset.Listener
	slots    slots
	groups   []group
	required uint64
	labels   labels
	sound    map[int]*survey // by slot
}

// Index implements dataset.Reader. It reads the labels of all samples and the heads of all sounds.
func (Reader) Index(ctx context.Context, files dataset.Files, opts dataset.Options, listener dataset.Listener) (dataset.Index, error) {
	x := &indexer{files: files, listener: listener, sound: make(map[int]*survey)}
	twice, err := x.group(ctx)
	if err != nil {
		return dataset.Index{}, err
	}
	if 2*twice > len(x.groups) { // such as a picture in 1.jpg and its mask in 1.png
		x.slots = slots{exact: true}
		if _, err := x.group(ctx); err != nil {
			return dataset.Index{}, err
		}
	}
	x.require()
	labelSlot := x.labelSlot(opts.LabelColumn)
	if opts.LabelColumn != "" && labelSlot < 0 {
		return dataset.Index{}, reject.New(reject.UnknownColumn,
			"Most samples have no member %q that could be the label: a class, a line of text or a number. Most have: %s.", opts.LabelColumn, x.members())
	}
	if labelSlot >= 0 {
		if err := x.labels.readNames(ctx, files, listener); err != nil {
			return dataset.Index{}, err
		}
	}
	if err := x.sift(ctx, labelSlot); err != nil {
		return dataset.Index{}, err
	}
	if err := x.labels.settle(); err != nil {
		return dataset.Index{}, err
	}
	if err := x.records(ctx); err != nil {
		return dataset.Index{}, err
	}
	return x.index(labelSlot)
}

// group finds the groups. It returns how many have two files for one slot.
func (x *indexer) group(ctx context.Context) (twice int, err error) {
	x.groups = x.groups[:0]
	last := ""
	for i := range x.files.Len() {
		if i%1024 == 0 && ctx.Err() != nil {
			return 0, ctx.Err()
		}
		key, ending := cut(x.files.At(i).Path)
		if ending == "" || key != last || len(x.groups) == 0 {
			x.groups = append(x.groups, group{first: int32(i), label: -1}) //nolint:gosec // an archive has fewer files
		}
		last = key
		g := &x.groups[len(x.groups)-1]
		g.files++
		if ending == "" {
			last = ""
			continue
		}
		at := x.slots.of(ending)
		if at < 0 {
			continue
		}
		if bit := uint64(1) << at; g.members&bit == 0 {
			g.members |= bit
			x.slots.list[at].samples++
		} else if !g.twice {
			g.twice = true
			twice++
		}
	}
	return twice, nil
}

// require makes the members that most samples have the features of the dataset. A lone file beside them, such as a README, is no sample.
func (x *indexer) require() {
	samples := int64(0)
	for _, g := range x.groups {
		if g.files > 1 {
			samples++
		}
	}
	if samples == 0 { // samples of one member each
		samples = int64(len(x.groups))
	}
	for i, s := range x.slots.list {
		if 2*s.samples > samples {
			x.required |= 1 << i
		}
	}
}

// members names what most samples have.
func (x *indexer) members() string {
	var names []string
	for i, s := range x.slots.list {
		if x.required>>i&1 == 1 {
			names = append(names, s.Name)
		}
	}
	return strings.Join(names, ", ")
}

// labelSlot is the required slot that is the label: the one of the name given, which may be that of the feature or the ending of the files,
// or else the first for labels. -1: none.
func (x *indexer) labelSlot(name string) int {
	if at, ok := x.slots.byEnding[name]; ok && at >= 0 {
		name = x.slots.list[at].Name
	}
	for i, s := range x.slots.list {
		if x.required>>i&1 == 0 {
			continue
		}
		if name == "" && s.Kind == label || name == s.Name && (s.Kind == label || s.Kind == text || s.Kind == integer) {
			return i
		}
	}
	return -1
}

// drop leaves out a group.
func (x *indexer) drop(g *group, reason reject.Reason, message string) {
	for i := g.first; i < g.first+g.files; i++ {
		x.listener.LeaveOut(int(i), reason, message)
	}
	g.files = 0
}

// sift leaves out the groups that can't be samples and reads of the others what has to be known before the first is encoded, in the order of the files.
func (x *indexer) sift(ctx context.Context, labelSlot int) error {
	keys := make(map[uint64]bool, len(x.groups)) // by hash, which takes less than the keys
	for n := range x.groups {
		g := &x.groups[n]
		if err := ctx.Err(); err != nil {
			return err
		}
		key, _ := cut(x.files.At(int(g.first)).Path)
		missing := x.required &^ g.members
		switch {
		case x.labels.isFile(int(g.first)):
			g.files = 0
			continue
		case g.members&x.required == 0:
			x.drop(g, reject.NotData, "the file has no member's name of the samples here")
		case missing != 0:
			s := x.slots.list[bits.TrailingZeros64(missing)]
			x.drop(g, reject.MissingPart, fmt.Sprintf(
				"the sample %q lacks %q, which most samples have; the files of a sample must lie one behind the other and share the name up to the first dot", key, s.Name))
		case g.twice:
			x.drop(g, reject.DuplicateFile, fmt.Sprintf("the sample %q has two files for one feature", key))
		case g.files > maxMembers:
			x.drop(g, reject.TooManyEntries, fmt.Sprintf("the sample %q has %d files; the limit is %d", key, g.files, maxMembers))
		case keys[xxhash.Sum64String(key)]:
			x.drop(g, reject.DuplicatePath, fmt.Sprintf("there is another sample %q further up; the files of a sample must lie one behind the other, and keys must differ", key))
		}
		if g.files == 0 {
			continue
		}
		if err := x.look(ctx, g, labelSlot); err != nil {
			return err
		}
		if g.files > 0 {
			keys[xxhash.Sum64String(key)] = true
		}
	}
	return nil
}

// look reads a sample's label and the heads of its sounds.
func (x *indexer) look(ctx context.Context, g *group, labelSlot int) error {
	var heads map[int]sound.Info // by slot
	for i := int(g.first); i < int(g.first+g.files); i++ {
		_, ending := cut(x.files.At(i).Path)
		at := x.slots.of(ending)
		if at < 0 || x.required>>at&1 == 0 {
			continue
		}
		var err error
		if at == labelSlot {
			g.label, err = x.labels.read(ctx, x.files, i)
		} else if x.slots.list[at].Kind == audio {
			if heads == nil {
				heads = make(map[int]sound.Info)
			}
			heads[at], err = inspect(ctx, x.files, i)
		}
		var bad *reject.File
		if errors.As(err, &bad) {
			x.drop(g, bad.Reason, "of the sample's files, "+bad.Path+": "+bad.Message)
			return nil
		}
		if err != nil {
			return err
		}
	}
	for at, info := range heads {
		if x.sound[at] == nil {
			x.sound[at] = &survey{}
		}
		x.sound[at].add(&info)
	}
	return nil
}

// records reports the samples.
func (x *indexer) records(ctx context.Context) error {
	root, first := "", true
	for _, g := range x.groups {
		if g.files > 0 {
			if p := x.files.At(int(g.first)).Path; first {
				root, first = dataset.CommonDir([]string{p}), false
			} else {
				root = dataset.CommonDir([]string{root, p})
			}
		}
	}
	splits := make(map[string]dataset.Split) // by folder
	seen := make(map[dataset.Split]bool)
	for _, g := range x.groups {
		if g.files > 0 {
			dir := x.dir(g, root)
			if _, ok := splits[dir]; !ok {
				splits[dir] = dataset.SplitIn(dir)
				if splits[dir] != dataset.NoSplit {
					seen[splits[dir]] = true
				}
			}
		}
	}
	if len(seen) < 2 {
		clear(splits)
	}
	for n := range x.groups {
		g := &x.groups[n]
		if err := ctx.Err(); err != nil {
			return err
		}
		if g.files == 0 {
			continue
		}
		key, _ := cut(x.files.At(int(g.first)).Path)
		index := -1
		if g.label >= 0 {
			if index = x.labels.class(g.label); index < 0 {
				x.drop(g, reject.LabelOutOfRange, fmt.Sprintf("the label %q of the sample %q is not one of the %d classes in %s", x.labels.values[g.label], key, len(x.labels.classes), x.labels.path))
				continue
			}
		}
		x.extras(g)
		x.listener.Record(dataset.Record{File: int(g.first), Parts: int(g.files), Key: key[len(root):], Label: index, Split: splits[x.dir(*g, root)]})
	}
	return nil
}

func (x *indexer) dir(g group, root string) string {
	p := x.files.At(int(g.first)).Path[len(root):]
	return p[:strings.LastIndexByte(p, '/')+1]
}

// extras says of which of a sample's files nothing becomes.
func (x *indexer) extras(g *group) {
	if g.members == x.required && bits.OnesCount64(g.members) == int(g.files) {
		return
	}
	for i := int(g.first); i < int(g.first+g.files); i++ {
		_, ending := cut(x.files.At(i).Path)
		if at := x.slots.of(ending); at < 0 || x.required>>at&1 == 0 {
			x.listener.LeaveOutAnnotation(i, 0, reject.NotData, fmt.Sprintf("most samples have no member %q, so it is no feature of the dataset", ending))
		}
	}
}

// index puts together what the Encoder has to know.
func (x *indexer) index(labelSlot int) (dataset.Index, error) {
	s := schema{Exact: x.slots.exact, Label: -1}
	for i, slot := range x.slots.list {
		if x.required>>i&1 == 0 {
			continue
		}
		f := feature{slot: slot}
		if i == labelSlot {
			s.Label = len(s.Slots)
		} else if slot.Kind == label {
			f.Kind = text // a second label can't be one
		}
		if v := x.sound[i]; v != nil {
			if err := v.check(x.files); err != nil {
				return dataset.Index{}, err
			}
			f.Type, f.SampleRate, f.Channels = v.precision.Type(), v.rate, v.channels
		}
		s.Slots = append(s.Slots, f)
	}
	js, err := json.Marshal(s)
	return dataset.Index{Classes: x.labels.classes, Schema: js}, err
}
