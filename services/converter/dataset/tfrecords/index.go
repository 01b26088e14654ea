package tfrecords

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/reject"
)

const (
	maxClasses = 100_000

	// maxRows bounds the records of an upload; one takes up to 12 bytes of memory until all have been seen.
	maxRows = 32_000_000
)

// pending is a run of whole records about which nothing is said until all records have been seen.
type pending struct {
	dataset.Block
	sig  *signature // of the first
	rows []row      // each of them, if their signatures differ
}

type row struct {
	size uint32
	sig  uint16
}

// indexer is one run of Index.
type indexer struct {
	files    dataset.Files
	opts     dataset.Options
	listener dataset.Listener
	given    *given // what files beside the records say
	sigs     signatures
	features []feature
	blocks   []pending
	run      []row // the records of the last block
	total    int64
	bytes    int64

	lost    int64  // bytes that lie behind damage
	damaged string // the last file that has such
}

// Index implements dataset.Reader. It reads every record and checks both of its checksums.
func (Reader) Index(ctx context.Context, files dataset.Files, opts dataset.Options, listener dataset.Listener) (dataset.Index, error) {
	x := &indexer{files: files, opts: opts, listener: listener}
	found, packed, err := x.find(ctx)
	if err != nil {
		return dataset.Index{}, err
	}
	if len(found) == 0 && packed != "" {
		return dataset.Index{}, reject.New(reject.NestedArchive,
			"The TFRecord files are compressed, such as %q. %s", packed, unpack)
	}
	if x.given, err = readGiven(ctx, files, opts, listener); err != nil {
		return dataset.Index{}, err
	}
	if x.sigs.label, err = x.findLabel(ctx, found); err != nil {
		return dataset.Index{}, err
	}
	x.sigs.limit = maxClasses
	if x.given.classes != nil {
		x.sigs.limit = int64(len(x.given.classes))
	}
	paths := make([]string, len(found))
	for i, f := range found {
		paths[i] = files.At(f).Path
	}
	root := dataset.CommonDir(paths)
	for i := range paths {
		paths[i] = paths[i][len(root):]
	}
	splits := dataset.SplitsIn(paths)
	for i, f := range found {
		if err := x.scan(ctx, f, paths[i], splits[i]); err != nil {
			return dataset.Index{}, err
		}
	}
	if x.total == 0 {
		return dataset.Index{}, reject.New(reject.NoExamples,
			"No record of the TFRecord files can become an example. Expected: %s", Reader{}.Format().Description)
	}
	// One row is told of each file that breaks off, whatever number of them went with it.
	if lost := x.lost / (x.bytes / x.total); opts.TooManyBad != nil && opts.TooManyBad(lost, lost+x.total) {
		return dataset.Index{}, reject.New(reject.TooManyBadFiles,
			"%d bytes, about %d records, lie behind damage such as that in %q and can't be found, which is more than max_bad_fraction allows. The files may have been cut short on their way: compare their sizes, and upload them again.",
			x.lost, lost, x.damaged)
	}
	return x.settle()
}

// findLabel is the name of the feature that is the label if any is: as given, or the commonest that an int64 has in the first records.
func (x *indexer) findLabel(ctx context.Context, found []int) (string, error) {
	if x.given.label != "" || x.given.contract != nil || len(found) == 0 {
		return x.given.label, nil
	}
	data, err := x.files.Open(ctx, found[0])
	var bad *reject.File
	if errors.As(err, &bad) {
		return "", nil // scan says what is wrong with it
	}
	if err != nil {
		return "", err
	}
	s := scanner{r: data, size: x.files.At(found[0]).Size}
	best := len(labelNames)
	for range 100 {
		rec, end, err := s.next()
		if errors.Is(err, io.EOF) || end != nil {
			break
		}
		if err != nil {
			return "", err
		}
		if rec.problem != "" {
			continue
		}
		if x.features, rec.problem = parse(rec.data, x.features); rec.problem != "" {
			continue
		}
		for _, f := range x.features {
			if i := slices.Index(labelNames, string(f.key)); i >= 0 && i < best && f.kind == ints && f.count == 1 {
				best = i
			}
		}
	}
	if best == len(labelNames) {
		return "", nil
	}
	return labelNames[best], nil
}

const unpack = "Compressed files within the upload are not opened, nor are TFRecord files that were written with the compression GZIP or ZLIB. Unpack them (`gunzip < A > B`) or write them without compression."

// find lists the files that hold records. It leaves out the ones that are meant to and don't.
func (x *indexer) find(ctx context.Context) (found []int, packed string, err error) {
	for i := range x.files.Len() {
		if err := ctx.Err(); err != nil {
			return nil, "", err
		}
		f := x.files.At(i)
		meant := nameSays(f.Path)
		if !meant && !mayBe(f.Path) {
			continue
		}
		if f.Size == 0 {
			if meant {
				x.listener.LeaveOut(i, reject.EmptyFile, "the file is empty")
			}
			continue
		}
		head, err := dataset.ReadHead(ctx, x.files, i, headBytes)
		var bad *reject.File
		if errors.As(err, &bad) {
			x.listener.LeaveOut(i, bad.Reason, bad.Message)
			continue
		}
		if err != nil {
			return nil, "", err
		}
		switch {
		case soundHead(head, f.Size):
			found = append(found, i)
		case isPacked(head) && meant:
			packed = f.Path
			x.listener.LeaveOut(i, reject.NestedArchive, unpack)
		case meant:
			x.listener.LeaveOut(i, reject.MalformedFile, "the file doesn't begin as a TFRecord file does, with a length and its checksum; write it again with tf.io.TFRecordWriter")
		}
	}
	return found, packed, nil
}

// scan reads the records of a file.
func (x *indexer) scan(ctx context.Context, file int, key string, split dataset.Split) error {
	data, err := x.files.Open(ctx, file)
	var bad *reject.File
	if errors.As(err, &bad) {
		x.listener.LeaveOut(file, bad.Reason, bad.Message)
		return nil
	}
	if err != nil {
		return err
	}
	x.listener.Use(file)
	s := scanner{r: data, size: x.files.At(file).Size}
	open := false // the last block may get more records
	defer x.close()
	for number := int64(1); ; number++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		rec, end, err := s.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if end != nil {
			x.listener.LeaveOutRow(file, number, end.reason, end.problem)
			x.lost, x.damaged = x.lost+s.size-s.at, x.files.At(file).Path
			return nil
		}
		sig, label := x.check(&rec)
		if rec.problem != "" {
			x.listener.LeaveOutRow(file, number, rec.reason, rec.problem)
			open = false
			continue
		}
		if x.total++; x.total > maxRows {
			return reject.New(reject.TooManyEntries, "The upload has more than %d records, which is the limit. Upload it in parts.", maxRows)
		}
		x.bytes += rec.size
		if open && x.last().Size < dataset.BlockBytes && x.last().Size+rec.size <= dataset.MaxRowBytes {
			x.last().add(rec.size, label)
		} else {
			x.close()
			x.blocks = append(x.blocks, pending{sig: sig, Block: dataset.Block{
				File: file, Offset: rec.at, Size: rec.size, Rows: 1, FirstRow: number, Labels: []int32{label}, Key: key, Split: split,
			}})
			open = true
		}
		x.run = append(x.run, row{uint32(rec.size), uint16(sig.id)}) //nolint:gosec // at most MaxRowBytes and its frame, and maxSignatures
	}
}

func (x *indexer) last() *pending { return &x.blocks[len(x.blocks)-1] }

func (p *pending) add(size int64, label int32) {
	p.Size += size
	p.Rows++
	p.Labels = append(p.Labels, label)
}

// close ends the last block. Its records are remembered one by one only if they have to be told apart.
func (x *indexer) close() {
	for _, r := range x.run {
		if int(r.sig) != x.last().sig.id {
			x.last().rows = slices.Clone(x.run)
			break
		}
	}
	x.run = x.run[:0]
}

// check parses a record. It returns its signature and its label, or puts into rec what is wrong with it.
func (x *indexer) check(rec *record) (*signature, int32) {
	if rec.problem != "" {
		return nil, -1
	}
	x.features, rec.problem = parse(rec.data, x.features)
	if rec.problem != "" {
		rec.reason = reject.CorruptRecord
		return nil, -1
	}
	if x.given.contract != nil {
		if rec.reason, rec.problem = breaks(x.given.contract, x.given.needed, x.features); rec.problem != "" {
			return nil, -1
		}
	}
	sig, label := x.sigs.of(x.features)
	if sig == nil {
		rec.reason, rec.problem = reject.DifferentShape, fmt.Sprintf(
			"the records have more than %d different sets of features, which is the limit; this one has another still", maxSignatures)
	}
	return sig, label
}

// settle draws the contract and reports the records that keep it.
func (x *indexer) settle() (dataset.Index, error) {
	contract := x.given.contract
	if contract == nil {
		contract = x.sigs.infer()
	}
	label := x.sigs.label
	if _, ok := contract[label]; !ok && x.opts.LabelColumn != "" {
		return dataset.Index{}, reject.New(reject.UnknownColumn, "The examples have no feature %q, which was named as the label. They have: %s.",
			x.opts.LabelColumn, strings.Join(slices.Sorted(maps.Keys(contract)), ", "))
	}
	classes := x.isClass(contract)
	if classes {
		contract[label] = wanted{kind: ints, count: 1, required: true}
	}
	x.sigs.judge(contract, classes)
	var names []string
	if classes {
		names = x.classNames()
	}
	for i := range x.blocks {
		p := &x.blocks[i]
		if !classes {
			p.Labels = nil
		}
		x.report(p)
		p.Labels, p.rows = nil, nil
	}
	s := schema{Features: x.given.features}
	if classes {
		s.Label = label
	}
	for _, f := range s.Features {
		if class, _ := f.JSON["pythonClassName"].(string); strings.HasSuffix(class, ".Image") {
			s.Images = append(s.Images, f.Name)
		}
	}
	if s.Features == nil {
		s.infer(contract, &x.sigs, names)
	}
	js, err := json.Marshal(s)
	if err != nil {
		return dataset.Index{}, err
	}
	return dataset.Index{Classes: names, Schema: js, RowBytes: x.bytes / x.total}, nil
}

// isClass tells whether the label is a class: most examples have exactly one, within the range.
func (x *indexer) isClass(contract map[string]wanted) bool {
	if contract[x.sigs.label].kind != ints {
		return false
	}
	var good, rows int64
	for _, sig := range x.sigs.all {
		rows += sig.rows
		if sig.label == oneLabel {
			good += sig.rows
		}
	}
	return 2*good > rows
}

// classNames are the names that were given, or the numbers up to the greatest label.
func (x *indexer) classNames() []string {
	if x.given.classes != nil {
		return x.given.classes
	}
	top := int64(0)
	for _, sig := range x.sigs.all {
		if i, ok := slices.BinarySearch(sig.keys, x.sigs.label); ok && sig.label == oneLabel {
			top = max(top, sig.seen[i].top)
		}
	}
	return numbers(int(top) + 1)
}

// numbers are the names of n classes that have none.
func numbers(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = strconv.Itoa(i)
	}
	return names
}

// report hands a block to the engine, without the records that break the contract.
func (x *indexer) report(p *pending) {
	if p.rows == nil {
		if p.sig.reason == "" {
			x.listener.Block(p.Block)
			return
		}
		for i := range p.Rows {
			x.listener.LeaveOutRow(p.File, p.FirstRow+int64(i), p.sig.reason, p.sig.problem)
		}
		return
	}
	b := p.Block
	b.Size, b.Rows = 0, 0
	first := 0 // of the block's records, in p
	flush := func(next int) {
		if b.Rows > 0 {
			if p.Labels != nil {
				b.Labels = p.Labels[first:next:next]
			}
			x.listener.Block(b)
		}
	}
	for i, r := range p.rows {
		sig := x.sigs.all[r.sig]
		if sig.reason == "" {
			b.Size += int64(r.size)
			b.Rows++
			continue
		}
		flush(i)
		x.listener.LeaveOutRow(p.File, p.FirstRow+int64(i), sig.reason, sig.problem)
		b.Offset += b.Size + int64(r.size)
		b.FirstRow += int64(b.Rows) + 1
		b.Size, b.Rows, first = 0, 0, i+1
	}
	flush(len(p.rows))
}
