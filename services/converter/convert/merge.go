package convert

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math/bits"
	"runtime"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/reject"
)

// Names of the files beside the shards.
const (
	ManifestName = "manifest.json" // to be put last
	ReportName   = "report.json"
)

// Manifest is the dataset's table of contents. Readers trust it alone: what it doesn't name isn't part of the dataset.
type Manifest struct {
	ConverterVersion string         `json:"converter_version"`
	Key              string         `json:"key"`
	Dataset          string         `json:"dataset"`
	Version          string         `json:"version"`
	Format           string         `json:"format"`
	FormatReason     string         `json:"format_reason"`
	Source           SourceInfo     `json:"source"`
	Options          Options        `json:"options"`
	Examples         int64          `json:"examples"`
	Bytes            int64          `json:"bytes"` // of all shards
	Classes          []Class        `json:"classes"`
	Splits           []SplitSummary `json:"splits"`
	Shards           []Shard        `json:"shards"`
	Files            []MetadataFile `json:"files"`
	Statistics       Statistics     `json:"statistics"`
	Duplicates       Duplicates     `json:"duplicates"`
	LeftOut          int64          `json:"left_out"` // files, see report.json
}

// Class is a label.
type Class struct {
	Name     string `json:"name"`
	Label    int    `json:"label"`
	Examples int64  `json:"examples"`
	Objects  int64  `json:"objects,omitempty"` // annotated ones, where examples hold several
}

// SplitSummary is one split.
type SplitSummary struct {
	Name     dataset.Split `json:"name"`
	Examples int64         `json:"examples"`
	Bytes    int64         `json:"bytes"`
	Shards   int           `json:"shards"`
	Classes  []int64       `json:"classes"` // examples by label, or annotated objects where examples have no single label
}

// MetadataFile is a file beside the shards.
type MetadataFile struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Statistics are of all examples together.
type Statistics struct {
	SourceBytes int64                       `json:"source_bytes"`
	Numbers     map[string]NumberSummary    `json:"numbers"`
	Counts      map[string]map[string]int64 `json:"counts"`
}

// NumberSummary sums up a numeric property. Quantiles are right to 1 %.
type NumberSummary struct {
	Count     int64   `json:"count"`
	Min       float64 `json:"min"`
	Max       float64 `json:"max"`
	Mean      float64 `json:"mean"`
	P05       float64 `json:"p05"`
	P25       float64 `json:"p25"`
	Median    float64 `json:"median"`
	P75       float64 `json:"p75"`
	P95       float64 `json:"p95"`
	Histogram []int64 `json:"histogram"` // counts in bins of equal width from min to max
}

// Duplicates counts examples whose data equal another's, by 62 bits of a hash. Of very many examples a sample is compared and the counts are scaled up.
type Duplicates struct {
	Sampled      float64 `json:"sampled"`       // share of the examples that was compared
	Examples     int64   `json:"examples"`      // that could be removed without losing data
	AcrossSplits int64   `json:"across_splits"` // pieces of data that are in more than one split, which makes an evaluation too good
}

// Report says what was found, what was left out and why. Of files, rows and annotations alike, kept and left out add up to found.
type Report struct {
	Dataset  string       `json:"dataset"`
	Version  string       `json:"version"`
	Format   FormatChoice `json:"format"`
	Examples int64        `json:"examples"`
	Found    Tally        `json:"found"`
	Kept     Tally        `json:"kept"`
	Losses
	Warnings   []string   `json:"warnings"`
	Duplicates Duplicates `json:"duplicates"`
}

// Losses are what was left out.
type Losses struct {
	LeftOut   Tally         `json:"left_out"`
	Bad       int64         `json:"bad"`        // files and rows left out that count towards max_bad_fraction
	Reasons   Reasons       `json:"reasons"`    // how many by reason
	Files     []reject.File `json:"files"`      // what was left out: files, rows, annotations in order of path
	NotListed int64         `json:"not_listed"` // left out beyond the first 10,000
}

func lossesOf(left reject.List) Losses {
	l := Losses{
		LeftOut: Tally{left.Counts.Total(), left.Rows.Total(), left.Annotations.Total()},
		Bad:     left.Bad(), Reasons: Reasons{left.Counts, left.Rows, left.Annotations}, Files: left.Named(),
	}
	l.NotListed = l.LeftOut.Files + l.LeftOut.Rows + l.LeftOut.Annotations - int64(len(l.Files))
	for _, c := range []*reject.Counts{&l.Reasons.Files, &l.Reasons.Rows, &l.Reasons.Annotations} {
		if *c == nil {
			*c = reject.Counts{}
		}
	}
	if l.Files == nil {
		l.Files = []reject.File{}
	}
	return l
}

// FailureReport is report.json of an upload that was refused because of what it holds: why, and what was left out until then.
func FailureReport(e *reject.Error) []byte {
	return encodeJSON(struct {
		Reason  reject.Reason `json:"reason"`
		Message string        `json:"message"`
		Losses
	}{e.Reason, e.Message, lossesOf(e.Files)})
}

// Reasons count what was left out by kind and reason.
type Reasons struct {
	Files       reject.Counts `json:"files"`
	Rows        reject.Counts `json:"rows"`
	Annotations reject.Counts `json:"annotations"`
}

// Output is a finished conversion.
type Output struct {
	Manifest Manifest
	Report   Report
	// Files are all files to put beside the shards, by name, manifest.json among them.
	Files map[string][]byte
}

// Merge makes the manifest and the rest from the results of all tasks, in any order. A *reject.Error
// means that too little of the upload is left; the shards are then to be removed.
func Merge(p *Plan, results []*TaskResult) (*Output, error) {
	results, err := checkResults(p, results)
	if err != nil {
		return nil, err
	}
	m := Manifest{
		ConverterVersion: p.Version, Key: p.Key, Dataset: p.Options.Dataset, Version: tfdsVersion(p.Options),
		Format: p.Format.Name, FormatReason: p.Format.Reason, Source: p.Source, Options: p.Options,
	}
	left := p.LeftOut.Clone()
	kept := Tally{Files: p.UsedFiles}
	var all dataset.Stats
	bySplit := make(map[dataset.Split]*dataset.Stats)
	for _, r := range results {
		left.Merge(r.LeftOut)
		for i := range r.Shards {
			s := &r.Shards[i]
			m.Shards = append(m.Shards, s.Shard)
			m.Bytes += s.Bytes
			kept.Files += s.Files
			kept.Rows += s.Rows
			kept.Annotations += s.Annotations
			all.Merge(&s.Stats)
			if bySplit[s.Split] == nil {
				bySplit[s.Split] = &dataset.Stats{}
			}
			bySplit[s.Split].Merge(&s.Stats)
		}
	}
	left.Sort()
	if p.Options.tooManyBad(left.Bad(), p.candidates()) {
		return nil, p.Options.tooManyBadError(left, p.candidates())
	}
	if err := checkClasses(p, &all, left); err != nil {
		return nil, err
	}
	// Shards of a split stand together, in order of their numbers: the names sort so.
	slices.SortFunc(m.Shards, func(a, b Shard) int {
		return cmp.Or(cmp.Compare(splitIndex(a.Split), splitIndex(b.Split)), cmp.Compare(a.Name, b.Name))
	})
	m.Examples, m.LeftOut = all.Examples, left.Total()
	m.Classes = []Class{}
	for i, name := range p.Index.Classes {
		m.Classes = append(m.Classes, Class{Name: name, Label: i, Examples: all.Classes.Of(i), Objects: all.Objects.Of(i)})
	}
	for _, split := range dataset.Splits {
		if s := bySplit[split]; s != nil {
			m.Splits = append(m.Splits, summary(split, s, m.Shards, len(p.Index.Classes)))
		}
	}
	m.Statistics = statistics(&all)
	m.Duplicates = duplicates(results, p.HashShift)
	report, err := makeReport(p, &m, kept, left, all.Remarks)
	if err != nil {
		return nil, err
	}
	return pack(p, m, report, &all)
}

func splitIndex(s dataset.Split) int { return slices.Index(dataset.Splits[:], s) }

// checkResults puts the results in order and makes sure that they are the plan's, all of it.
func checkResults(p *Plan, results []*TaskResult) ([]*TaskResult, error) {
	results = slices.Clone(results)
	slices.SortFunc(results, func(a, b *TaskResult) int { return cmp.Compare(a.Task, b.Task) })
	if len(results) != len(p.Tasks) {
		return nil, fmt.Errorf("the plan has %d tasks, there are %d results", len(p.Tasks), len(results))
	}
	for i, r := range results {
		if r.Task != i || r.Key != p.Key || len(r.Shards) != len(p.Tasks[i].Shards) {
			return nil, fmt.Errorf("result %d is of task %d of plan %s with %d shards; expected task %d of plan %s with %d",
				i, r.Task, r.Key, len(r.Shards), i, p.Key, len(p.Tasks[i].Shards))
		}
		for j, s := range r.Shards {
			if s.Name != p.Tasks[i].Shards[j].Name || s.Split != p.Tasks[i].Shards[j].Split || int64(len(s.Hashes)) > 8*s.Examples || p.HashShift == 0 && int64(len(s.Hashes)) != 8*s.Examples {
				return nil, fmt.Errorf("the result of task %d doesn't fit its plan at shard %q", i, s.Name)
			}
		}
	}
	return results, nil
}

// checkClasses refuses what nothing can be learned from.
func checkClasses(p *Plan, all *dataset.Stats, left reject.List) error {
	if all.Examples == 0 {
		e := reject.New(reject.NoExamples, "Nothing in the upload could become an example: %s.", left.Examples(3))
		e.Files = left
		return e
	}
	used := 0
	if len(all.Classes) == 0 { // examples have no single label
		return nil
	}
	for _, n := range all.Classes {
		if *n > 0 {
			used++
		}
	}
	if len(p.Index.Classes) >= 2 && used < 2 {
		e := reject.New(reject.TooFewClasses, "Only one class has usable files; at least two classes are needed. Left out: %s.", left.Examples(3))
		e.Files = left
		return e
	}
	return nil
}

func summary(split dataset.Split, s *dataset.Stats, shards []Shard, classes int) SplitSummary {
	sum := SplitSummary{Name: split, Examples: s.Examples, Classes: make([]int64, classes)}
	counts := s.Classes
	if len(counts) == 0 {
		counts = s.Objects
	}
	for label, n := range counts {
		if label < classes {
			sum.Classes[label] = *n
		}
	}
	for _, shard := range shards {
		if shard.Split == split {
			sum.Shards++
			sum.Bytes += shard.Bytes
		}
	}
	return sum
}

const histogramBins = 20

func statistics(all *dataset.Stats) Statistics {
	s := Statistics{SourceBytes: all.Bytes, Numbers: make(map[string]NumberSummary), Counts: make(map[string]map[string]int64)}
	for name, values := range all.Counts {
		s.Counts[name] = make(map[string]int64, len(values))
		for value, n := range values {
			s.Counts[name][value] = *n
		}
	}
	for name, n := range all.Numbers {
		s.Numbers[name] = NumberSummary{
			Count: n.Count, Min: n.Min, Max: n.Max, Mean: n.Sum / float64(n.Count),
			P05: n.Quantile(0.05), P25: n.Quantile(0.25), Median: n.Quantile(0.5), P75: n.Quantile(0.75), P95: n.Quantile(0.95),
			Histogram: n.Histogram(histogramBins),
		}
	}
	return s
}

// maxHashes is about how many hashes are compared at most: they travel with the tasks' results and are sorted in memory.
const maxHashes = 4 << 20

// hashShift is how many times the records must be halved to come to no more than maxHashes.
func hashShift(records int64) uint8 {
	return uint8(bits.Len64(uint64(max(0, records-1) / maxHashes))) //nolint:gosec // at most 63
}

// duplicates counts equal hashes. They are dealt by their first bits, which are as good as random, to lists that are counted each by itself,
// on all processors and within their caches.
func duplicates(results []*TaskResult, shift uint8) Duplicates {
	lists := dealHashes(results, shift)
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	var examples, across atomic.Int64
	for _, list := range lists {
		group.Go(func() error {
			e, a := countEqual(list, shift+listBits)
			examples.Add(e)
			across.Add(a)
			return nil
		})
	}
	group.Wait() //nolint:errcheck,gosec // none fails
	return Duplicates{Sampled: 1 / float64(int64(1)<<shift), Examples: examples.Load() << shift, AcrossSplits: across.Load() << shift}
}

const (
	listBits = 8
	// splitBits are the last of a hash, in which its split stands: its index and 1, or several.
	splitBits = 3
	several   = uint64(len(dataset.Splits) + 1)
)

// dealHashes lists the sampled hashes of all records by the first bits that they don't share.
func dealHashes(results []*TaskResult, shift uint8) [][]uint64 {
	lists := make([][]uint64, 1<<listBits)
	var counts [1 << listBits]int
	each := func(f func(list int, hash uint64)) {
		for _, r := range results {
			for _, s := range r.Shards {
				split := uint64(splitIndex(s.Split) + 1) //nolint:gosec // 1 to 3
				for b := s.Hashes; len(b) >= hashBytes; b = b[hashBytes:] {
					h := binary.LittleEndian.Uint64(b)
					f(int(h<<shift>>(64-listBits)), h>>splitBits<<splitBits|split) //nolint:gosec // eight bits
				}
			}
		}
	}
	each(func(list int, _ uint64) { counts[list]++ })
	for i, n := range counts {
		lists[i] = make([]uint64, 0, n)
	}
	each(func(list int, hash uint64) { lists[list] = append(lists[list], hash) })
	return lists
}

// countEqual counts the hashes that came before, and those that occur in several splits. used is how many of their first bits they share.
func countEqual(hashes []uint64, used uint8) (examples, across int64) {
	sizeBits := bits.Len(uint(2 * len(hashes))) // at most half full
	table := make([]uint64, 1<<sizeBits)        // open addressing; 0: free
	mask := len(table) - 1
	for _, h := range hashes {
		at := int(h << used >> (64 - sizeBits)) //nolint:gosec // below the size
		for ; table[at] != 0 && table[at]>>splitBits != h>>splitBits; at = (at + 1) & mask {
		}
		switch found := &table[at]; {
		case *found == 0:
			*found = h
		case *found == h || *found&(1<<splitBits-1) == several:
			examples++
		default:
			examples++
			across++
			*found = h>>splitBits<<splitBits | several
		}
	}
	return examples, across
}

func makeReport(p *Plan, m *Manifest, kept Tally, left reject.List, remarks map[string]*dataset.Remarked) (Report, error) {
	r := Report{
		Dataset: m.Dataset, Version: m.Version, Format: p.Format, Examples: m.Examples,
		Found: p.Found, Kept: kept, Losses: lossesOf(left),
		Duplicates: m.Duplicates, Warnings: append([]string{}, p.Warnings...),
	}
	if sum := (Tally{kept.Files + r.LeftOut.Files, kept.Rows + r.LeftOut.Rows, kept.Annotations + r.LeftOut.Annotations}); sum != p.Found {
		return r, fmt.Errorf("the account of the conversion doesn't add up: found %+v, kept %+v, left out %+v", p.Found, kept, r.LeftOut)
	}
	if m.Duplicates.AcrossSplits > 0 {
		r.Warnings = append(r.Warnings, fmt.Sprintf("%d examples occur in more than one split; the evaluation will look better than it is.", m.Duplicates.AcrossSplits))
	}
	for _, what := range slices.Sorted(maps.Keys(remarks)) {
		paths := fmt.Sprintf("%q", remarks[what].Paths) // in brackets
		r.Warnings = append(r.Warnings, fmt.Sprintf("%s: %d, such as %s.", what, remarks[what].Count, paths[1:len(paths)-1]))
	}
	for _, s := range m.Splits {
		if s.Examples == 0 {
			r.Warnings = append(r.Warnings, fmt.Sprintf("Split %q has no examples: all that was meant for it was left out.", s.Name))
		}
	}
	const named = 10
	empty := 0
	for _, c := range m.Classes {
		if c.Examples > 0 || c.Objects > 0 {
			continue
		}
		if empty++; empty <= named {
			r.Warnings = append(r.Warnings, fmt.Sprintf("Class %q has no examples.", c.Name))
		}
	}
	if empty > named {
		r.Warnings = append(r.Warnings, fmt.Sprintf("%d more classes have no examples.", empty-named))
	}
	return r, nil
}

// pack writes the files beside the shards.
func pack(p *Plan, m Manifest, r Report, all *dataset.Stats) (*Output, error) {
	reader, err := readerNamed(p.Format.Name)
	if err != nil {
		return nil, err
	}
	files := tfdsFiles(&m, reader.Features(p.Index, all))
	files[ReportName] = encodeJSON(r)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		sum := sha256.Sum256(files[name])
		m.Files = append(m.Files, MetadataFile{Name: name, Bytes: int64(len(files[name])), SHA256: hex.EncodeToString(sum[:])})
	}
	files[ManifestName] = encodeJSON(m)
	return &Output{Manifest: m, Report: r, Files: files}, nil
}

// encodeJSON is for values of which nothing can fail to encode. Map keys come out sorted.
func encodeJSON(v any) []byte {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		panic(err)
	}
	return append(b, '\n')
}
