package launch

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.einride.tech/aip/resourcename"

	"github.com/trainyard/trainyard/services/training/internal/basedataset"
	"github.com/trainyard/trainyard/services/training/internal/job"
	"github.com/trainyard/trainyard/services/training/recipe"
	"github.com/trainyard/trainyard/services/training/spec"
)

// Base is a base dataset where a job reads it.
type Base struct {
	*basedataset.BaseDataset
	Location basedataset.Location
}

// addBases finds the base datasets, where they are read in the region, and whether they go together with the user's data.
func (l *Launcher) addBases(ctx context.Context, p *Plan, described *spec.Job, request Request) error {
	with := basedataset.Dataset{Labels: described.Dataset.Labels, Inputs: described.Dataset.Inputs}
	if p.Recipe != nil && len(request.BaseDatasets) > 0 {
		var err error
		if with.Features, err = l.features(ctx, p.Versions[0], "training_job.dataset_version"); err != nil {
			return err
		}
	}
	var all []*basedataset.BaseDataset
	for i, name := range request.BaseDatasets {
		field := fmt.Sprintf("training_job.base_datasets[%d]", i)
		base, err := l.baseDataset(ctx, p.Job.Project, name, field)
		if err != nil {
			return err
		}
		location, note, err := basedataset.Resolve(base, p.Job.Region, l.Capabilities)
		if unread := (*basedataset.LocationError)(nil); errors.As(err, &unread) && len(unread.Why) > 0 {
			location, err = unread.First, nil // Preflight says that it isn't read there, and can be told otherwise.
		}
		if err != nil {
			return &FieldError{Field: field, Message: err.Error()}
		}
		notes, err := basedataset.CheckJoin(base, p.Recipe, with)
		if err != nil {
			return &FieldError{Field: field, Message: err.Error()}
		}
		manifest, err := basedataset.PinManifest(ctx, l.S3, base, location)
		if changed := (*basedataset.ManifestError)(nil); errors.As(err, &changed) {
			return &ChangedError{Field: field, Message: changed.Error()}
		}
		if err != nil {
			return &UnavailableError{Cause: err}
		}
		source, err := location.Source()
		if err != nil {
			return err
		}
		all = append(all, base)
		p.Bases = append(p.Bases, Base{BaseDataset: base, Location: location})
		described.Bases = append(described.Bases, spec.Base{ID: base.ID, Source: source, ManifestSHA256: manifest, DownloadBytes: base.SizeBytes})
		p.Job.BaseDatasets = append(p.Job.BaseDatasets, base.ID)
		p.Job.ResolvedBases = append(p.Job.ResolvedBases, job.ResolvedBase{
			ID: base.ID, Region: location.Region, Storage: string(location.Storage), URI: location.URI, FileSystemID: location.FileSystemID,
			Path: location.Path, MountName: location.MountName, ManifestSHA256: manifest,
		})
		p.Job.Notes = append(p.Job.Notes, notes...)
		if note != "" {
			p.Job.Notes = append(p.Job.Notes, note)
		}
	}
	if mix := basedataset.Mix(all); mix > 0 && p.Recipe != nil {
		if _, given := request.Parameters[recipe.Mix]; !given {
			p.Job.Parameters[recipe.Mix] = mix
			p.Job.Notes = append(p.Job.Notes, fmt.Sprintf("%s is %g, as the base datasets ask.", recipe.Mix, mix))
		}
	}
	return nil
}

// baseDataset finds a base dataset that the project may use by its resource name.
func (l *Launcher) baseDataset(ctx context.Context, project, name, field string) (*basedataset.BaseDataset, error) {
	var id string
	if err := resourcename.Sscan(name, "baseDatasets/{base}", &id); err == nil && !hasControl(id) {
		base, err := l.BaseDatasets.Find(ctx, project, id)
		if missing := (*job.NotFoundError)(nil); !errors.As(err, &missing) {
			return base, err
		}
	}
	all, _, err := l.BaseDatasets.List(ctx, project, "", 20)
	if err != nil {
		return nil, err
	}
	known := "there are none yet; the operator sets them up, and `trainyard base publish` makes one of a dataset version"
	if len(all) > 0 {
		names := make([]string, len(all))
		for i, b := range all {
			names[i] = job.BaseDatasetName(b.ID)
		}
		known = "use one of " + strings.Join(names, ", ")
	}
	return nil, &FieldError{Field: field, Message: fmt.Sprintf("There is no base dataset %q: %s.", shorten(name), known)}
}

// ChangedError tells that something isn't what it was when it was registered.
type ChangedError struct {
	Field   string
	Message string
}

func (e *ChangedError) Error() string { return e.Message }
