package convert

import (
	"errors"
	"fmt"

	"github.com/trainyard/trainyard/services/converter/archive"
	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/tfrecord"
)

// makeChunks groups consecutive records into chunks.
func (p *planner) makeChunks(maxBytes int64) {
	var total int64
	for i := range p.records {
		_, size, _ := p.extentOf(i)
		total += size
	}
	limit := min(maxBytes, max(total/chunks, minChunk))
	for i := range p.records {
		off, size, spilled := p.extentOf(i)
		if n := len(p.chunks); n > 0 {
			c := &p.chunks[n-1]
			gap := off - (c.off + c.size)
			if spilled == c.spilled && gap >= 0 && gap <= maxGap && off+size-c.off <= limit && c.meta+p.metaBytes(i) <= maxChunk {
				c.end, c.size, c.meta = i+1, off+size-c.off, c.meta+p.metaBytes(i)
				continue
			}
		}
		p.chunks = append(p.chunks, chunk{first: i, end: i + 1, off: off, size: size, meta: p.metaBytes(i), spilled: spilled})
	}
}

func (p *planner) entryOf(record int) *archive.Entry {
	return &p.listing.Entries[p.records[record].entry]
}

// extentOf says where a record lies: in the source, or in the spill.
func (p *planner) extentOf(record int) (off, size int64, spilled bool) {
	r := &p.records[record]
	first := p.entryOf(record)
	if r.parts == 0 {
		at := p.extras[r.extra].at
		where := p.files.placeOf(r.entry)
		return where.off + at.off, at.len, where.spilled
	}
	last := &p.listing.Entries[p.lastPart(r)]
	return first.Offset, last.Offset + last.Extent - first.Offset, false
}

// recordBytes is about how many bytes an example of a record takes in a shard.
func (p *planner) recordBytes(record int) int64 {
	const fields = 80 // keys, label, tags and lengths
	r := &p.records[record]
	if r.parts == 0 {
		x := &p.extras[r.extra]
		return max(p.index.RowBytes, x.at.len/int64(x.rows)) + tfrecord.Overhead
	}
	bytes := int64(fields + tfrecord.Overhead)
	for e := range p.partsOf(r) {
		bytes += e.Size + int64(len(e.Path))
	}
	return bytes + p.metaBytes(record)
}

// metaBytes is how much was noted of a record.
func (p *planner) metaBytes(record int) int64 {
	if x := p.records[record].extra; x >= 0 {
		return p.extras[x].meta.len
	}
	return 0
}

// cost is about how much memory a chunk takes in a window.
func (p *planner) cost(c chunk) int64 {
	cost := c.size + c.meta
	for i := c.first; i < c.end; i++ {
		cost += rowCost * p.rowsOf(i)
	}
	return cost
}

// taskCount says how many tasks there are: as many as leave the smallest split about one shard of the target size in each.
func (p *planner) taskCount(bySplit [len(dataset.Splits)]int64, windows int, sz sizing) int {
	var total, smallest int64
	for _, b := range bySplit {
		total += b
		if b > 0 && (smallest == 0 || b < smallest) {
			smallest = b
		}
	}
	target := p.opts.ShardBytes
	size := int64(float64(target) * (float64(total) / float64(smallest)))
	size = max(min(size, maxTaskShards*target), target, sz.window)
	return int(max(1, min((total+size/2)/size, int64(windows))))
}

// splitBytes is about how many bytes a record adds to each split.
func (p *planner) splitBytes(record int, bySplit *[len(dataset.Splits)]int64) {
	r, bytes := &p.records[record], p.recordBytes(record)
	if r.parts > 0 {
		bySplit[r.split] += bytes
		return
	}
	for split, rows := range p.extras[r.extra].perSplit {
		bySplit[split] += int64(rows) * bytes
	}
}

// write decides the tasks and their shards and writes the plan file.
func (p *planner) write(plan *Plan, name string, sz sizing) (err error) {
	var bySplit [len(dataset.Splits)]int64
	for i := range p.records {
		p.splitBytes(i, &bySplit)
	}
	var cost int64
	for _, c := range p.chunks {
		plan.DataBytes += c.size
		cost += p.cost(c)
	}
	windows := int(max(1, (cost+sz.window-1)/sz.window))
	tasks := p.taskCount(bySplit, windows, sz)

	w, err := newPlanWriter(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.abort()) }()
	for _, order := range dealChunks(len(p.chunks), tasks, (windows+tasks-1)/tasks, p.opts.Seed) {
		if len(order) == 0 {
			continue
		}
		task, err := p.writeTask(w, order, sz.window)
		if err != nil {
			return err
		}
		plan.Tasks = append(plan.Tasks, task)
	}
	plan.nameShards()
	return w.commit(plan)
}

// writeTask writes the sections of a task's windows and gives it its shards.
func (p *planner) writeTask(w *planWriter, order []int, window int64) (PlannedTask, error) {
	var task PlannedTask
	var cost int64
	for _, i := range order {
		task.Bytes += p.chunks[i].size
		cost += p.cost(p.chunks[i])
	}
	var bySplit [len(dataset.Splits)]int64
	windows := int(max(1, (cost+window-1)/window))
	start := 0
	for _, end := range cut(windows, len(order), func(i int) int64 { return p.cost(p.chunks[order[i]]) }) {
		if start == end {
			continue
		}
		var records int64
		for _, i := range order[start:end] {
			c := p.chunks[i]
			w.chunk(c)
			for r := c.first; r < c.end; r++ {
				p.splitBytes(r, &bySplit)
				if err := p.writeRecord(w, c, r); err != nil {
					return task, err
				}
				task.Records += p.rowsOf(r)
			}
			records += int64(c.end - c.first)
		}
		task.Windows = append(task.Windows, w.endSection(records))
		start = end
	}
	for s, bytes := range bySplit {
		if bytes == 0 {
			continue
		}
		n := max(1, (bytes+p.opts.ShardBytes/2)/p.opts.ShardBytes)
		for range n {
			task.Shards = append(task.Shards, PlannedShard{Split: dataset.Splits[s], Bytes: bytes / n})
		}
	}
	return task, nil
}

// nameShards numbers the shards of each split through all tasks.
func (p *Plan) nameShards() {
	total := make(map[dataset.Split]int)
	for _, t := range p.Tasks {
		for _, s := range t.Shards {
			total[s.Split]++
		}
	}
	next := make(map[dataset.Split]int)
	for _, t := range p.Tasks {
		for i := range t.Shards {
			s := &t.Shards[i]
			s.Name = fmt.Sprintf("%s-%s.tfrecord-%05d-of-%05d", p.Options.Dataset, s.Split, next[s.Split], total[s.Split])
			next[s.Split]++
		}
	}
}
