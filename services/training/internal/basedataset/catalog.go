package basedataset

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/trainyard/trainyard/services/internal/store"
	"github.com/trainyard/trainyard/services/training/internal/job"
	"github.com/trainyard/trainyard/services/training/region"
)

// Catalog is all base datasets: the operator's, which every project has, and those that projects published. An id that the operator takes
// after a project published it stays the project's own there until it is deleted, so that no job's data change under it.
type Catalog struct {
	// Region is where jobs run.
	Region string
	// Operator are the operator's.
	Operator List
	// Roots are where on file systems projects may have theirs.
	Roots []Root
	// Capabilities tell what can be read in the region; nil means what is built in.
	Capabilities *region.Table
	Versions     Versions
	S3           Objects
	DB           *store.DB
}

// FieldError tells that a field of a request can't be.
type FieldError struct {
	Field   string
	Message string
}

func (e *FieldError) Error() string { return e.Message }

// ExistsError tells that an id is taken.
type ExistsError struct {
	Name    string
	Message string
}

func (e *ExistsError) Error() string { return e.Message }

// OperatorsError tells that a base dataset is the operator's, who alone can take it away.
type OperatorsError struct{ Name string }

func (e *OperatorsError) Error() string {
	return e.Name + " is the operator's and can't be deleted here: ask the operator to take it out of the list."
}

// LimitError tells that a project has as many base datasets as it may.
type LimitError struct{ Limit int }

func (e *LimitError) Error() string {
	return fmt.Sprintf("The project has %d base datasets, which is as many as it may: delete one first.", e.Limit)
}

// Find gives a base dataset that a project may use, or a job.NotFoundError.
func (c *Catalog) Find(ctx context.Context, project, id string) (*BaseDataset, error) {
	own, err := published{c.DB}.find(ctx, project, id)
	if err != nil || own != nil {
		return own, err
	}
	if operators := c.Operator.Find(id); operators != nil {
		return operators, nil
	}
	return nil, &job.NotFoundError{Name: job.BaseDatasetName(id)}
}

// Resolve gives where jobs read a base dataset, as the function of the same name does.
func (c *Catalog) Resolve(b *BaseDataset) (location Location, note string, err error) {
	return Resolve(b, c.Region, c.Capabilities)
}

// List gives the base datasets that a project may use in the order of their ids: at most limit of those after the given id. A limit of 0
// means all. more tells that there are more.
func (c *Catalog) List(ctx context.Context, project, after string, limit int) (page []*BaseDataset, more bool, err error) {
	all, err := published{c.DB}.list(ctx, project)
	if err != nil {
		return nil, false, err
	}
	own := len(all)
	for _, b := range c.Operator {
		if List(all[:own]).Find(b.ID) == nil {
			all = append(all, b)
		}
	}
	all = slices.DeleteFunc(all, func(b *BaseDataset) bool { return b.ID <= after })
	slices.SortFunc(all, func(a, b *BaseDataset) int { return cmp.Compare(a.ID, b.ID) })
	if limit > 0 && limit < len(all) {
		return all[:limit], true, nil
	}
	return all, false, nil
}

// Delete takes a published base dataset out of the list. Its bytes stay, and jobs that have it go on. It fails with a job.NotFoundError or
// an OperatorsError.
func (c *Catalog) Delete(ctx context.Context, project, id string) error {
	removed, err := published{c.DB}.remove(ctx, project, id)
	if err != nil || removed {
		return err
	}
	if c.Operator.Find(id) != nil {
		return &OperatorsError{Name: job.BaseDatasetName(id)}
	}
	return &job.NotFoundError{Name: job.BaseDatasetName(id)}
}
