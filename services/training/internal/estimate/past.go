package estimate

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/trainyard/trainyard/services/training/internal/job"
	"github.com/trainyard/trainyard/services/training/price"
	"github.com/trainyard/trainyard/services/training/recipe"
)

// PastJob is what an ended job of the same program tells. Seconds and bytes are of one instance; 0 means that it doesn't tell.
type PastJob struct {
	Region        string
	InstanceType  string
	InstanceCount int
	Spot          bool
	DatasetName   string
	// Examples were trained on in all, over all epochs and instances.
	Examples float64
	// ExamplesPerSecond is the speed that the program told, of all instances.
	ExamplesPerSecond float64
	QueueSeconds      float64
	DownloadSeconds   float64
	DownloadBytes     int64
	// Start is what the seconds of download have beside copying; empty when all data was copied.
	Start         Start
	TrainSeconds  float64
	UploadSeconds float64
}

// Start is what passes before training where data isn't copied: the value is the storage's or the input mode's.
type Start string

// startOf tells which start counts, the mount of a file system before a stream.
func startOf(mode, baseMode recipe.InputMode, place price.Storage) Start {
	switch {
	case onFileSystem(place):
		return Start(place)
	case mode != recipe.File:
		return Start(mode)
	case place == price.S3 && baseMode != recipe.File:
		return Start(baseMode)
	}
	return ""
}

// speedMetric is where recipes tell their speed.
const speedMetric = "progress:examples_per_second"

// PastOf gives what a stored job tells. A job that didn't succeed, or was interrupted on its way, tells nothing of value.
func PastOf(j *job.Job) (PastJob, bool) {
	ledger := j.Ledger(time.UnixMicro(j.EndTime))
	if j.State != job.Succeeded || len(ledger.Attempts) != 1 {
		return PastJob{}, false
	}
	past := PastJob{
		Region: j.Region, InstanceType: j.Resources.InstanceType, InstanceCount: max(int(j.Resources.InstanceCount), 1), Spot: j.Resources.Spot,
		DatasetName: datasetOf(j.DatasetVersion), ExamplesPerSecond: j.Metrics[speedMetric],
		QueueSeconds: ledger.Queue, DownloadSeconds: ledger.Download, TrainSeconds: ledger.Train, UploadSeconds: ledger.Upload,
	}
	if j.Estimate != nil {
		past.DownloadBytes = j.Estimate.DownloadBytes
		past.Examples = j.Estimate.Examples
		past.Start = startOf(recipe.InputMode(j.Estimate.InputMode), baseModeOf(j), price.Storage(j.Estimate.BaseStorage))
		if epochs, ok := j.Parameters["epochs"].(float64); ok && epochs > 0 && j.Epoch > 0 {
			past.Examples *= min(j.Epoch/epochs, 1) // It may have stopped early.
		}
	}
	return past, true
}

// baseModeOf is how a stored job's base datasets are read from S3.
func baseModeOf(j *job.Job) recipe.InputMode {
	for _, id := range j.BaseDatasets {
		if mode := j.InputModes[id]; mode != "" {
			return recipe.InputMode(mode)
		}
	}
	return recipe.FastFile
}

// speed is what past jobs or else assumptions say of the next one.
type speed struct {
	examples     float64 // A second, on one instance.
	programStart float64 // Seconds of training in which no example is trained on.
	copyStart    float64 // Seconds that copying takes however little it is.
	copyRate     float64 // MB a second.
	starts       map[Start]float64
	queue        float64
	upload       float64
}

const (
	// assumedExamples is of small images on a small machine.
	assumedExamples = 500
	// assumedStart is what it takes to load a framework and to build the first step.
	assumedStart = 20
	// Copies from this size on tell the throughput, smaller ones the time of copying nothing.
	tellingBytes = 100 * mb
)

// learn takes medians of the past jobs in the region, of those on the same data if there are any.
func (m *model) learn(prices *price.Table) speed {
	in := &m.in
	var past []PastJob
	for _, p := range in.Past {
		if p.Region == in.Region {
			past = append(past, p)
		}
	}
	s := speed{programStart: assumedStart, copyRate: m.times.FileMBPerSecond.Value}
	s.examples = m.learnExamples(past, prices)
	if start, n := median(past, func(p PastJob) (float64, bool) {
		ok := p.InstanceType == in.InstanceType && p.Examples > 0 && p.ExamplesPerSecond > 0 && p.TrainSeconds > 0
		return max(p.TrainSeconds-p.Examples/max(p.ExamplesPerSecond, 1e-9), 0), ok
	}); n > 0 {
		s.programStart = start
		m.assume("The program starts in %.1f s (median of %s).", start, jobs(n))
	} else if wholeTimesOnly(past) {
		s.programStart = 0
		m.assume("The program's start is part of its speed, for no past job tells the two apart.")
	} else {
		m.assume("The program starts in %d s (built in, an assumption).", assumedStart)
	}
	if queue, n := median(past, func(p PastJob) (float64, bool) {
		return p.QueueSeconds, p.InstanceType == in.InstanceType && p.Spot == in.Spot
	}); n > 0 {
		s.queue = queue
		m.assume("Waiting for a machine: %.1f s (median of %s).", queue, jobs(n))
	} else {
		queue := m.times.QueueSeconds
		if in.Spot {
			queue = m.times.SpotQueueSeconds
		}
		s.queue = queue.Value
		m.tell(queue.Source)
	}
	if upload, n := median(past, func(p PastJob) (float64, bool) { return p.UploadSeconds, p.UploadSeconds > 0 }); n > 0 {
		s.upload = upload
		m.assume("Saving the model takes %.1f s (median of %s).", upload, jobs(n))
	} else {
		s.upload = m.times.UploadStartSeconds.Value + modelBytes/mb/m.times.UploadMBPerSecond.Value
		m.tell(m.times.UploadStartSeconds.Source + ", " + m.times.UploadMBPerSecond.Source)
		m.assume("The model has %.0f MB (an assumption).", modelBytes/mb)
	}
	m.learnCopying(past, &s)
	return s
}

func (m *model) learnCopying(past []PastJob, s *speed) {
	if rate, n := median(past, func(p PastJob) (float64, bool) {
		return float64(p.DownloadBytes) / mb / max(p.DownloadSeconds, 1e-3), p.Start == "" && p.DownloadBytes >= tellingBytes && p.DownloadSeconds > 0
	}); n > 0 {
		s.copyRate = rate
		m.assume("File mode copies %.0f MB/s (median of %s).", rate, jobs(n))
	} else {
		m.tell(m.times.FileMBPerSecond.Source)
	}
	if start, n := median(past, func(p PastJob) (float64, bool) {
		return max(p.DownloadSeconds-float64(p.DownloadBytes)/mb/s.copyRate, 0), p.Start == "" && p.DownloadBytes > 0 && p.DownloadBytes < tellingBytes
	}); n > 0 {
		s.copyStart = start
		m.assume("Copying takes at least %.1f s (median of %s with little data).", start, jobs(n))
	}
	m.tell(m.times.FileSeconds.Source)
	m.learnStarts(past, s)
}

// learnExamples finds the speed of one instance: from jobs on this instance type and data, on this type, or on others by the ratio of prices.
func (m *model) learnExamples(past []PastJob, prices *price.Table) float64 {
	in := &m.in
	told := func(scale func(PastJob) float64) func(PastJob) (float64, bool) {
		return func(p PastJob) (float64, bool) {
			rate := p.ExamplesPerSecond
			if rate <= 0 && p.TrainSeconds > 0 {
				rate = p.Examples / p.TrainSeconds
			}
			rate *= scale(p) / float64(max(p.InstanceCount, 1))
			return rate, rate > 0
		}
	}
	sameType := func(p PastJob) float64 { return truth(p.InstanceType == in.InstanceType) }
	sameData := func(p PastJob) float64 {
		return sameType(p) * truth(in.DatasetName != "" && p.DatasetName == datasetOf(in.DatasetName))
	}
	if rate, n := median(past, told(sameData)); n > 0 {
		m.assume("An instance trains on %.0f examples a second (median of %s on the same data and instance type).", rate, jobs(n))
		return rate
	}
	if rate, n := median(past, told(sameType)); n > 0 {
		m.assume("An instance trains on %.0f examples a second (median of %s on the same instance type, with other data).", rate, jobs(n))
		return rate
	}
	byPrice := func(p PastJob) float64 {
		other := prices.Hourly(in.Region, p.InstanceType)
		if !m.hourly.Known || !other.Known || other.Amount <= 0 {
			return 0
		}
		return m.hourly.Amount / other.Amount
	}
	if rate, n := median(past, told(byPrice)); n > 0 {
		m.assume("An instance trains on %.0f examples a second (median of %s on other instance types, in the ratio of the prices; it may be several times more or less).", rate, jobs(n))
		return rate
	}
	m.assume("An instance trains on %d examples a second (built in, an assumption: no job has told yet, and it may be ten times more or less).", assumedExamples)
	return assumedExamples
}

// wholeTimesOnly tells that the speed comes from whole times of training, as no program told its own.
func wholeTimesOnly(past []PastJob) bool {
	return slices.ContainsFunc(past, func(p PastJob) bool { return p.Examples > 0 && p.TrainSeconds > 0 }) &&
		!slices.ContainsFunc(past, func(p PastJob) bool { return p.ExamplesPerSecond > 0 })
}

// learnStarts finds what passes before data that isn't copied can be read, and lists how fast it is read then.
func (m *model) learnStarts(past []PastJob, s *speed) {
	t := &m.times
	s.starts = map[Start]float64{}
	for _, way := range []struct {
		start   Start
		matters bool
		told    price.Figure
		rest    []price.Figure
	}{
		{Start(recipe.FastFile), slices.Contains(m.in.Modes, recipe.FastFile), t.FastFileStartSeconds, []price.Figure{t.FastFileMBPerSecond, t.FastFileSeconds}},
		{Start(recipe.Pipe), slices.Contains(m.in.Modes, recipe.Pipe), t.PipeStartSeconds, []price.Figure{t.PipeMBPerSecond}},
		{Start(price.EFS), m.in.HasBase, t.EFSStartSeconds, []price.Figure{t.EFSMBPerSecond}},
		{Start(price.FSxLustre), m.in.HasBase, t.LustreStartSeconds, []price.Figure{t.LustreMBPerSecondPerTiB}},
	} {
		s.starts[way.start] = way.told.Value
		seconds, n := median(past, func(p PastJob) (float64, bool) {
			copying := float64(p.DownloadBytes) / mb / s.copyRate
			if p.DownloadBytes > 0 {
				copying += s.copyStart
			}
			return max(p.DownloadSeconds-copying, 0), p.Start == way.start
		})
		if n > 0 {
			s.starts[way.start] = seconds
		}
		if !way.matters {
			continue
		}
		if n > 0 {
			m.assume("Data that is read by %s can be read after %.1f s (median of %s).", title(string(way.start)), seconds, jobs(n))
		} else {
			m.tell(way.told.Source)
		}
		for _, f := range way.rest {
			m.tell(f.Source)
		}
	}
	if m.in.HasBase {
		m.assume("From S3 base datasets are read in %s mode.", m.in.BaseMode)
	}
	m.assume("What isn't copied is read anew in each epoch, while training goes on.")
}

// title is the name that people know a storage or a mode by.
func title(name string) string {
	switch price.Storage(name) {
	case price.EFS:
		return "EFS"
	case price.FSxLustre:
		return "FSx for Lustre"
	}
	return name
}

// median is of the values that are to be counted, and says how many there are.
func median(past []PastJob, value func(PastJob) (float64, bool)) (float64, int) {
	var values []float64
	for _, p := range past {
		if v, ok := value(p); ok {
			values = append(values, v)
		}
	}
	if len(values) == 0 {
		return 0, 0
	}
	slices.Sort(values)
	half := len(values) / 2
	if len(values)%2 == 0 {
		return (values[half-1] + values[half]) / 2, len(values)
	}
	return values[half], len(values)
}

// datasetOf is the dataset of a version's name: all its versions are of one kind.
func datasetOf(version string) string {
	name, _, _ := strings.Cut(version, "/versions/")
	return name
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func jobs(n int) string {
	if n == 1 {
		return "1 past job"
	}
	return fmt.Sprintf("%d past jobs", n)
}

func capital(text string) string {
	first, width := utf8.DecodeRuneInString(text)
	if len(text) > 3 && text[:3] == "ml." { // An instance type is a name.
		return text
	}
	return string(unicode.ToUpper(first)) + text[width:]
}
