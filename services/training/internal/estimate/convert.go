package estimate

import (
	trainingv1 "github.com/trainyard/trainyard/gen/trainyard/training/v1"
	"github.com/trainyard/trainyard/services/training/internal/job"
	"github.com/trainyard/trainyard/services/training/price"
	"github.com/trainyard/trainyard/services/training/recipe"
)

var (
	protoModes = map[recipe.InputMode]trainingv1.InputMode{
		recipe.File: trainingv1.InputMode_FILE, recipe.FastFile: trainingv1.InputMode_FAST_FILE, recipe.Pipe: trainingv1.InputMode_PIPE,
	}
	protoStorages = map[price.Storage]trainingv1.BaseDataset_Storage{
		price.S3: trainingv1.BaseDataset_S3, price.EFS: trainingv1.BaseDataset_EFS, price.FSxLustre: trainingv1.BaseDataset_FSX_LUSTRE,
	}
)

// Proto is the option as the API gives it.
func (o *Option) Proto() *trainingv1.Estimate {
	return &trainingv1.Estimate{
		InputMode: protoModes[o.Mode], BaseStorage: protoStorages[o.BaseStorage], InstanceType: o.InstanceType,
		InstanceCount: int32(o.InstanceCount), //nolint:gosec // At most 1000.
		QueueSeconds:  o.QueueSeconds, DownloadSeconds: o.DownloadSeconds, TrainSeconds: o.TrainSeconds, UploadSeconds: o.UploadSeconds,
		TotalSeconds: o.TotalSeconds(), BilledSeconds: o.BilledSeconds, ComputeCost: o.ComputeCost, StorageCostPerMonth: o.StorageCostPerMonth,
		TotalCost: o.TotalCost, Currency: o.Currency, BreakEvenJobsPerMonth: o.BreakEvenJobsPerMonth, Cheapest: o.Cheapest, Fastest: o.Fastest,
		Chosen: o.Chosen, Impossible: o.Impossible,
	}
}

// Stored is the option as it is kept with a job, to stand beside its ledger.
func (o *Option) Stored() *job.Estimate {
	return &job.Estimate{
		InputMode: string(o.Mode), BaseStorage: string(o.BaseStorage), QueueSeconds: o.QueueSeconds, DownloadSeconds: o.DownloadSeconds,
		TrainSeconds: o.TrainSeconds, UploadSeconds: o.UploadSeconds, BilledSeconds: o.BilledSeconds, ComputeCost: o.ComputeCost,
		StorageCostPerMonth: o.StorageCostPerMonth, TotalCost: o.TotalCost, Currency: o.Currency, Examples: o.Examples, DownloadBytes: o.DownloadBytes,
	}
}
