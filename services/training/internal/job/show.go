package job

import (
	trainingv1 "github.com/trainyard/trainyard/gen/trainyard/training/v1"
)

// The parts of a job as the API shows them.

func (r Resources) proto() *trainingv1.Resources {
	p := &trainingv1.Resources{
		InstanceType:      r.InstanceType,
		InstanceCount:     r.InstanceCount,
		VolumeSizeGb:      r.VolumeSizeGB,
		MaxRuntimeSeconds: r.MaxRuntimeSeconds,
		Spot:              r.Spot,
		MaxWaitSeconds:    r.MaxWaitSeconds,
		KeepAliveSeconds:  r.KeepAliveSeconds,
		MaxRetries:        r.MaxRetries,
		NetworkIsolation:  r.NetworkIsolation,
		InVpc:             r.InVPC,
		EncryptTraffic:    r.EncryptTraffic,
		VolumeKmsKey:      r.VolumeKMSKey,
		OutputKmsKey:      r.OutputKMSKey,
		Distribution:      trainingv1.Resources_FULL_COPY,
	}
	if r.Sharded {
		p.Distribution = trainingv1.Resources_SHARDED
	}
	return p
}

func (c *CustomImage) proto() *trainingv1.CustomImage {
	if c == nil {
		return nil
	}
	p := &trainingv1.CustomImage{
		Image: c.Image, Entrypoint: c.Entrypoint, Arguments: c.Arguments, Environment: c.Environment, Hyperparameters: c.Hyperparameters,
	}
	for _, m := range c.MetricDefinitions {
		p.MetricDefinitions = append(p.MetricDefinitions, &trainingv1.MetricDefinition{Name: m.Name, Regex: m.Regex})
	}
	return p
}

func versionNames(versions []PinnedVersion) []string {
	names := make([]string, len(versions))
	for i, v := range versions {
		names[i] = v.Name
	}
	return names
}

var storages = map[string]trainingv1.BaseDataset_Storage{
	"s3": trainingv1.BaseDataset_S3, "efs": trainingv1.BaseDataset_EFS, "fsx-lustre": trainingv1.BaseDataset_FSX_LUSTRE,
}

var modes = map[string]trainingv1.InputMode{
	"File": trainingv1.InputMode_FILE, "FastFile": trainingv1.InputMode_FAST_FILE, "Pipe": trainingv1.InputMode_PIPE,
}

func inputModes(byChannel map[string]string) map[string]trainingv1.InputMode {
	shown := make(map[string]trainingv1.InputMode, len(byChannel))
	for channel, mode := range byChannel {
		shown[channel] = modes[mode]
	}
	return shown
}

func resolvedBases(bases []ResolvedBase) []*trainingv1.ResolvedBaseDataset {
	shown := make([]*trainingv1.ResolvedBaseDataset, len(bases))
	for i, b := range bases {
		shown[i] = &trainingv1.ResolvedBaseDataset{
			BaseDataset: BaseDatasetName(b.ID),
			Location: &trainingv1.BaseDatasetLocation{
				Region: b.Region, Storage: storages[b.Storage], Uri: b.URI, FileSystemId: b.FileSystemID, Path: b.Path, MountName: b.MountName,
			},
			ManifestSha256: b.ManifestSHA256,
		}
	}
	return shown
}

// ChecksProto is results of preflight as the API shows them.
func ChecksProto(results []CheckResult) []*trainingv1.CheckResult {
	shown := make([]*trainingv1.CheckResult, len(results))
	for i, c := range results {
		shown[i] = &trainingv1.CheckResult{
			Check: c.Check, Title: c.Title, Status: trainingv1.CheckResult_Status(trainingv1.CheckResult_Status_value[c.Status]),
			Seen: c.Seen, Prevents: c.Prevents, Mend: c.Mend, Snippet: c.Snippet, Overridden: c.Overridden, Seconds: c.Seconds,
		}
	}
	return shown
}

// estimateProto is what was expected of the job, as it was chosen.
func (j *Job) estimateProto() *trainingv1.Estimate {
	e := j.Estimate
	if e == nil {
		return nil
	}
	return &trainingv1.Estimate{
		InputMode: modes[e.InputMode], BaseStorage: storages[e.BaseStorage],
		InstanceType: j.Resources.InstanceType, InstanceCount: j.Resources.InstanceCount,
		QueueSeconds: e.QueueSeconds, DownloadSeconds: e.DownloadSeconds, TrainSeconds: e.TrainSeconds, UploadSeconds: e.UploadSeconds,
		TotalSeconds:  e.QueueSeconds + e.DownloadSeconds + e.TrainSeconds + e.UploadSeconds,
		BilledSeconds: e.BilledSeconds, ComputeCost: e.ComputeCost, StorageCostPerMonth: e.StorageCostPerMonth, TotalCost: e.TotalCost,
		Currency: e.Currency, Chosen: true,
	}
}

// Proto is the ledger as the API shows it.
func (l Ledger) Proto() *trainingv1.Ledger {
	p := &trainingv1.Ledger{
		QueueSeconds: l.Queue, DownloadSeconds: l.Download, TrainSeconds: l.Train, UploadSeconds: l.Upload, OtherSeconds: l.Other,
		TotalSeconds: l.Total(), BilledSeconds: l.BilledSeconds, BilledBySagemaker: l.BilledBySageMaker, WarmPoolSeconds: l.WarmPoolSeconds,
		HourlyPrice: l.HourlyPrice, Cost: l.Cost, WarmPoolCost: l.WarmPoolCost, SpotSaving: l.SpotSaving, Currency: l.Currency,
		DownloadShare: l.DownloadShare,
	}
	for i, a := range l.Attempts {
		p.Attempts = append(p.Attempts, &trainingv1.Ledger_Attempt{
			Number: int32(i + 1), QueueSeconds: a.Queue, DownloadSeconds: a.Download, TrainSeconds: a.Train, UploadSeconds: a.Upload, //nolint:gosec // A few.
			OtherSeconds: a.Other, StartTime: Timestamp(a.Start), EndTime: Timestamp(a.End), Interrupted: a.Interrupted,
		})
	}
	return p
}
