package upload

import (
	"fmt"
	"path"
	"strings"
)

// Plan says how a file is cut.
type Plan struct {
	Size     int64 // Of the file, in bytes; above 0.
	PartSize int64 // Of each part but the last.
	Count    int32
}

// NewPlan cuts a file into parts of partSize, or of as many whole MiB as it takes to need no more than MaxParts.
func NewPlan(size, partSize int64) Plan {
	const mebibyte = 1 << 20
	if least := (size + MaxParts - 1) / MaxParts; least > partSize {
		partSize = (least + mebibyte - 1) / mebibyte * mebibyte
	}
	return Plan{Size: size, PartSize: partSize, Count: int32((size + partSize - 1) / partSize)} //nolint:gosec // At most MaxParts.
}

// SizeOf gives the bytes of a part, from 1 to Count.
func (p Plan) SizeOf(part int32) int64 {
	if part == p.Count {
		return p.Size - int64(p.Count-1)*p.PartSize
	}
	return p.PartSize
}

// IncompleteError says which parts are missing and which have the wrong size.
type IncompleteError struct {
	Missing []int32
	Wrong   []int32
}

func (e *IncompleteError) Error() string {
	var what []string
	if len(e.Missing) > 0 {
		what = append(what, "missing parts "+Ranges(e.Missing))
	}
	if len(e.Wrong) > 0 {
		what = append(what, "parts of the wrong size "+Ranges(e.Wrong))
	}
	return "upload is incomplete: " + strings.Join(what, ", ")
}

// check compares what S3 has, in the order of part numbers, with the plan.
func (p Plan) check(parts []Part) error {
	var amiss IncompleteError
	next := int32(1)
	for _, part := range parts {
		for ; next < part.Number && next <= p.Count; next++ {
			amiss.Missing = append(amiss.Missing, next)
		}
		if part.Number > p.Count || part.Size != p.SizeOf(part.Number) {
			amiss.Wrong = append(amiss.Wrong, part.Number)
		}
		next = part.Number + 1
	}
	for ; next <= p.Count; next++ {
		amiss.Missing = append(amiss.Missing, next)
	}
	if len(amiss.Missing)+len(amiss.Wrong) > 0 {
		return &amiss
	}
	return nil
}

// All gives every part number of the plan.
func (p Plan) All() []int32 {
	all := make([]int32, p.Count)
	for i := range all {
		all[i] = int32(i) + 1 //nolint:gosec // At most MaxParts.
	}
	return all
}

// Ranges writes growing part numbers briefly, as in `1-3,7`. Past twenty ranges it says how many parts are left unsaid.
func Ranges(parts []int32) string {
	var out []string
	for i := 0; i < len(parts); {
		if len(out) == 20 {
			out = append(out, fmt.Sprintf("and %d more", len(parts)-i))
			break
		}
		j := i
		for j+1 < len(parts) && parts[j+1] == parts[j]+1 {
			j++
		}
		if i == j {
			out = append(out, fmt.Sprint(parts[i]))
		} else {
			out = append(out, fmt.Sprintf("%d-%d", parts[i], parts[j]))
		}
		i = j + 1
	}
	return strings.Join(out, ",")
}

// endings are those that say something about the container; any other is of no use as a hint, and a key is no place for a user's text.
var endings = []string{
	".tar.gz", ".tar.zst", ".tar.bz2", ".tgz", ".tar", ".zip", ".gz", ".zst", ".bz2",
	".csv", ".tsv", ".jsonl", ".json", ".parquet", ".tfrecord", ".wav", ".flac",
}

// Ending gives the file name's ending as the object's key shows it, in small letters; empty when it is none that we know.
func Ending(fileName string) string {
	name := strings.ToLower(path.Base(fileName))
	for _, ending := range endings {
		if strings.HasSuffix(name, ending) {
			return ending
		}
	}
	return ""
}
