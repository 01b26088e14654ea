package tfrecords

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"unicode"
	"unicode/utf8"

	"github.com/trainyard/trainyard/services/converter/reject"
)

// goodKey tells whether a feature may have the name.
func goodKey(key []byte) bool {
	return len(key) > 0 && len(key) <= maxKeyBytes && utf8.Valid(key) && !bytes.ContainsFunc(key, unicode.IsControl)
}

// labelState says what the label of an example is worth.
type labelState byte

const (
	noLabel   labelState = iota // not an int64
	oneLabel                    // within the range
	badLabel                    // out of the range
	notSingle                   // none or several
)

// maxSignatures bounds how many different sets of features examples may have.
const maxSignatures = 1000

// signature is a set of features that examples have, and what was seen of their values. Examples are told apart by
// nothing else when it is decided which of them keep the contract.
type signature struct {
	id      int
	keys    []string // sorted
	kinds   []kind
	label   labelState
	seen    []values // by feature
	rows    int64
	reason  reject.Reason // why its examples are left out, if they are
	problem string
}

// values is what was seen of one feature's values.
type values struct {
	min, max int // how many values
	notText  bool
	notImage bool
	top      int64 // the greatest first int64
}

// signatures collects the signatures of all examples.
type signatures struct {
	all    []*signature
	byForm map[string]*signature
	form   []byte
	label  string // name of the feature that may be the label
	limit  int64  // labels are below it
}

// of finds the signature of an example and adds the example to it. It returns nil when there are too many different ones, and the label or -1.
func (s *signatures) of(features []feature) (*signature, int32) {
	state, label := noLabel, int32(-1)
	s.form = s.form[:0]
	for i := range features {
		f := &features[i]
		if string(f.key) == s.label && f.kind != texts && f.kind != floats {
			switch {
			case f.count != 1:
				state = notSingle
			case f.first < 0 || f.first >= s.limit:
				state = badLabel
			default:
				state, label = oneLabel, int32(f.first) //nolint:gosec // below limit
			}
		}
		s.form = append(append(s.form, f.key...), 0, byte(f.kind))
	}
	s.form = append(s.form, byte(state))
	sig := s.byForm[string(s.form)]
	if sig == nil {
		if len(s.all) == maxSignatures {
			return nil, -1
		}
		sig = &signature{id: len(s.all), label: state, seen: make([]values, len(features))}
		for i := range features {
			sig.keys = append(sig.keys, string(features[i].key))
			sig.kinds = append(sig.kinds, features[i].kind)
			sig.seen[i].min = features[i].count
		}
		s.all = append(s.all, sig)
		if s.byForm == nil {
			s.byForm = make(map[string]*signature)
		}
		s.byForm[string(s.form)] = sig
	}
	sig.rows++
	for i := range features {
		sig.seen[i].add(&features[i])
	}
	return sig, label
}

func (v *values) add(f *feature) {
	v.min, v.max = min(v.min, f.count), max(v.max, f.count)
	switch f.kind {
	case texts:
		if v.notText && v.notImage {
			return
		}
		for value := range f.values {
			v.notImage = v.notImage || !isImage(value)
			v.notText = v.notText || !utf8.Valid(value) || bytes.IndexByte(value, 0) >= 0
		}
	case ints:
		v.top = max(v.top, f.first)
	case none, floats:
	}
}

func (v *values) merge(o values) {
	v.min, v.max = min(v.min, o.min), max(v.max, o.max)
	v.notText, v.notImage, v.top = v.notText || o.notText, v.notImage || o.notImage, max(v.top, o.top)
}

// isImage tells by the first bytes whether a value is an image that passes as it is.
func isImage(b []byte) bool {
	return bytes.HasPrefix(b, []byte("\xff\xd8\xff")) || bytes.HasPrefix(b, []byte("\x89PNG\r\n\x1a\n"))
}

// wanted is what the contract says of one feature.
type wanted struct {
	kind     kind
	count    int  // of values; -1: any
	required bool // to be there at all; else a missing one is an empty list
}

// infer draws the contract from most of the examples: a feature has the kind that it has in most. If it then has the same number of values
// in all examples that have it, and most examples have it, it is required, else any number of values is allowed, and none.
func (s *signatures) infer() map[string]wanted {
	type tally struct {
		byKind [4]int64
		seen   [4]*values
	}
	var rows int64
	tallies := make(map[string]*tally)
	for _, sig := range s.all {
		rows += sig.rows
		for i, key := range sig.keys {
			t := tallies[key]
			if t == nil {
				t = &tally{}
				tallies[key] = t
			}
			k := sig.kinds[i]
			t.byKind[k] += sig.rows
			if t.seen[k] == nil {
				v := sig.seen[i]
				t.seen[k] = &v
			} else {
				t.seen[k].merge(sig.seen[i])
			}
		}
	}
	contract := make(map[string]wanted, len(tallies))
	for key, t := range tallies {
		k := texts
		for _, other := range []kind{floats, ints} {
			if t.byKind[other] > t.byKind[k] {
				k = other
			}
		}
		if t.byKind[k] == 0 {
			continue // it never has a value
		}
		w := wanted{kind: k, count: -1}
		if v := t.seen[k]; v.min == v.max && v.min > 0 && 2*t.byKind[k] > rows {
			w.count, w.required = v.min, true
		}
		contract[key] = w
	}
	return contract
}

// judge marks the signatures that break the contract. classes says that the label is a class.
func (s *signatures) judge(contract map[string]wanted, classes bool) {
	required := slices.Sorted(maps.Keys(contract))
	for _, sig := range s.all {
		sig.judge(contract, required)
		if sig.reason != "" || !classes {
			continue
		}
		switch sig.label {
		case oneLabel:
		case badLabel:
			sig.reason, sig.problem = reject.LabelOutOfRange, fmt.Sprintf("the label in the feature %q is negative or not below %d, the number of classes", s.label, s.limit)
		case noLabel, notSingle:
			sig.reason, sig.problem = reject.MissingLabel, fmt.Sprintf("the feature %q has not exactly one value, which is the label", s.label)
		}
	}
}

func (sig *signature) judge(contract map[string]wanted, keys []string) {
	for _, key := range keys {
		w := contract[key]
		i, found := slices.BinarySearch(sig.keys, key)
		if !found || sig.kinds[i] == none {
			if w.required {
				sig.reason, sig.problem = reject.MissingPart, fmt.Sprintf("the example lacks the feature %q, which others have", key)
				return
			}
			continue
		}
		if w.kind != none && sig.kinds[i] != w.kind {
			sig.reason, sig.problem = reject.DifferentShape, fmt.Sprintf("the feature %q is %s; it must be %s, as in the others", key, sig.kinds[i], w.kind)
			return
		}
	}
}

// breaks tells why an example breaks a contract that was given, with so many features that are needed, or returns "".
func breaks(contract map[string]wanted, needed int, features []feature) (reject.Reason, string) {
	present := 0
	for i := range features {
		f := &features[i]
		w, ok := contract[string(f.key)]
		if !ok || f.kind == none || f.count == 0 {
			continue
		}
		if w.required {
			present++
		}
		if w.kind != none && f.kind != w.kind {
			return reject.DifferentShape, fmt.Sprintf("the feature %q is %s; features.json says %s", f.key, f.kind, w.kind)
		}
		if w.count >= 0 && f.count != w.count {
			return reject.DifferentShape, fmt.Sprintf("the feature %q has %d values; features.json says %d", f.key, f.count, w.count)
		}
	}
	if present == needed {
		return "", ""
	}
	for _, key := range slices.Sorted(maps.Keys(contract)) {
		if contract[key].required && !slices.ContainsFunc(features, func(f feature) bool { return string(f.key) == key && f.count > 0 }) {
			return reject.MissingPart, fmt.Sprintf("the example lacks the feature %q of features.json", key)
		}
	}
	return "", ""
}
