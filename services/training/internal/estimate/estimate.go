// Package estimate tells before a job what it takes in time and money, for each way its data can be read, and which way to take. It is pure:
// what it knows are its input and the installation's prices, and every value that it takes for granted is told as a sentence.
package estimate

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/trainyard/trainyard/services/training/price"
	"github.com/trainyard/trainyard/services/training/recipe"
)

// Data is data that a job reads.
type Data struct {
	Bytes    int64
	Files    int64
	Examples int64
}

// Input is a job as far as its time and money depend on it.
type Input struct {
	Region        string
	InstanceType  string
	InstanceCount int // 0 means 1.
	Spot          bool
	// KeepAliveSeconds is how long machines are kept for the next job.
	KeepAliveSeconds float64
	// MaxRuntimeSeconds stops the job; 0 means that nothing does.
	MaxRuntimeSeconds float64
	// VolumeSizeGB is the disk that the user asks for; 0 means as large as the data needs.
	VolumeSizeGB int64
	// Sharded gives each instance its part of the user's data instead of all of it.
	Sharded bool

	// Dataset is what the job reads of all its dataset versions.
	Dataset Data
	// Base is the base datasets together; what nobody told is 0. HasBase is whether there are any.
	Base    Data
	HasBase bool
	// BaseStorage is where the base datasets lie; of several places the one that holds most of the bytes.
	BaseStorage price.Storage
	// BaseMode is how base datasets are read from S3; empty means FastFile, or File for a program that can't read that.
	BaseMode recipe.InputMode
	// Mix is the share of examples that come from base datasets; nil when the program goes through them once an epoch, as an image of the
	// user's own is taken to do.
	Mix *float64
	// Epochs is how often the job goes through the user's data; 0 means that it isn't known.
	Epochs float64

	// Modes are those that the training program can read.
	Modes []recipe.InputMode
	// Mode is how the user's data is read in the job as given; empty leaves the choice to Advise.
	Mode recipe.InputMode
	// Unavailable says of file systems that can't be used in the region why.
	Unavailable map[price.Storage]string
	// JobsPerMonth share the cost of a file system; 0 means 1.
	JobsPerMonth int
	// Past are ended jobs of the same recipe.
	Past []PastJob
	// DatasetName, of the version or the dataset, tells jobs on the same data, whose speed says most, from other ones.
	DatasetName string
}

// Option is one way of reading the data. Seconds are of one instance but for BilledSeconds.
type Option struct {
	Mode          recipe.InputMode
	BaseStorage   price.Storage // Empty without base datasets.
	InstanceType  string
	InstanceCount int

	QueueSeconds    float64
	DownloadSeconds float64
	TrainSeconds    float64
	UploadSeconds   float64
	// BilledSeconds are times instances, without a warm pool's. As in SageMaker's own, the discount of spot instances is in them.
	BilledSeconds float64

	// Money is 0 and Currency empty where a price that the option needs isn't known.
	ComputeCost         float64
	StorageCostPerMonth float64
	TotalCost           float64
	Currency            string
	// BreakEvenJobsPerMonth is the least whole number of jobs a month with which a file system costs no more than the cheapest option without
	// one; 0 when there is none.
	BreakEvenJobsPerMonth float64

	Cheapest, Fastest, Chosen bool
	// Impossible says why the option can't be; its other results mean nothing then.
	Impossible string

	// Examples are trained on over all epochs and instances, DownloadBytes are copied to each instance before that: what a later job learns from.
	Examples      float64
	DownloadBytes int64
}

// TotalSeconds is the time from the request to the saved model.
func (o *Option) TotalSeconds() float64 {
	return o.QueueSeconds + o.DownloadSeconds + o.TrainSeconds + o.UploadSeconds
}

// modes in the order of preference when they take the same.
var modes = []recipe.InputMode{recipe.File, recipe.FastFile, recipe.Pipe}

// Estimate reckons all options, the job as given first, the impossible ones last. The assumptions are sentences with their values and sources.
func Estimate(in Input, prices *price.Table) (options []Option, assumptions []string) {
	in.complete()
	if in.Mode == "" {
		in.Mode, _ = Advise(in, prices)
	}
	m := newModel(in, prices)
	options = m.options()
	mark(options)
	slices.SortStableFunc(options, func(a, b Option) int {
		return cmp.Or(ordered(b.Chosen, a.Chosen), ordered(a.Impossible != "", b.Impossible != ""))
	})
	if options[0].Impossible == "" && in.MaxRuntimeSeconds > 0 {
		if runs := options[0].DownloadSeconds + options[0].TrainSeconds; runs > in.MaxRuntimeSeconds {
			m.assume("The job as given is expected to run %.0f s but would be stopped after %.0f s: raise max_runtime_seconds.", runs, in.MaxRuntimeSeconds)
		}
	}
	return options, m.assumptions
}

// ordered compares by false before true.
func ordered(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// Advise chooses the mode for a job that names none: the one with the fewest billed seconds, where the base datasets lie as they do. A mode
// whose reading is less simple must save a twentieth or a minute to be taken. The reason is a sentence.
func Advise(in Input, prices *price.Table) (mode recipe.InputMode, reason string) {
	in.complete()
	m := newModel(in, prices)
	var best *Option
	for _, candidate := range modes {
		o := m.option(candidate, in.BaseStorage)
		if o.Impossible == "" && (best == nil || best.BilledSeconds-o.BilledSeconds > min(best.BilledSeconds/20, 60)) {
			best = &o
		}
	}
	if best == nil { // Nothing works; the program's first mode is what its error is told of.
		return in.Modes[0], ""
	}
	return best.Mode, fmt.Sprintf("The data is read in %s mode, by its size and epochs: %.0f billed seconds are expected.", best.Mode, best.BilledSeconds)
}

func (in *Input) complete() {
	in.InstanceCount = max(in.InstanceCount, 1)
	in.JobsPerMonth = max(in.JobsPerMonth, 1)
	if len(in.Modes) == 0 {
		in.Modes = []recipe.InputMode{recipe.File}
	}
	if !in.HasBase {
		in.BaseStorage = ""
	} else if in.BaseStorage == "" {
		in.BaseStorage = price.S3
	}
	if in.BaseMode == "" {
		in.BaseMode = recipe.File
		if slices.Contains(in.Modes, recipe.FastFile) {
			in.BaseMode = recipe.FastFile
		}
	}
}

func (m *model) options() []Option {
	places := []price.Storage{""}
	if m.in.HasBase {
		places = []price.Storage{price.S3, price.EFS, price.FSxLustre}
	}
	var options []Option
	for _, place := range places {
		for _, mode := range modes {
			o := m.option(mode, place)
			o.Chosen = mode == m.in.Mode && place == m.in.BaseStorage
			options = append(options, o)
		}
	}
	return options
}

// mark finds the break-evens, the cheapest and the fastest of the options that are possible.
func mark(options []Option) {
	least := func(value func(*Option) (float64, bool)) *Option {
		var best *Option
		lowest := math.Inf(1)
		for i := range options {
			o := &options[i]
			if v, ok := value(o); ok && o.Impossible == "" && (v < lowest || v == lowest && o.Chosen) {
				best, lowest = o, v
			}
		}
		return best
	}
	plain := least(func(o *Option) (float64, bool) {
		return o.ComputeCost, o.Currency != "" && !onFileSystem(o.BaseStorage)
	})
	if plain != nil {
		for i := range options {
			o := &options[i]
			if saved := plain.ComputeCost - o.ComputeCost; o.Currency != "" && o.Impossible == "" && onFileSystem(o.BaseStorage) && saved > 0 {
				o.BreakEvenJobsPerMonth = max(math.Ceil(o.StorageCostPerMonth/saved-1e-9), 1)
			}
		}
	}
	if o := least(func(o *Option) (float64, bool) { return o.TotalCost, o.Currency != "" }); o != nil {
		o.Cheapest = true
	}
	if o := least(func(o *Option) (float64, bool) { return o.TotalSeconds(), true }); o != nil {
		o.Fastest = true
	}
}

func onFileSystem(s price.Storage) bool { return s == price.EFS || s == price.FSxLustre }
