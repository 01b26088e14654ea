package estimate

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/trainyard/trainyard/services/training/price"
	"github.com/trainyard/trainyard/services/training/recipe"
	"github.com/trainyard/trainyard/services/training/spec"
)

const (
	mb  = 1e6
	gb  = 1e9
	gib = 1 << 30
)

// modelBytes is a guess at the artifact's size, where no job of the recipe has told.
const modelBytes = 100 * mb

// model reckons options of one input.
type model struct {
	in       Input
	times    price.Times
	hourly   price.Money
	storage  map[price.Storage]price.Money
	currency string
	// factor is the share of the used seconds that is billed: SageMaker puts the discount of spot instances into the seconds.
	factor float64
	speed  speed
	// examples are trained on in all, and baseBytes read of the base datasets by one instance, over all epochs.
	examples    float64
	baseRead    float64
	epochs      float64
	perInstance float64 // The part of the user's data that one instance reads.
	assumptions []string
}

func newModel(in Input, prices *price.Table) *model {
	m := &model{
		in: in, times: prices.Times(), hourly: prices.Hourly(in.Region, in.InstanceType), currency: prices.Currency(in.Region), factor: 1,
		storage: map[price.Storage]price.Money{}, perInstance: 1,
	}
	m.tell(m.hourly.Source)
	if !m.hourly.Known {
		m.assume("Without it the options are compared by time alone.")
	}
	if in.Spot {
		share := prices.SpotShare(in.Region)
		m.factor = share.Value
		m.tell(share.Source)
		m.assume("Spot interruptions, whose time since the last checkpoint is trained again, are not reckoned.")
	}
	if in.InstanceCount > 1 {
		m.assume("%d instances share the examples evenly.", in.InstanceCount)
		if in.Sharded {
			m.perInstance = 1 / float64(in.InstanceCount)
		}
	}
	if in.KeepAliveSeconds > 0 {
		m.assume("The machine is kept for %.0f s after the job; the cost has all of them.", in.KeepAliveSeconds)
	}
	m.work()
	m.speed = m.learn(prices)
	if in.HasBase {
		for _, s := range []price.Storage{price.EFS, price.FSxLustre} {
			m.storage[s] = prices.StoragePerGBMonth(in.Region, s)
			m.tell(title(string(s)) + strings.TrimPrefix(m.storage[s].Source, string(s)))
		}
		m.assume("FSx for Lustre has the least size that holds the base datasets: %d GiB, of 1200, 2400 and multiples of that; a GB is billed as 2³⁰ bytes.", LustreGiB(m.in.Base.Bytes))
		m.assume("Copying base datasets to a file system takes time once, which is not reckoned.")
	}
	return m
}

func (m *model) assume(format string, args ...any) {
	m.assumptions = append(m.assumptions, fmt.Sprintf(format, args...))
}

// tell makes a sentence of a price's or a figure's source.
func (m *model) tell(source string) {
	m.assumptions = append(m.assumptions, capital(source)+".")
}

// work finds how much is trained on and read.
func (m *model) work() {
	in := &m.in
	m.epochs = in.Epochs
	if m.epochs <= 0 {
		m.epochs = 1
		m.assume("How often the program goes through the data isn't known: once is assumed.")
	}
	own, base := float64(in.Dataset.Examples), 0.0
	perExample := 0.0
	if own > 0 {
		perExample = float64(in.Dataset.Bytes) / own
	}
	if in.HasBase {
		if in.Base.Examples == 0 && in.Base.Bytes > 0 && perExample > 0 {
			in.Base.Examples = whole(float64(in.Base.Bytes) / perExample)
			m.assume("How many examples the base datasets hold isn't known: as many as the user's take in their bytes, %d.", in.Base.Examples)
		}
		if in.Base.Bytes == 0 {
			in.Base.Bytes = whole(float64(in.Base.Examples) * perExample)
			m.assume("How many bytes the base datasets hold isn't known: %d is assumed, from their examples and the user's.", in.Base.Bytes)
		}
		base = m.baseExamples(own)
		if in.Mix != nil && *in.Mix >= 1 {
			own = 0
		}
		if in.Base.Examples > 0 {
			perExample = float64(in.Base.Bytes) / float64(in.Base.Examples)
		}
		m.baseRead = base * m.epochs * perExample / float64(in.InstanceCount)
	}
	m.examples = (own + base) * m.epochs
}

// whole cuts a guess to what can be counted on with.
func whole(guess float64) int64 { return int64(min(guess, 1e18)) }

// baseExamples are those of the base datasets in an epoch, which is as long as it takes to go once through the user's.
func (m *model) baseExamples(own float64) float64 {
	if m.in.Mix == nil || *m.in.Mix >= 1 {
		return float64(m.in.Base.Examples)
	}
	return own * *m.in.Mix / (1 - *m.in.Mix)
}

// option reckons one way of reading.
func (m *model) option(mode recipe.InputMode, place price.Storage) Option {
	in := &m.in
	o := Option{
		Mode: mode, BaseStorage: place, InstanceType: in.InstanceType, InstanceCount: in.InstanceCount, QueueSeconds: m.speed.queue,
		UploadSeconds: m.speed.upload, Examples: m.examples,
	}
	own := m.perInstance * float64(in.Dataset.Bytes)
	ownFiles := m.perInstance * float64(in.Dataset.Files)
	// What S3 sends while training goes on, in seconds, and what a file system does beside it.
	streaming, mounted, start := 0.0, 0.0, 0.0
	copied, copiedFiles := 0.0, 0.0
	read := func(mode recipe.InputMode, all, allFiles, bytes, files float64) {
		switch mode {
		case recipe.FastFile:
			streaming += bytes/mb/m.times.FastFileMBPerSecond.Value + files*m.times.FastFileSeconds.Value
			start = max(start, m.speed.starts[Start(mode)])
		case recipe.Pipe:
			streaming += bytes / mb / m.times.PipeMBPerSecond.Value
			start = max(start, m.speed.starts[Start(mode)])
		default:
			copied += all
			copiedFiles += allFiles
		}
	}
	read(mode, own, ownFiles, own*m.epochs, ownFiles*m.epochs)
	switch place {
	case price.S3:
		files := 0.0
		if in.Base.Bytes > 0 {
			files = float64(in.Base.Files) * m.baseRead / float64(in.Base.Bytes)
		}
		read(in.BaseMode, float64(in.Base.Bytes), float64(in.Base.Files), m.baseRead, files)
	case price.EFS:
		mounted = m.baseRead / mb / m.times.EFSMBPerSecond.Value
		start = max(start, m.speed.starts[Start(place)])
	case price.FSxLustre:
		// Instances share the file system's throughput.
		rate := m.times.LustreMBPerSecondPerTiB.Value * float64(LustreGiB(in.Base.Bytes)) / 1024 / float64(in.InstanceCount)
		mounted = m.baseRead / mb / rate
		start = max(start, m.speed.starts[Start(place)])
	}
	if copied > 0 {
		o.DownloadBytes = int64(copied)
		o.DownloadSeconds = m.speed.copyStart + copied/mb/m.speed.copyRate + copiedFiles*m.times.FileSeconds.Value
	}
	o.DownloadSeconds += start
	compute := m.examples / (m.speed.examples * float64(in.InstanceCount))
	o.TrainSeconds = m.speed.programStart + max(compute, streaming, mounted)
	o.BilledSeconds = (o.DownloadSeconds + o.TrainSeconds + o.UploadSeconds) * float64(in.InstanceCount) * m.factor
	m.charge(&o)
	o.Impossible = m.impossible(&o, copied)
	return o
}

// charge puts the money in, if all prices are known.
func (m *model) charge(o *Option) {
	storage := price.Money{Known: true}
	gbs := 0.0
	switch o.BaseStorage {
	case price.EFS:
		storage, gbs = m.storage[price.EFS], float64(m.in.Base.Bytes)/gib
	case price.FSxLustre:
		storage, gbs = m.storage[price.FSxLustre], float64(LustreGiB(m.in.Base.Bytes))
	}
	if !m.hourly.Known || !storage.Known {
		return
	}
	warm := m.in.KeepAliveSeconds * float64(m.in.InstanceCount)
	o.Currency = m.currency
	o.ComputeCost = (o.BilledSeconds + warm) / 3600 * m.hourly.Amount
	o.StorageCostPerMonth = gbs * storage.Amount
	o.TotalCost = o.ComputeCost + o.StorageCostPerMonth/float64(m.in.JobsPerMonth)
}

func (m *model) impossible(o *Option, copied float64) string {
	if !slices.Contains(m.in.Modes, o.Mode) {
		return fmt.Sprintf("the training program doesn't read %s mode", o.Mode)
	}
	if reason := m.in.Unavailable[o.BaseStorage]; reason != "" {
		return reason
	}
	if disk := float64(m.in.VolumeSizeGB) * gb; disk > 0 && copied > disk {
		return fmt.Sprintf("%.0f GB would be copied to a disk of %d GB: give it more (volume_size_gb)", math.Ceil(copied/gb), m.in.VolumeSizeGB)
	}
	if copied > spec.MaxVolumeGB*gb {
		return fmt.Sprintf("%.0f GB would be copied and the largest disk has %d GB", math.Ceil(copied/gb), spec.MaxVolumeGB)
	}
	return ""
}

// LustreGiB is the least size of an FSx for Lustre file system that holds so many bytes: 1200, 2400, or a multiple of 2400 GiB (AWS.md).
func LustreGiB(bytes int64) int64 {
	const step = 2400
	needed := (max(bytes, 0) + gib - 1) / gib
	if needed <= step/2 {
		return step / 2
	}
	return (needed + step - 1) / step * step
}
