package region

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Feature is something that isn't to be had everywhere. The values are the keys of the operator's file.
type Feature string

// The features that tables tell of.
const (
	// FSxLustre is SageMaker's reading of FSx for Lustre. That a region has FSx doesn't tell it.
	FSxLustre Feature = "fsx_lustre"
	// EFS is SageMaker's reading of EFS.
	EFS Feature = "efs"
	// Pricing is AWS's API of prices for the partition.
	Pricing Feature = "pricing"
)

// Features lists them all.
func Features() []Feature { return []Feature{FSxLustre, EFS, Pricing} }

type fact struct {
	supported bool
	why       string
}

// chinaFacts hold for both regions of China.
var chinaFacts = map[Feature]fact{
	FSxLustre: {false, "SageMaker answered there: \"FSx for Lustre is currently not supported in the region %s for SageMaker\""},
	Pricing:   {false, "the pricing API has no endpoint in the partition aws-cn, region %s"},
}

// Table says what works where. The zero value, and nil, have the built-in knowledge alone, by which all works that isn't known not to.
type Table struct {
	supported map[string]map[Feature]fact
	missing   map[string]map[string]string // Instance types by region, each with the reason.
}

// entry is what the operator's file says of a region.
type entry struct {
	FSxLustre            *bool    `yaml:"fsx_lustre"`
	EFS                  *bool    `yaml:"efs"`
	Pricing              *bool    `yaml:"pricing"`
	InstanceTypesMissing []string `yaml:"instance_types_missing"`
	// Why says where this was learnt, and is shown to users.
	Why string `yaml:"why"`
}

// Load reads what the operator knows better than the built-in table, from a YAML file such as
//
//	regions:
//	  cn-north-1:
//	    fsx_lustre: true
//	    instance_types_missing: [ml.p5.48xlarge]
//	    why: tried in March, ticket 1234
//
// No path gives the built-in table. An unknown key or region fails.
func Load(path string) (*Table, error) {
	if path == "" {
		return &Table{}, nil
	}
	data, err := os.ReadFile(path) //nolint:gosec // The operator names the file.
	if err != nil {
		return nil, fmt.Errorf("region capabilities: %w", err)
	}
	table, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("region capabilities of %s: %w", path, err)
	}
	return table, nil
}

var instanceType = regexp.MustCompile(`^ml\.[a-z0-9-]+\.[a-z0-9-]+$`)

// Parse reads a table from YAML as Load does.
func Parse(data []byte) (*Table, error) {
	var file struct {
		Regions map[string]*entry `yaml:"regions"`
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	if err := decoder.Decode(&file); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("it must hold one document, a map with the key regions")
	}
	table := &Table{supported: map[string]map[Feature]fact{}, missing: map[string]map[string]string{}}
	for _, region := range slices.Sorted(maps.Keys(file.Regions)) {
		e := file.Regions[region]
		if err := Valid(region); err != nil {
			return nil, err
		}
		if e == nil {
			return nil, fmt.Errorf("region %s has no entries; give some or leave it out", region)
		}
		why := strings.TrimSpace(e.Why)
		if why == "" {
			why = "the operator says so"
		}
		table.supported[region] = map[Feature]fact{}
		for feature, value := range map[Feature]*bool{FSxLustre: e.FSxLustre, EFS: e.EFS, Pricing: e.Pricing} {
			if value != nil {
				table.supported[region][feature] = fact{*value, why}
			}
		}
		table.missing[region] = map[string]string{}
		for _, name := range e.InstanceTypesMissing {
			if !instanceType.MatchString(name) {
				return nil, fmt.Errorf("region %s: instance type %q must be one of SageMaker's, such as ml.m5.xlarge", region, name)
			}
			table.missing[region][name] = why
		}
	}
	return table, nil
}

// Supports tells whether a feature works in a region, and how that is known.
func (t *Table) Supports(region string, feature Feature) (ok bool, why string) {
	if t != nil {
		if f, told := t.supported[region][feature]; told {
			return f.supported, f.why
		}
	}
	if f, told := chinaFacts[feature]; told && Partition(region) == China {
		return f.supported, fmt.Sprintf(f.why, region)
	}
	return true, "nothing is known against it"
}

// LacksInstanceType tells whether a region is known to have no instances of a type, and how that is known.
func (t *Table) LacksInstanceType(region, instanceType string) (lacks bool, why string) {
	if t != nil {
		if why, told := t.missing[region][instanceType]; told {
			return true, why
		}
	}
	return false, ""
}
