package basedataset

import (
	"fmt"
	"strings"

	"github.com/trainyard/trainyard/services/training/region"
)

// LocationError tells that jobs of a region can't read a base dataset.
type LocationError struct {
	ID     string
	Region string
	// Regions are where it lies; only the job's own where nothing there works, and Why says why.
	Regions []string
	// Why are sentences.
	Why []string
	// First is the first location in the region, where nothing there works.
	First Location
}

func (e *LocationError) Error() string {
	if len(e.Why) > 0 {
		return fmt.Sprintf("%s can't be read by jobs in %s: %s Have the operator copy it to EFS or S3 there and add that location, or leave it out.",
			e.ID, e.Region, strings.Join(e.Why, " "))
	}
	return fmt.Sprintf("%s lies in %s, but jobs run in %s, and SageMaker reads data of its own region only: have the operator copy it there and add that location, or leave it out.",
		e.ID, strings.Join(e.Regions, ", "), e.Region)
}

// Resolve gives where jobs of a region read a base dataset: its first location there whose storage works there. Where others had to be
// passed over, note says so. It fails with a LocationError.
func Resolve(b *BaseDataset, here string, caps *region.Table) (location Location, note string, err error) {
	failed := &LocationError{ID: b.ID, Region: here}
	for _, l := range b.Locations {
		if l.Region != here {
			failed.Regions = append(failed.Regions, l.Region)
			continue
		}
		feature, limited := reading[l.Storage]
		if limited {
			if ok, why := caps.Supports(here, feature); !ok {
				if len(failed.Why) == 0 {
					failed.First = l
				}
				failed.Why = append(failed.Why, fmt.Sprintf("%s is not supported by SageMaker in %s (%s).", l.Storage, here, why))
				continue
			}
		}
		if len(failed.Why) > 0 {
			note = fmt.Sprintf("%s is read from %s: %s", b.ID, l, strings.Join(failed.Why, " "))
		}
		return l, note, nil
	}
	return Location{}, "", failed
}

// reading is what must be supported for a storage to be read; S3 is everywhere.
var reading = map[Storage]region.Feature{EFS: region.EFS, Lustre: region.FSxLustre}
