// Package compare lists what differs between two regions for an installation and its jobs, and what to change, so that it is known
// before anything is built there. It asks AWS nothing: what it says follows from names, from the installation's configuration and from
// the table of what works where.
package compare

import (
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/sagemaker"

	"github.com/trainyard/trainyard/services/training/internal/basedataset"
	"github.com/trainyard/trainyard/services/training/region"
)

// Difference is something that differs.
type Difference struct {
	// Subject is what differs, such as `training image`.
	Subject string
	Here    string
	There   string
	// Change is what to do; empty when the suite does it by itself or nothing is to be done.
	Change string
	// Blocking tells that jobs fail there unless it is changed.
	Blocking bool
}

// Installation is what the operator configured. What is empty is not compared.
type Installation struct {
	Capabilities *region.Table
	RoleARN      string
	// Image is that of the recipes.
	Image          string
	Bucket         string
	VolumeKMSKey   string
	OutputKMSKey   string
	Subnets        []string
	SecurityGroups []string
	BaseDatasets   []*basedataset.BaseDataset
}

type comparison struct {
	here, there string
	Installation
	// request is nil when no job is compared; then all that jobs may use counts as used.
	request *sagemaker.CreateTrainingJobInput
	list    []Difference
}

// Regions compares for an installation and, unless request is nil, a job that was built for the first region. What blocks comes first. It fails
// with a region.Error.
func Regions(here, there string, installation Installation, request *sagemaker.CreateTrainingJobInput) ([]Difference, error) {
	for _, name := range []string{here, there} {
		if err := region.Valid(name); err != nil {
			return nil, err
		}
	}
	if here == there {
		return nil, nil
	}
	c := &comparison{here: here, there: there, Installation: installation, request: request}
	c.partition()
	c.role()
	c.images()
	c.keys()
	c.buckets()
	c.vpc()
	c.fileSystems()
	c.baseDatasets()
	c.instances()
	c.hosts()
	c.endpoints()
	c.principals()
	c.money()
	c.access()
	slices.SortStableFunc(c.list, func(a, b Difference) int {
		switch {
		case a.Blocking == b.Blocking:
			return 0
		case a.Blocking:
			return -1
		}
		return 1
	})
	return c.list, nil
}

func (c *comparison) add(d Difference) { c.list = append(c.list, d) }

func (c *comparison) samePartition() bool {
	return region.Partition(c.here) == region.Partition(c.there)
}

// account is that of ARNs and registries there: an account is of one partition.
func (c *comparison) account(account string) string {
	if c.samePartition() {
		return account
	}
	return "ACCOUNT"
}

// alike tells whether two names differ by their region alone, as the suite's own do.
func (c *comparison) alike(here, there string) bool {
	return strings.ReplaceAll(here, c.here, "") == strings.ReplaceAll(there, c.there, "")
}

// unique gives the texts that are not empty, each once.
func unique(texts ...string) []string {
	var list []string
	for _, text := range texts {
		if text != "" && !slices.Contains(list, text) {
			list = append(list, text)
		}
	}
	return list
}
