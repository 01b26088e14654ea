package convert

import "github.com/trainyard/trainyard/services/converter/dataset"

// Indexes into dataset.Splits.
const (
	train = iota
	validation
	test
)

// assignSplits draws a split for every record that has none; see the package comment.
func (p *planner) assignSplits() {
	f := p.opts.Splits
	wanted := [len(dataset.Splits)]bool{train: true, validation: f.Validation > 0, test: f.Test > 0}
	named := p.splits[train] || p.splits[validation] || p.splits[test]
	if named {
		// The upload's own splits stand. Only a missing validation split is drawn, from train.
		wanted = p.splits
		wanted[validation] = wanted[validation] || f.Validation > 0 && p.splits[train]
	}
	drawValidation := named && wanted[validation] && !p.splits[validation]
	sum := f.Train + f.Validation + f.Test
	var count [len(dataset.Splits)]int
	for i := range p.records {
		r := &p.records[i]
		switch u := float64(r.hash>>11) * 0x1p-53; {
		case r.split >= 0:
			if r.split == train && drawValidation && u < f.Validation/(f.Train+f.Validation) {
				r.split = validation
			}
		case u < f.Train/sum:
			r.split = train
		case u < (f.Train+f.Validation)/sum:
			r.split = validation
		default:
			r.split = test
		}
		count[r.split]++
	}
	p.fillSplits(wanted, count)
}

// fillSplits gives every wanted split at least one record, as long as there are enough.
func (p *planner) fillSplits(wanted [len(dataset.Splits)]bool, count [len(dataset.Splits)]int) {
	for s := range count {
		if !wanted[s] || count[s] > 0 {
			continue
		}
		from := train
		for i, n := range count {
			if n > count[from] {
				from = i
			}
		}
		if count[from] < 2 {
			return
		}
		least := -1
		for i := range p.records {
			if int(p.records[i].split) == from && (least < 0 || p.records[i].hash < p.records[least].hash) {
				least = i
			}
		}
		p.records[least].split = int8(s) //nolint:gosec // 0 to 2
		count[from]--
		count[s]++
	}
}
