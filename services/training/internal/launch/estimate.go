package launch

import (
	"context"
	"strconv"

	ingestv1 "github.com/trainyard/trainyard/gen/trainyard/ingest/v1"
	"github.com/trainyard/trainyard/services/training/internal/basedataset"
	"github.com/trainyard/trainyard/services/training/internal/estimate"
	"github.com/trainyard/trainyard/services/training/price"
	"github.com/trainyard/trainyard/services/training/recipe"
	"github.com/trainyard/trainyard/services/training/region"
	"github.com/trainyard/trainyard/services/training/spec"
)

// Estimated is a plan with what each way of reading its data takes.
type Estimated struct {
	*Plan
	Input       estimate.Input
	Options     []estimate.Option
	Assumptions []string
}

// Estimate tells what a job would take. jobsPerMonth share the cost of a file system; 0 means 1. It fails as Create does where the job can't even be
// described.
func (l *Launcher) Estimate(ctx context.Context, project string, request Request, jobsPerMonth int32) (*Estimated, error) {
	p, err := l.plan(ctx, project, request, l.Config.Region)
	if err != nil {
		return nil, err
	}
	e := &Estimated{Plan: p, Input: p.expected}
	e.Input.JobsPerMonth = int(jobsPerMonth)
	e.Options, e.Assumptions = estimate.Estimate(e.Input, l.Prices)
	return e, nil
}

// pastJobs is how many of a program's newest jobs an estimate learns from.
const pastJobs = 50

// expect reckons with what the job takes, and chooses how its data is read where the user leaves that open.
func (l *Launcher) expect(ctx context.Context, p *Plan, described *spec.Job) error {
	j := p.Job
	in := estimate.Input{
		Region: j.Region, InstanceType: j.Resources.InstanceType, InstanceCount: int(j.Resources.InstanceCount), Spot: j.Resources.Spot,
		KeepAliveSeconds: float64(j.Resources.KeepAliveSeconds), MaxRuntimeSeconds: float64(j.Resources.MaxRuntimeSeconds),
		VolumeSizeGB: int64(j.Resources.VolumeSizeGB), Sharded: j.Resources.Sharded,
		Modes: []recipe.InputMode{spec.File, spec.FastFile, spec.Pipe}, Mode: described.InputModes[spec.TrainChannel],
		DatasetName: j.DatasetVersion, Unavailable: map[price.Storage]string{}, Epochs: epochs(p),
	}
	if p.Recipe != nil {
		in.Modes = p.Recipe.InputModes
		if mix, ok := j.Parameters[recipe.Mix].(float64); ok {
			in.Mix = &mix
		}
	}
	past, err := l.Jobs.Past(ctx, j.Project, j.Recipe, j.Image, pastJobs)
	if err != nil {
		return err
	}
	for _, earlier := range past {
		if told, ok := estimate.PastOf(earlier); ok {
			in.Past = append(in.Past, told)
		}
	}
	for i, v := range p.Versions {
		add(&in.Dataset, v, spec.TrainChannel)
		if i == 0 {
			add(&in.Dataset, v, spec.ValidationChannel)
		}
	}
	var most int64 = -1
	for _, b := range p.Bases {
		in.HasBase = true
		in.Base.Bytes += b.SizeBytes
		in.Base.Files += int64(b.FileCount)
		in.Base.Examples += int64(b.ExampleCount)
		if b.SizeBytes > most {
			most, in.BaseStorage = b.SizeBytes, price.Storage(b.Location.Storage)
		}
		if b.Location.Storage == basedataset.S3 {
			in.BaseMode = described.InputModes[b.ID]
		}
	}
	for storage, feature := range map[price.Storage]region.Feature{price.EFS: region.EFS, price.FSxLustre: region.FSxLustre} {
		if ok, why := l.Capabilities.Supports(j.Region, feature); !ok {
			in.Unavailable[storage] = why
		}
	}
	if in.Mode == "" {
		mode, reason := estimate.Advise(in, l.Prices)
		in.Mode = mode
		for _, channel := range datasetChannels(p) {
			if described.InputModes[channel] == "" {
				described.InputModes[channel] = mode
			}
		}
		if reason != "" {
			j.Notes = append(j.Notes, reason)
		}
	}
	options, _ := estimate.Estimate(in, l.Prices)
	if len(options) > 0 && options[0].Chosen {
		j.Estimate = options[0].Stored()
	}
	p.expected = in
	return nil
}

// datasetChannels are the channels of the user's versions.
func datasetChannels(p *Plan) []string {
	channels := []string{spec.TrainChannel, spec.ValidationChannel}
	for i := range p.Job.AdditionalVersions {
		channels = append(channels, spec.VersionChannel(i))
	}
	return channels
}

func add(d *estimate.Data, v *ingestv1.Version, split string) {
	for _, s := range v.GetSplits() {
		if s.GetName() == split {
			d.Bytes += s.GetSizeBytes()
			d.Files += int64(s.GetShardCount())
			d.Examples += int64(s.GetExampleCount())
		}
	}
}

// epochs is how often the job goes through its data; 0 where nobody said.
func epochs(p *Plan) float64 {
	if n, ok := p.Job.Parameters[recipe.Epochs].(float64); ok {
		return n
	}
	if p.Job.CustomImage != nil {
		if n, err := strconv.ParseFloat(p.Job.CustomImage.Hyperparameters[recipe.Epochs], 64); err == nil && n > 0 {
			return n
		}
	}
	return 0
}
