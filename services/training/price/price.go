// Package price is what things cost and how fast they are, as the installation configures it: instances, storage, throughputs. The built-in values
// are starting points; an operator's file overrides them. Every value says where it comes from, so that an estimate can list what it assumes.
//
// The file is YAML or JSON, read strictly:
//
//	regions:
//	  cn-north-1:
//	    currency: CNY        # Left out: CNY in aws-cn, else USD.
//	    spot_share: 0.4      # A spot instance's price as a share of the one on demand.
//	    instances: {ml.m5.xlarge: 2.1}                   # An hour of one.
//	    storage: {s3: 0.18, efs: 2.4, fsx-lustre: 1.2}   # A GB for a month.
//	times: {queue_seconds: 180, file_mb_per_second: 200} # The keys of Times.
package price

import (
	"fmt"

	"github.com/trainyard/trainyard/services/training/region"
)

// Storage is a kind of storage, as base datasets and stored jobs name it.
type Storage string

// The kinds of storage.
const (
	S3        Storage = "s3"
	EFS       Storage = "efs"
	FSxLustre Storage = "fsx-lustre"
)

// Money is a price. If it isn't Known its Amount is 0, and Source says what to configure.
type Money struct {
	Amount   float64
	Currency string // ISO 4217, such as USD; set whether the amount is known or not.
	Known    bool
	// Source is a sentence's part such as `ml.m5.xlarge in us-east-1: 0.23 USD an hour (built in)`.
	Source string
}

// Figure is a number that isn't money; Source is as Money's.
type Figure struct {
	Value  float64
	Source string
}

// reference is the region whose prices are built in. They stand in for those of other regions of its partition, which is said where it is done.
const reference = "us-east-1"

// regional is what one region costs.
type regional struct {
	Currency  string              `yaml:"currency"`
	SpotShare float64             `yaml:"spot_share"`
	Instances map[string]float64  `yaml:"instances"` // An hour.
	Storage   map[Storage]float64 `yaml:"storage"`   // A GB for a month.
}

// builtIn is of AWS.md, "Money and time": us-east-1, from third-party tables.
var builtIn = regional{
	Instances: map[string]float64{
		"ml.m5.xlarge": 0.23, "ml.g4dn.xlarge": 0.736, "ml.g5.xlarge": 1.408, "ml.p3.2xlarge": 3.825, "ml.p3.16xlarge": 28.152,
	},
	Storage: map[Storage]float64{S3: 0.023, EFS: 0.30, FSxLustre: 0.145},
}

// defaultSpotShare is a cautious guess: AWS promises savings of up to 90 %.
const defaultSpotShare = 0.35

// Table is prices and throughputs. The zero Table is not usable; Load makes one.
type Table struct {
	regions map[string]regional
	times   Times
}

// Currency is what a region is billed in: as configured, or CNY in aws-cn and USD elsewhere.
func (t *Table) Currency(name string) string {
	if configured := t.regions[name].Currency; configured != "" {
		return configured
	}
	return region.Currency(name)
}

// Hourly is the price of an instance's hour on demand. The built-in prices are us-east-1's and stand in for those of other regions of partition aws
// that are billed in the same currency; an instance type that isn't listed, and aws-cn unless configured, are not known.
func (t *Table) Hourly(region, instanceType string) Money {
	return t.find(region, instanceType, "an hour", "instances."+instanceType, func(r regional) (float64, bool) {
		amount, ok := r.Instances[instanceType]
		return amount, ok
	})
}

// StoragePerGBMonth is the price of keeping a GB (2³⁰ bytes, as AWS bills it) for a month, found as Hourly finds its.
func (t *Table) StoragePerGBMonth(region string, storage Storage) Money {
	return t.find(region, string(storage), "a GB-month", "storage."+string(storage), func(r regional) (float64, bool) {
		amount, ok := r.Storage[storage]
		return amount, ok
	})
}

// find looks in what is configured for the region, then in what is built in, then in the reference region's.
func (t *Table) find(name, what, unit, key string, of func(regional) (float64, bool)) Money {
	money := Money{Currency: t.Currency(name), Known: true}
	say := func(amount float64, from string) Money {
		money.Amount = amount
		money.Source = fmt.Sprintf("%s in %s: %g %s %s (%s)", what, name, amount, money.Currency, unit, from)
		return money
	}
	if amount, ok := of(t.regions[name]); ok {
		return say(amount, "configured")
	}
	if region.Partition(name) == region.Partition(reference) && money.Currency == t.Currency(reference) {
		from := "built in"
		amount, ok := of(t.regions[reference])
		if ok {
			from = "configured"
		} else {
			amount, ok = of(builtIn)
		}
		if ok && name != reference {
			from += " for " + reference + ", assumed to be the same here"
		}
		if ok {
			return say(amount, from)
		}
	}
	money.Known = false
	money.Source = fmt.Sprintf("%s in %s: no price is known; set regions.%s.%s in the file of prices", what, name, name, key)
	return money
}

// SpotShare is the price of a spot instance that is to be expected, as a share of the one on demand; from 0 to 1.
func (t *Table) SpotShare(region string) Figure {
	if share := t.regions[region].SpotShare; share > 0 {
		return Figure{share, fmt.Sprintf("spot instances in %s: %g of the price on demand (configured)", region, share)}
	}
	return Figure{defaultSpotShare, fmt.Sprintf("spot instances in %s: %g of the price on demand (assumption)", region, defaultSpotShare)}
}

// Times are the seconds and throughputs to be expected.
func (t *Table) Times() Times { return t.times }
