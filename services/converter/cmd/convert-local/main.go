// Command convert-local converts an archive on disk to a TFDS folder, with nothing else of the suite
// running. Its tests and benchmarks use it.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"

	"github.com/alecthomas/kong"

	"github.com/trainyard/trainyard/services/converter/convert"
	"github.com/trainyard/trainyard/services/converter/dataset"
)

type flags struct {
	Source         string  `arg:"" help:"Archive or file to convert."`
	Out            string  `arg:"" help:"Folder for the dataset."`
	Dataset        string  `default:"dataset" help:"Name of the dataset."`
	Format         string  `help:"Dataset format; found by looking if it isn't given."`
	Seed           uint64  `help:"Seed of splits and order."`
	Train          float64 `default:"0.8" help:"Share of the train split."`
	Validation     float64 `default:"0.1" help:"Share of the validation split."`
	Test           float64 `default:"0.1" help:"Share of the test split."`
	Full           bool    `help:"Decode every image instead of checking its structure."`
	ShardBytes     int64   `default:"134217728" help:"Target size of a shard."`
	LabelColumn    string  `help:"Column that holds the label, of tables."`
	Stratify       bool    `help:"Give each split the same shares of the classes."`
	Gzip           bool    `help:"Compress the shards."`
	Package        bool    `help:"Make one tar of it all besides."`
	MaxBadFraction float64 `default:"0.01" help:"Share of bad files that is tolerated."`
}

func main() {
	var f flags
	kong.Parse(&f, kong.Description("Convert a dataset to TFRecord shards."))
	opts := convert.DefaultOptions(f.Dataset)
	opts.Format, opts.Seed, opts.ShardBytes, opts.MaxBadFraction = f.Format, f.Seed, f.ShardBytes, f.MaxBadFraction
	opts.Splits = convert.Fractions{Train: f.Train, Validation: f.Validation, Test: f.Test}
	opts.LabelColumn, opts.Stratify, opts.Package, opts.FileName = f.LabelColumn, f.Stratify, f.Package, filepath.Base(f.Source)
	if f.Gzip {
		opts.Compression = convert.GZIP
	}
	if f.Full {
		opts.Validation = dataset.Full
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(200 << 20) // what is not in use is collected before memory grows beyond it
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	out, err := convert.Local(ctx, f.Source, f.Out, opts, nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:gocritic // there is nothing left to stop
	}
	fmt.Printf("%s: %d examples in %d shards, %d files and rows left out\n", out.Manifest.Format, out.Manifest.Examples, len(out.Manifest.Shards), out.Manifest.LeftOut)
}
