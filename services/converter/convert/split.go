package convert

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/trainyard/trainyard/services/converter/dataset"
)

// Indexes into dataset.Splits.
const (
	train = iota
	validation
	test
)

type splitCounts [len(dataset.Splits)]int64

// rowSplit is a row's split in a block's 2 bits a row.
func rowSplit(splits []byte, row int) int8 { return int8(splits[row/4] >> (row % 4 * 2) & 3) } //nolint:gosec // 0 to 3

func (x *extra) setRowSplit(row int, split int8) {
	shift := row % 4 * 2
	x.splits[row/4] = x.splits[row/4]&^(3<<shift) | byte(split)<<shift
}

// shares are how much of a dataset the splits get.
type shares struct {
	of    [len(dataset.Splits)]float64
	until [len(dataset.Splits) - 1]uint64 // hashes of 53 bits, at which each split ends
}

func newShares(of ...float64) (s shares) {
	copy(s.of[:], of)
	var sum, rest float64
	for _, share := range of {
		rest += share
	}
	for i := range s.until {
		sum += s.of[i]
		if rest -= s.of[i]; rest <= 0 {
			sum = 1
		}
		s.until[i] = uint64(sum * 0x1p53)
	}
	return s
}

// draw returns the split that a hash falls to.
func (s *shares) draw(hash uint64) int8 {
	split, u := int8(0), hash>>11
	if u >= s.until[0] {
		split++
	}
	if u >= s.until[1] {
		split++
	}
	return split
}

// drawing draws splits for records that have none; see the package comment.
type drawing struct {
	unsplit shares // for records of which the upload says nothing
	train   shares // for records of the upload's own train split
	balance map[int32]*[len(dataset.Splits)]float64
	seed    uint64
}

// draw returns the split of a record: given is the upload's own or undecided, label is -2 unless splits are to be stratified.
func (d *drawing) draw(given int8, hash uint64, label int32) int8 {
	shares := &d.unsplit
	switch {
	case given == train:
		shares = &d.train
	case given >= 0:
		return given
	}
	if label == notStratified {
		return shares.draw(hash)
	}
	// Each record goes to the split of its class that is furthest behind its share, so that none is ever off by more than about one.
	b := d.balance[label]
	if b == nil {
		rng := newRandom(d.seed, 3<<32|uint64(uint32(label))) //nolint:gosec // any distinct number
		b = new([len(dataset.Splits)]float64)
		for s := range b {
			b[s] = 0.5 * float64(rng.next()>>11) * 0x1p-53 // so that not all small classes round the same way
		}
		d.balance[label] = b
	}
	best := 0
	for s := range b {
		b[s] += shares.of[s]
		if shares.of[s] > 0 && (shares.of[best] == 0 || b[s] > b[best]) {
			best = s
		}
	}
	b[best]--
	return int8(best) //nolint:gosec // 0 to 2
}

const notStratified = -2

// assignSplits gives every record and row a split. It returns what the user should know of it.
func (p *planner) assignSplits() (warnings []string, err error) {
	f := p.opts.Splits
	sum := f.Train + f.Validation + f.Test
	wanted := [len(dataset.Splits)]bool{train: true, validation: f.Validation > 0, test: f.Test > 0}
	d := drawing{
		unsplit: newShares(f.Train/sum, f.Validation/sum, f.Test/sum),
		train:   newShares(1),
		balance: make(map[int32]*[len(dataset.Splits)]float64), seed: p.opts.Seed,
	}
	if p.splits[train] || p.splits[validation] || p.splits[test] {
		// The upload's own splits stand. Only a missing validation split is drawn, from train.
		wanted = p.splits
		if p.splits[train] && !p.splits[validation] && f.Validation > 0 {
			wanted[validation] = true
			d.train = newShares(f.Train/(f.Train+f.Validation), f.Validation/(f.Train+f.Validation))
		}
	}
	var count splitCounts
	var unsplit int64 // records of which the upload says nothing
	var labels []byte
	for i := range p.records {
		r := &p.records[i]
		if r.split < 0 {
			unsplit += p.rowsOf(i)
		}
		if r.parts > 0 {
			label := int32(notStratified)
			if p.opts.Stratify {
				label = r.label
			}
			r.split = d.draw(r.split, r.hash, label)
			count[r.split]++
			continue
		}
		x := &p.extras[r.extra]
		if labels, err = p.notes.read(labels, x.labels); err != nil {
			return nil, err
		}
		for row := range int(x.rows) {
			label := int32(notStratified)
			if len(labels) > 0 {
				label = int32(binary.LittleEndian.Uint32(labels[4*row:])) //nolint:gosec // written from an int32
			}
			split := d.draw(r.split, rowHash(p.opts.Seed, r.hash, x.firstRow+int64(row)), label)
			x.setRowSplit(row, split)
			x.perSplit[split]++
		}
		for split, rows := range x.perSplit {
			count[split] += int64(rows)
		}
	}
	p.fillSplits(wanted, count)
	if p.opts.SplitsChosen && p.splits != [len(dataset.Splits)]bool{} {
		warnings = append(warnings, p.splitsWarning(unsplit, wanted[validation] && !p.splits[validation]))
	}
	return warnings, nil
}

// splitsWarning says what became of the chosen shares where the upload has splits of its own.
func (p *planner) splitsWarning(unsplit int64, drawn bool) string {
	var names []string
	for i, there := range p.splits {
		if there {
			names = append(names, string(dataset.Splits[i]))
		}
	}
	f := p.opts.Splits
	used := "were not used"
	switch {
	case unsplit > 0 && drawn:
		used = fmt.Sprintf("were used only to draw validation from train and to deal out the %d examples that are in none of these", unsplit)
	case unsplit > 0:
		used = fmt.Sprintf("were used only to deal out the %d examples that are in none of these", unsplit)
	case drawn:
		used = "were used only to draw validation from train"
	}
	return fmt.Sprintf("The upload has splits of its own (%s), which were kept; the chosen shares %g, %g and %g %s. To have them, upload the files without folders or names of splits.",
		strings.Join(names, ", "), f.Train, f.Validation, f.Test, used)
}

// fillSplits gives every wanted split at least one record, as long as there are enough.
func (p *planner) fillSplits(wanted [len(dataset.Splits)]bool, count splitCounts) {
	for s := range count {
		if !wanted[s] || count[s] > 0 {
			continue
		}
		from := slices.Index(count[:], slices.Max(count[:]))
		if count[from] < 2 {
			return
		}
		p.moveOne(int8(from), int8(s)) //nolint:gosec // 0 to 2
		count[from]--
		count[s]++
	}
}

// moveOne moves the record with the smallest hash from one split to another.
func (p *planner) moveOne(from, to int8) {
	record, row, least := -1, -1, ^uint64(0)
	for i := range p.records {
		r := &p.records[i]
		if r.parts > 0 {
			if r.split == from && (record < 0 || r.hash < least) {
				record, row, least = i, -1, r.hash
			}
			continue
		}
		x := &p.extras[r.extra]
		for k := range int(x.rows) {
			if h := rowHash(p.opts.Seed, r.hash, x.firstRow+int64(k)); rowSplit(x.splits, k) == from && (record < 0 || h < least) {
				record, row, least = i, k, h
			}
		}
	}
	if row < 0 {
		p.records[record].split = to
		return
	}
	x := &p.extras[p.records[record].extra]
	x.setRowSplit(row, to)
	x.perSplit[from]--
	x.perSplit[to]++
}
