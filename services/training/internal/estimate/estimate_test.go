package estimate_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	trainingv1 "github.com/trainyard/trainyard/gen/trainyard/training/v1"
	"github.com/trainyard/trainyard/services/training/internal/estimate"
	"github.com/trainyard/trainyard/services/training/internal/job"
	"github.com/trainyard/trainyard/services/training/price"
	"github.com/trainyard/trainyard/services/training/recipe"
)

var every = []recipe.InputMode{recipe.File, recipe.FastFile, recipe.Pipe}

func TestFileModeTakesWhatAWSSays(t *testing.T) {
	for name, test := range map[string]struct {
		bytes, least, most int64
	}{
		"50 GB in shards of 100 MB, about 5 minutes": {50e9, 285, 315},
		"100 GB, about 600 s":                        {100e9, 570, 630},
		"1 TB, about 6,000 s":                        {1e12, 5700, 6300},
	} {
		in := example()
		in.Dataset = estimate.Data{Bytes: test.bytes, Files: test.bytes / 100e6, Examples: 1000}
		options, _ := estimate.Estimate(in, prices(t, ""))
		o := find(t, options, recipe.File, "")
		if got := int64(o.DownloadSeconds); got < test.least || got > test.most {
			t.Errorf("%s: %d s", name, got)
		}
		// All of it is billed, and none of the wait.
		if billed := o.DownloadSeconds + o.TrainSeconds + o.UploadSeconds; o.BilledSeconds != billed {
			t.Errorf("%s: %g billed seconds, want %g", name, o.BilledSeconds, billed)
		}
	}
}

func TestFiguresByHand(t *testing.T) {
	in := example()
	in.Mix = new(float64)
	*in.Mix = 0.5
	in.HasBase = true
	in.Base = estimate.Data{Bytes: 17e9, Files: 170, Examples: 100_000}
	in.Dataset = estimate.Data{Bytes: 1.7e9, Files: 17, Examples: 10_000}
	in.Epochs = 10
	in.BaseStorage = price.FSxLustre
	in.Mode = recipe.FastFile
	in.JobsPerMonth = 100
	options, _ := estimate.Estimate(in, prices(t, `
regions: {us-east-1: {instances: {ml.m5.xlarge: 3.6}}}
times: {queue_seconds: 100, upload_start_seconds: 8, efs_mb_per_second: 50}
`))
	// 10,000 of one's own and as many of the base an epoch: 200,000 in all, 500 a second, 20 s to start.
	const compute = 200_000/500.0 + 20
	// Of 17 GB in 100,000 examples 10 epochs read 100,000, all bytes once; own data is 1.7 GB, 10 times.
	const ownStream = 17e9/1e6/170 + 170*0.05 // 108.5 s.
	const baseStream = 17e9/1e6/170 + 170*0.05
	for name, test := range map[string]struct {
		mode     recipe.InputMode
		storage  price.Storage
		download float64
		train    float64
		month    float64
	}{
		"File, base streamed from S3":   {recipe.File, price.S3, 1.7e9/1e6/170 + 0.17 + 30, compute, 0},
		"FastFile, base from S3":        {recipe.FastFile, price.S3, 30, compute, 0},
		"FastFile, base from EFS":       {recipe.FastFile, price.EFS, 45, compute, 17e9 / (1 << 30) * 0.30},
		"FastFile, base from FSx":       {recipe.FastFile, price.FSxLustre, 45, compute, 1200 * 0.145},
		"Pipe, base from FSx (1.2 TiB)": {recipe.Pipe, price.FSxLustre, 45, compute, 174},
	} {
		if ownStream+baseStream > compute {
			t.Fatal("the example is to be bound by its computing")
		}
		o := find(t, options, test.mode, test.storage)
		near(t, name+": download", o.DownloadSeconds, test.download)
		near(t, name+": train", o.TrainSeconds, test.train)
		near(t, name+": upload", o.UploadSeconds, 8+2)
		near(t, name+": total", o.TotalSeconds(), 100+test.download+test.train+10)
		cost := (test.download + test.train + 10) * 0.001 // 3.6 an hour.
		near(t, name+": compute", o.ComputeCost, cost)
		near(t, name+": storage", o.StorageCostPerMonth, test.month)
		near(t, name+": a job", o.TotalCost, cost+test.month/100)
	}
}

func TestReadingSlowerThanComputing(t *testing.T) {
	in := example()
	in.HasBase = true
	in.Base = estimate.Data{Bytes: 1.2 * 1e12, Files: 1200, Examples: 1000} // Once an epoch, without a mix.
	in.Dataset = estimate.Data{Bytes: 1e9, Files: 1, Examples: 1000}
	in.Epochs = 2
	in.InstanceCount = 4
	options, _ := estimate.Estimate(in, prices(t, ""))
	// Each of four instances reads a quarter of 2.4 TB. 1.2 TB are 1117.6 GiB, so the least size is 1200 GiB: 146.5 MB/s for all.
	near(t, "FSx", find(t, options, recipe.File, price.FSxLustre).TrainSeconds, 20+2.4e6/(125*1200/1024.0))
	near(t, "EFS", find(t, options, recipe.File, price.EFS).TrainSeconds, 20+0.6e6/100)
	near(t, "S3", find(t, options, recipe.File, price.S3).TrainSeconds, 20+0.6e6/170+600*0.05)
	// Both come from S3 and share its throughput.
	near(t, "all of S3", find(t, options, recipe.FastFile, price.S3).TrainSeconds, 20+0.6e6/170+600*0.05+2e3/170+2*0.05)
	o := find(t, options, recipe.File, price.EFS)
	near(t, "billed", o.BilledSeconds, 4*(o.DownloadSeconds+o.TrainSeconds+o.UploadSeconds))
}

func TestBreakEven(t *testing.T) {
	in := example()
	in.HasBase = true
	in.Base = estimate.Data{Bytes: 100e9, Files: 1000, Examples: 1000}
	in.Dataset = estimate.Data{Bytes: 1e6, Files: 1, Examples: 1000}
	in.Epochs = 1
	in.BaseMode = recipe.File
	const file = `
regions: {us-east-1: {instances: {ml.m5.xlarge: 36}, storage: {efs: 0.3, fsx-lustre: 0.1}}}
times: {file_mb_per_second: 100, file_seconds_per_object: 0, efs_mb_per_second: 200, fsx_lustre_mb_per_second_per_tib: 1024, efs_start_seconds: 0, fsx_lustre_start_seconds: 0, upload_start_seconds: 0}
`
	// At 0.01 a second: 1000 s of copying against 100e3/200 = 500 s of reading from EFS, and 100e3/1200 = 83.3 s from FSx, the start of the
	// program and its 2000 examples (4 s) in each.
	s3 := 1000.0 + 20 + 4
	efs := 20 + 500.0
	fsx := 20 + 100e3/1200
	efsMonth := 100e9 / (1 << 30) * 0.3
	for jobs, cheapest := range map[int]price.Storage{
		5:      price.S3,  // 10.24 + … against 5.2 + 27.9/5 = 10.8.
		6:      price.EFS, // 5.2 + 4.7 = 9.9.
		100:    price.FSxLustre,
		10_000: price.FSxLustre,
	} {
		in.JobsPerMonth = jobs
		options, _ := estimate.Estimate(in, prices(t, file))
		i := slices.IndexFunc(options, func(o estimate.Option) bool { return o.Cheapest })
		if i < 0 || options[i].BaseStorage != cheapest {
			t.Errorf("with %d jobs a month the cheapest is %+v, want %s", jobs, options[i], cheapest)
		}
		// A millionth of a GB is copied, too: it shifts nothing.
		near(t, "EFS", find(t, options, recipe.File, price.EFS).BreakEvenJobsPerMonth, math.Ceil(efsMonth/((s3-efs)*0.01)))
		near(t, "FSx", find(t, options, recipe.File, price.FSxLustre).BreakEvenJobsPerMonth, math.Ceil(120/((s3-fsx)*0.01)))
		near(t, "S3", find(t, options, recipe.File, price.S3).BreakEvenJobsPerMonth, 0)
	}
	if got := math.Ceil(efsMonth / ((s3 - efs) * 0.01)); got != 6 {
		t.Errorf("EFS pays from %g jobs, want 6", got)
	}
}

func TestLustreSizes(t *testing.T) {
	const gib = 1 << 30
	for bytes, want := range map[int64]int64{
		0: 1200, 1: 1200, 1200 * gib: 1200, 1200*gib + 1: 2400, 2400 * gib: 2400, 2400*gib + 1: 4800, 4801 * gib: 7200, -1: 1200,
	} {
		if got := estimate.LustreGiB(bytes); got != want {
			t.Errorf("%d bytes: %d GiB, want %d", bytes, got, want)
		}
	}
}

func TestUnknownPriceLeavesTime(t *testing.T) {
	in := example()
	in.InstanceType = "ml.unheard.large"
	options, assumptions := estimate.Estimate(in, prices(t, ""))
	for _, o := range options {
		if o.Currency != "" || o.ComputeCost != 0 || o.TotalCost != 0 || o.Cheapest || o.BreakEvenJobsPerMonth != 0 {
			t.Errorf("money without a price: %+v", o)
		}
		if o.TotalSeconds() <= 0 {
			t.Errorf("no time: %+v", o)
		}
	}
	if !says(assumptions, "no price is known") || !slices.ContainsFunc(options, func(o estimate.Option) bool { return o.Fastest }) {
		t.Errorf("%q", assumptions)
	}
}

func TestChina(t *testing.T) {
	in := example()
	in.Region = "cn-north-1"
	in.HasBase, in.BaseStorage = true, price.EFS
	in.Base = estimate.Data{Bytes: 10e9, Files: 10, Examples: 1000}
	in.Unavailable = map[price.Storage]string{price.FSxLustre: "FSx for Lustre is currently not supported in the region cn-north-1 for SageMaker"}
	options, _ := estimate.Estimate(in, prices(t, "regions: {cn-north-1: {instances: {ml.m5.xlarge: 2.1}, storage: {efs: 2.4}}}"))
	for _, o := range options {
		switch o.BaseStorage {
		case price.FSxLustre:
			if !strings.Contains(o.Impossible, "not supported in the region cn-north-1") || o.Cheapest || o.Fastest {
				t.Errorf("FSx: %+v", o)
			}
		case price.EFS:
			if o.Currency != "CNY" || o.StorageCostPerMonth <= 0 || o.Impossible != "" && o.Mode != recipe.Pipe {
				t.Errorf("EFS: %+v", o)
			}
		case price.S3:
			if o.Currency != "CNY" || o.StorageCostPerMonth != 0 {
				t.Errorf("S3: %+v", o)
			}
		}
	}
	if !options[0].Chosen || options[0].BaseStorage != price.EFS {
		t.Errorf("first is %+v, want the job as given", options[0])
	}
}

func TestWhatIsImpossible(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*estimate.Input)
		mode   recipe.InputMode
		reason string
	}{
		"a mode that the program doesn't read": {func(in *estimate.Input) { in.Modes = every[:2] }, recipe.Pipe, "doesn't read Pipe"},
		"more than the disk asked for":         {func(in *estimate.Input) { in.VolumeSizeGB = 40; in.Dataset.Bytes = 41e9 }, recipe.File, "41 GB would be copied to a disk of 40 GB"},
		"more than any disk":                   {func(in *estimate.Input) { in.Dataset.Bytes = 17e12 }, recipe.File, "the largest disk has 16384 GB"},
		"sharded it fits":                      {func(in *estimate.Input) { in.Dataset.Bytes = 17e12; in.Sharded, in.InstanceCount = true, 2 }, recipe.File, ""},
		"streamed it fits":                     {func(in *estimate.Input) { in.Dataset.Bytes = 17e12; in.VolumeSizeGB = 40 }, recipe.FastFile, ""},
	} {
		in := example()
		test.change(&in)
		options, _ := estimate.Estimate(in, prices(t, ""))
		if got := find(t, options, test.mode, "").Impossible; got != test.reason && (test.reason == "" || !strings.Contains(got, test.reason)) {
			t.Errorf("%s: %q, want %q", name, got, test.reason)
		}
	}
}

func TestAdvice(t *testing.T) {
	for name, test := range map[string]struct {
		data   estimate.Data
		epochs float64
		modes  []recipe.InputMode
		want   recipe.InputMode
	}{
		"small data is copied":                          {estimate.Data{Bytes: 20e6, Files: 4, Examples: 60_000}, 5, every, recipe.File},
		"much data read once is streamed":               {estimate.Data{Bytes: 1e12, Files: 10_000, Examples: 1e6}, 1, every[:2], recipe.FastFile},
		"much data read often is copied":                {estimate.Data{Bytes: 100e9, Files: 1000, Examples: 1e5}, 50, every, recipe.File},
		"streaming behind the computing costs nothing":  {estimate.Data{Bytes: 100e9, Files: 1000, Examples: 1e8}, 2, every, recipe.FastFile},
		"many small objects are a reason to have pipes": {estimate.Data{Bytes: 1e9, Files: 1e6, Examples: 1e6}, 1, every, recipe.Pipe},
		"a program that reads pipes alone":              {estimate.Data{Bytes: 20e6, Files: 4, Examples: 60_000}, 5, every[2:], recipe.Pipe},
		"more than a disk holds":                        {estimate.Data{Bytes: 20e12, Files: 1e5, Examples: 1e6}, 100, every[:2], recipe.FastFile},
	} {
		in := example()
		in.Dataset, in.Epochs, in.Modes = test.data, test.epochs, test.modes
		got, reason := estimate.Advise(in, prices(t, ""))
		if got != test.want || !strings.Contains(reason, string(got)) {
			t.Errorf("%s: %s (%s), want %s", name, got, reason, test.want)
		}
		in.Mode = "" // Which is what the job as given is then.
		options, _ := estimate.Estimate(in, prices(t, ""))
		if !options[0].Chosen || options[0].Mode != test.want {
			t.Errorf("%s: chosen is %+v", name, options[0])
		}
	}
}

func TestPastJobsTeach(t *testing.T) {
	in := example()
	in.DatasetName = "datasets/d/versions/3"
	past := estimate.PastJob{
		Region: in.Region, InstanceType: in.InstanceType, InstanceCount: 1, DatasetName: "datasets/d", Examples: 10_000, ExamplesPerSecond: 2000,
		QueueSeconds: 7, DownloadSeconds: 4, DownloadBytes: 400e6, TrainSeconds: 9, UploadSeconds: 3,
	}
	elsewhere := past
	elsewhere.Region, elsewhere.QueueSeconds = "eu-west-1", 1000
	other := past
	other.DatasetName, other.ExamplesPerSecond = "datasets/other", 50
	in.Past = []estimate.PastJob{other, past, elsewhere}
	in.Dataset = estimate.Data{Bytes: 1e9, Files: 0, Examples: 20_000}
	in.Epochs = 2
	options, assumptions := estimate.Estimate(in, prices(t, ""))
	o := find(t, options, recipe.File, "")
	near(t, "queue", o.QueueSeconds, 7)
	near(t, "download", o.DownloadSeconds, 10) // 100 MB/s.
	near(t, "train", o.TrainSeconds, 2+40_000/2000.0)
	near(t, "upload", o.UploadSeconds, 3)
	if !says(assumptions, "on the same data") {
		t.Errorf("%q", assumptions)
	}

	// On a machine of twice the price, twice the speed is expected.
	in.Past = []estimate.PastJob{past}
	in.InstanceType = "ml.m5.2xlarge"
	options, assumptions = estimate.Estimate(in, prices(t, "regions: {us-east-1: {instances: {ml.m5.2xlarge: 0.46}}}"))
	near(t, "train", find(t, options, recipe.File, "").TrainSeconds, 20+40_000/4000.0)
	if !says(assumptions, "in the ratio of the prices") {
		t.Errorf("%q", assumptions)
	}
}

// A program that doesn't tell its speed tells how long it ran: its start is in that, and not to be added once more.
func TestPastJobsWithoutASpeedTeach(t *testing.T) {
	in := example()
	in.Dataset = estimate.Data{Bytes: 1e6, Files: 1, Examples: 3000}
	in.Epochs = 1
	in.Past = []estimate.PastJob{{Region: in.Region, InstanceType: in.InstanceType, InstanceCount: 1, Examples: 1000, TrainSeconds: 4}}
	options, assumptions := estimate.Estimate(in, prices(t, ""))
	near(t, "train", find(t, options, recipe.File, "").TrainSeconds, 12)
	if !says(assumptions, "start is part of its speed") {
		t.Errorf("%q", assumptions)
	}
}

func TestPastJobsTellHowLongStartsTake(t *testing.T) {
	in := example()
	in.HasBase, in.BaseStorage = true, price.EFS
	in.Base = estimate.Data{Bytes: 1e6, Files: 1, Examples: 1000}
	in.Dataset.Files = 0
	past := func(start estimate.Start, bytes int64, seconds float64) estimate.PastJob {
		return estimate.PastJob{Region: in.Region, InstanceType: in.InstanceType, Start: start, DownloadBytes: bytes, DownloadSeconds: seconds}
	}
	// Copying little takes 2 s, and of the 12 s with a mount 10 are left for that.
	in.Past = []estimate.PastJob{past("", 1, 2), past(estimate.Start(price.EFS), 1, 12), past(estimate.Start(recipe.FastFile), 0, 3)}
	options, assumptions := estimate.Estimate(in, prices(t, "times: {file_mb_per_second: 100}"))
	near(t, "File and EFS", find(t, options, recipe.File, price.EFS).DownloadSeconds, 2+10+10)
	near(t, "FastFile and EFS", find(t, options, recipe.FastFile, price.EFS).DownloadSeconds, 10)
	near(t, "FastFile alone", find(t, options, recipe.FastFile, price.S3).DownloadSeconds, 3)
	near(t, "FSx, which none had", find(t, options, recipe.FastFile, price.FSxLustre).DownloadSeconds, 45)
	if !says(assumptions, "by EFS can be read after 10.0 s (median of 1 past job)") || !says(assumptions, "EFS in us-east-1: 0.3 USD") {
		t.Errorf("%q", assumptions)
	}
}

func TestPastOfAJob(t *testing.T) {
	second := func(n int64) int64 { return n * 1e6 }
	j := &job.Job{
		State: job.Succeeded, Region: "us-east-1", DatasetVersion: "datasets/d/versions/1", EndTime: second(100), Epoch: 5,
		Resources: job.Resources{InstanceType: "ml.m5.xlarge"}, Parameters: recipe.Values{"epochs": 10.0},
		Metrics:  map[string]float64{"progress:examples_per_second": 123},
		Estimate: &job.Estimate{InputMode: "File", Examples: 1000, DownloadBytes: 5},
		Transitions: []job.Transition{
			{Status: "Starting", Start: second(10), End: second(20)},
			{Status: "Pending", Start: second(20), End: second(25)},
			{Status: "Downloading", Start: second(25), End: second(30)},
			{Status: "Training", Start: second(30), End: second(90)},
			{Status: "Uploading", Start: second(90), End: second(100)},
		},
	}
	got, ok := estimate.PastOf(j)
	want := estimate.PastJob{
		Region: "us-east-1", InstanceType: "ml.m5.xlarge", InstanceCount: 1, DatasetName: "datasets/d", Examples: 500, ExamplesPerSecond: 123,
		QueueSeconds: 15, DownloadSeconds: 5, DownloadBytes: 5, TrainSeconds: 60, UploadSeconds: 10,
	}
	if !ok || got != want {
		t.Errorf("%+v, %v; want %+v", got, ok, want)
	}
	for _, test := range []struct {
		mode, storage, base string
		want                estimate.Start
	}{
		{"File", "", "", ""},
		{"FastFile", "", "", "FastFile"},
		{"FastFile", "fsx-lustre", "", "fsx-lustre"},
		{"File", "efs", "", "efs"},
		{"File", "s3", "", "FastFile"},
		{"File", "s3", "File", ""},
		{"File", "s3", "Pipe", "Pipe"},
	} {
		j.BaseDatasets, j.InputModes = []string{"b"}, map[string]string{"b": test.base}
		j.Estimate.InputMode, j.Estimate.BaseStorage = test.mode, test.storage
		if got, _ := estimate.PastOf(j); got.Start != test.want {
			t.Errorf("%+v: %q", test, got.Start)
		}
	}
	j.Transitions[2].Status = "Interrupted"
	if _, ok := estimate.PastOf(j); ok {
		t.Error("an interrupted job teaches")
	}
	j.Transitions[2].Status, j.State = "Downloading", job.Failed
	if _, ok := estimate.PastOf(j); ok {
		t.Error("a failed job teaches")
	}
}

func TestSpotKeepAliveAndRuntimeAreSaid(t *testing.T) {
	in := example()
	in.MaxRuntimeSeconds, in.Epochs = 60, 1000
	plain, assumptions := estimate.Estimate(in, prices(t, ""))
	if !says(assumptions, "raise max_runtime_seconds") {
		t.Errorf("%q", assumptions)
	}
	in.KeepAliveSeconds, in.InstanceCount = 3600, 1
	warm, assumptions := estimate.Estimate(in, prices(t, ""))
	near(t, "an hour kept", warm[0].ComputeCost-plain[0].ComputeCost, 0.23)
	near(t, "billed seconds of the job itself", warm[0].BilledSeconds, plain[0].BilledSeconds)
	if !says(assumptions, "is kept for 3600 s") {
		t.Errorf("%q", assumptions)
	}
	in.KeepAliveSeconds, in.Spot = 0, true
	spot, assumptions := estimate.Estimate(in, prices(t, ""))
	near(t, "spot", spot[0].ComputeCost, 0.35*plain[0].ComputeCost)
	near(t, "billed seconds on spot", spot[0].BilledSeconds, 0.35*plain[0].BilledSeconds)
	if !says(assumptions, "0.35 of the price on demand") || !says(assumptions, "interruptions") {
		t.Errorf("%q", assumptions)
	}
}

func TestMoreIsNeverCheaper(t *testing.T) {
	table := prices(t, "")
	rapid.Check(t, func(t *rapid.T) {
		in := example()
		in.Dataset = data(t, "dataset")
		in.Epochs = float64(rapid.IntRange(1, 100).Draw(t, "epochs"))
		in.InstanceCount = rapid.IntRange(1, 8).Draw(t, "instances")
		in.Sharded = rapid.Bool().Draw(t, "sharded")
		in.Spot = rapid.Bool().Draw(t, "spot")
		in.Mode = rapid.SampledFrom(every).Draw(t, "mode")
		if in.HasBase = rapid.Bool().Draw(t, "has base"); in.HasBase {
			// Nothing is left to guess: examples that are guessed from the user's bytes become fewer as those become more.
			in.Base = data(t, "base")
			in.Base.Bytes++
			in.Base.Examples++
			in.BaseMode = rapid.SampledFrom(every).Draw(t, "base mode")
			if rapid.Bool().Draw(t, "mixed") {
				mix := rapid.Float64Range(0, 1).Draw(t, "mix")
				in.Mix = &mix
			}
		}
		more := in
		switch rapid.IntRange(0, 3).Draw(t, "what grows") {
		case 0:
			more.Dataset.Bytes += rapid.Int64Range(0, 1e12).Draw(t, "bytes")
		case 1:
			more.Dataset.Files += rapid.Int64Range(0, 1e6).Draw(t, "files")
		case 2:
			more.Epochs += float64(rapid.IntRange(0, 100).Draw(t, "more epochs"))
		case 3:
			more.KeepAliveSeconds += 600
		}
		less, _ := estimate.Estimate(in, table)
		grown, _ := estimate.Estimate(more, table)
		for _, o := range less {
			g := search(grown, o.Mode, o.BaseStorage)
			const tolerance = 1 - 1e-9
			if g.TotalCost < tolerance*o.TotalCost || g.TotalSeconds() < tolerance*o.TotalSeconds() || g.StorageCostPerMonth < tolerance*o.StorageCostPerMonth {
				t.Fatalf("%+v\nis more than\n%+v", o, g)
			}
		}
	})
}

func TestOptionsAreConsistent(t *testing.T) {
	table := prices(t, "")
	rapid.Check(t, func(t *rapid.T) {
		in := example()
		in.Dataset = data(t, "dataset")
		in.HasBase = rapid.Bool().Draw(t, "has base")
		in.Base = data(t, "base")
		in.Modes = every[:rapid.IntRange(1, 3).Draw(t, "modes")]
		in.JobsPerMonth = rapid.IntRange(0, 1000).Draw(t, "jobs")
		options, assumptions := estimate.Estimate(in, table)
		again, _ := estimate.Estimate(in, table)
		if !slices.Equal(options, again) {
			t.Fatal("twice the same gives two answers")
		}
		marked := [3]int{}
		for i, o := range options {
			for j, set := range []bool{o.Cheapest, o.Fastest, o.Chosen} {
				if set {
					marked[j]++
				}
			}
			for _, v := range []float64{o.QueueSeconds, o.DownloadSeconds, o.TrainSeconds, o.UploadSeconds, o.BilledSeconds, o.TotalCost, o.BreakEvenJobsPerMonth} {
				if math.IsNaN(v) || math.IsInf(v, 0) || v < 0 {
					t.Fatalf("%+v", o)
				}
			}
			if o.Impossible == "" && i > 1 && options[i-1].Impossible != "" {
				t.Fatal("impossible options don't stand last")
			}
			if !o.Cheapest && o.Impossible == "" && slices.ContainsFunc(options, func(c estimate.Option) bool { return c.Cheapest && c.TotalCost > o.TotalCost }) {
				t.Fatalf("cheaper than the cheapest: %+v", o)
			}
		}
		if !options[0].Chosen || marked != [3]int{1, 1, 1} || len(assumptions) == 0 {
			t.Fatalf("marks %v, first %+v", marked, options[0])
		}
	})
}

func TestForms(t *testing.T) {
	o := estimate.Option{
		Mode: recipe.FastFile, BaseStorage: price.FSxLustre, InstanceType: "ml.m5.xlarge", InstanceCount: 2, QueueSeconds: 1, DownloadSeconds: 2,
		TrainSeconds: 3, UploadSeconds: 4, BilledSeconds: 18, ComputeCost: 5, StorageCostPerMonth: 6, TotalCost: 7, Currency: "USD", Examples: 8, DownloadBytes: 9,
		Fastest: true,
	}
	p := o.Proto()
	if p.GetInputMode() != trainingv1.InputMode_FAST_FILE || p.GetBaseStorage() != trainingv1.BaseDataset_FSX_LUSTRE || p.GetTotalSeconds() != 10 || !p.GetFastest() || p.GetInstanceCount() != 2 {
		t.Errorf("%v", p)
	}
	want := job.Estimate{
		InputMode: "FastFile", BaseStorage: "fsx-lustre", QueueSeconds: 1, DownloadSeconds: 2, TrainSeconds: 3, UploadSeconds: 4, BilledSeconds: 18,
		ComputeCost: 5, StorageCostPerMonth: 6, TotalCost: 7, Currency: "USD", Examples: 8, DownloadBytes: 9,
	}
	if got := *o.Stored(); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func example() estimate.Input {
	return estimate.Input{
		Region: "us-east-1", InstanceType: "ml.m5.xlarge", Dataset: estimate.Data{Bytes: 1e9, Files: 10, Examples: 10_000}, Epochs: 1, Modes: every,
	}
}

func data(t *rapid.T, name string) estimate.Data {
	return estimate.Data{
		Bytes: rapid.Int64Range(0, 5e12).Draw(t, name+" bytes"), Files: rapid.Int64Range(0, 1e6).Draw(t, name+" files"),
		Examples: rapid.Int64Range(0, 1e9).Draw(t, name+" examples"),
	}
}

func prices(t *testing.T, file string) *price.Table {
	t.Helper()
	table, err := price.Parse([]byte(file))
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func find(t *testing.T, options []estimate.Option, mode recipe.InputMode, storage price.Storage) estimate.Option {
	t.Helper()
	o := search(options, mode, storage)
	if o.Mode == "" {
		t.Fatalf("no option for %s and %q", mode, storage)
	}
	return o
}

func search(options []estimate.Option, mode recipe.InputMode, storage price.Storage) estimate.Option {
	for _, o := range options {
		if o.Mode == mode && o.BaseStorage == storage {
			return o
		}
	}
	return estimate.Option{}
}

func says(assumptions []string, part string) bool {
	return slices.ContainsFunc(assumptions, func(a string) bool { return strings.Contains(a, part) })
}

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 1e-6*max(math.Abs(want), 1) {
		t.Errorf("%s is %g, want %g", what, got, want)
	}
}
