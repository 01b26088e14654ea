package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	trainingv1 "github.com/trainyard/trainyard/gen/trainyard/training/v1"
	"github.com/trainyard/trainyard/services/trainyard/client"
)

type baseCommand struct {
	Publish basePublishCommand `cmd:"" help:"Make a base dataset of a READY dataset version, for this project's jobs."`
	List    baseListCommand    `cmd:"" help:"Print the base datasets: the operator's and this project's."`
	Get     baseGetCommand     `cmd:"" help:"Print a base dataset."`
	Delete  baseDeleteCommand  `cmd:"" help:"Take a published base dataset out of the list. Its bytes stay, and jobs that have it go on."`
}

type basePublishCommand struct {
	connection
	Dataset     string  `arg:"" help:"The dataset, for its newest READY version, or DATASET/versions/N."`
	ID          string  `name:"id" required:"" help:"The base dataset's id: 1 to 63 of a-z0-9-, beginning with a letter."`
	DisplayName string  `help:"A title for people; by default the id."`
	Description string  `help:"What it holds."`
	Mix         float64 `help:"The share of each batch that comes from base datasets, from 0 to 1, in jobs that don't say; by default the recipe's."`
	FileSystem  string  `help:"Jobs read it from this file system instead of S3: its id." placeholder:"fs-ID" group:"File system:"`
	Path        string  `help:"Where it lies there, from the file system's root; the operator says which directories are the project's." group:"File system:"`
	LustreMount string  `help:"The file system is FSx for Lustre and has this mount name; without this it is EFS." placeholder:"NAME" group:"File system:"`
	To          string  `help:"Copy the version's files first, to this folder: the same one as --path, where this machine has the file system mounted." type:"path" placeholder:"DIR" group:"File system:"`
}

// Help is called by kong.
func (c *basePublishCommand) Help() string {
	return `Without a file system, jobs read the version's own files on S3. With one, its files have to be there: --to copies them, each
checked by its SHA-256 and the manifest last; the same command goes on after an interruption. Jobs check the manifest again.

Examples:
  trainyard base publish photos --id street-photos
  trainyard base publish photos/versions/3 --id street-photos --mix 0.3 --to /mnt/efs/bases/PROJECT/street-photos \
    --file-system fs-0123456789abcdef0 --path /bases/PROJECT/street-photos
In a local suite, whose project is 'local' and whose EFS is the data folder's efs:
  trainyard base publish photos --id street-photos --to ~/.local/share/trainyard/efs/local/street-photos \
    --file-system fs-00000001 --path /local/street-photos
Then:
  trainyard train --dataset mine --base street-photos`
}

// Validate is called by kong.
func (c *basePublishCommand) Validate() error {
	switch {
	case !(c.Mix >= 0 && c.Mix <= 1):
		return fmt.Errorf("--mix %v: want a share from 0 to 1", c.Mix)
	case (c.FileSystem == "") != (c.Path == ""):
		return errors.New("--file-system and --path go together: give both or neither")
	case c.FileSystem == "" && c.To != "":
		return errors.New("--to copies to a file system: say which with --file-system and --path, as jobs see it")
	case c.FileSystem == "" && c.LustreMount != "":
		return errors.New("--lustre-mount belongs to a file system: say which with --file-system and --path")
	}
	return nil
}

func (c *basePublishCommand) Run(ctx context.Context) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	return c.publish(ctx, api, newOutput(c.JSON))
}

func (c *basePublishCommand) publish(ctx context.Context, api *client.Client, out *output) error {
	version, err := readyVersion(ctx, api, c.Dataset)
	if err != nil {
		return err
	}
	if c.To != "" {
		if err := c.copy(ctx, api, version, out); err != nil {
			return err
		}
	}
	base := &trainingv1.BaseDataset{}
	if err := api.Post(ctx, "/v1/baseDatasets", c.request(version), base); err != nil {
		return err
	}
	out.result(base, fmt.Sprintf("%s is published from %s; use it with: trainyard train --dataset DATASET --base %s",
		describeBase(base), base.GetDatasetVersion(), id(base.GetName())))
	return nil
}

func (c *basePublishCommand) request(version string) *trainingv1.PublishBaseDatasetRequest {
	request := &trainingv1.PublishBaseDatasetRequest{
		BaseDatasetId: c.ID, DatasetVersion: version, DisplayName: c.DisplayName, Description: c.Description, MixRatio: c.Mix,
	}
	if c.FileSystem != "" {
		request.FileSystem = &trainingv1.BaseDatasetLocation{
			Storage: trainingv1.BaseDataset_EFS, FileSystemId: c.FileSystem, Path: c.Path, MountName: c.LustreMount,
		}
		if c.LustreMount != "" {
			request.FileSystem.Storage = trainingv1.BaseDataset_FSX_LUSTRE
		}
	}
	return request
}

// copy copies the version's files to the mounted file system. What can be known to be refused afterwards is refused before.
func (c *basePublishCommand) copy(ctx context.Context, api *client.Client, version string, out *output) error {
	base := &trainingv1.BaseDataset{}
	err := api.Get(ctx, "/v1/baseDatasets/"+url.PathEscape(c.ID), nil, base)
	switch {
	case err == nil && base.GetDatasetVersion() == "":
		return fmt.Errorf("%s is one of the operator's: choose another --id", base.GetName())
	case err == nil && base.GetDatasetVersion() != version:
		return fmt.Errorf("%s exists already, published from %s: choose another --id, or delete it first with: trainyard base delete %s",
			base.GetName(), base.GetDatasetVersion(), c.ID)
	case err != nil && !client.Is(err, errorsv1.ErrorReason_RESOURCE_NOT_FOUND):
		return err
	}
	files, err := listDataset(ctx, api, version)
	if err != nil {
		return err
	}
	if err := files.fits(c.To); err != nil {
		return err
	}
	if err := files.download(ctx, c.To, out); err != nil {
		return err
	}
	out.note("%s is in %s (SHA-256 checked)", version, c.To)
	return nil
}

// fits refuses a folder with files of something else: jobs would read old and new shards together.
func (d *datasetFiles) fits(folder string) error {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		name := strings.TrimSuffix(entry.Name(), partialSuffix)
		i := slices.IndexFunc(d.files, func(f datasetFile) bool { return f.GetName() == name })
		if i < 0 && !strings.HasPrefix(name, ".") { // Of hidden files some are the file system's own.
			return fmt.Errorf("%s holds %s, which is no file of %s: name a folder that is empty or new", folder, entry.Name(), d.version)
		}
		if name != manifestFile || entry.Name() != name {
			continue
		}
		if sum, err := fileSHA256(filepath.Join(folder, name)); err != nil || sum != d.files[i].GetSha256() {
			return errors.Join(err, fmt.Errorf("%s holds another dataset than %s, by its %s: name a folder that is empty or new", folder, d.version, manifestFile))
		}
	}
	return nil
}

type baseListCommand struct {
	connection
}

func (c *baseListCommand) Run(ctx context.Context) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	out := newOutput(c.JSON)
	rows := [][]string{{"ID", "WHERE", "CLASSES", "EXAMPLES", "SIZE", "FROM"}}
	query := url.Values{"pageSize": {"100"}}
	for {
		var page trainingv1.ListBaseDatasetsResponse
		if err := api.Get(ctx, "/v1/baseDatasets", query, &page); err != nil {
			return err
		}
		for _, base := range page.GetBaseDatasets() {
			out.update(base)
			rows = append(rows, baseRow(base))
		}
		if page.GetNextPageToken() == "" {
			break
		}
		query.Set("pageToken", page.GetNextPageToken())
	}
	switch {
	case c.JSON:
	case len(rows) == 1:
		out.note("none")
	default:
		fmt.Fprintln(out.stdout, table(rows))
	}
	return nil
}

func baseRow(base *trainingv1.BaseDataset) []string {
	where := "not in this region"
	if base.GetStorage() != trainingv1.BaseDataset_STORAGE_UNSPECIFIED {
		where = storageName(base.GetStorage())
	}
	from := base.GetDatasetVersion()
	if from == "" {
		from = "the operator"
	}
	return []string{id(base.GetName()), where, orUnknown(int64(len(base.GetLabels()))), orUnknown(int64(base.GetExampleCount())), sizeText(base.GetSizeBytes()), from}
}

type baseGetCommand struct {
	connection
	Base string `arg:"" help:"The base dataset, baseDatasets/ID or ID."`
}

func (c *baseGetCommand) Run(ctx context.Context) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	base := &trainingv1.BaseDataset{}
	if err := api.Get(ctx, "/v1/baseDatasets/"+id(c.Base), nil, base); err != nil {
		return err
	}
	newOutput(c.JSON).result(base, printBase(base))
	return nil
}

type baseDeleteCommand struct {
	connection
	Base string `arg:"" help:"The base dataset, baseDatasets/ID or ID."`
}

func (c *baseDeleteCommand) Run(ctx context.Context) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	name := "baseDatasets/" + id(c.Base)
	if err := api.Delete(ctx, "/v1/"+name); err != nil {
		return err
	}
	newOutput(c.JSON).result(&trainingv1.BaseDataset{Name: name}, name+" is deleted; its files stay where they are")
	return nil
}

func describeBase(base *trainingv1.BaseDataset) string {
	return fmt.Sprintf("%s (%s examples of %s classes, %s, on %s)", base.GetName(), orUnknown(int64(base.GetExampleCount())),
		orUnknown(int64(len(base.GetLabels()))), sizeText(base.GetSizeBytes()), storageName(base.GetStorage()))
}

// printBase is a base dataset for people: what there is of it, a line each.
func printBase(base *trainingv1.BaseDataset) string {
	rows := [][]string{{"name", base.GetName()}, {"title", base.GetDisplayName()}}
	add := func(name, value string) {
		if value != "" {
			rows = append(rows, []string{name, value})
		}
	}
	add("holds", printable(base.GetDescription()))
	add("from", base.GetDatasetVersion())
	for _, l := range base.GetLocations() {
		where := l.GetUri()
		if where == "" {
			where = l.GetFileSystemId() + " " + strings.TrimSpace(l.GetMountName()+" "+l.GetPath())
		}
		add("location", fmt.Sprintf("%s %s %s", l.GetRegion(), storageName(l.GetStorage()), where))
	}
	if base.GetStorage() == trainingv1.BaseDataset_STORAGE_UNSPECIFIED {
		add("", "no job of this installation can read it: none of these works in its region")
	}
	add("access", "read only")
	add("examples", orUnknown(int64(base.GetExampleCount())))
	add("size", fmt.Sprintf("%s in %s shards", sizeText(base.GetSizeBytes()), orUnknown(int64(base.GetFileCount()))))
	add("classes", cell(strings.Join(base.GetLabels(), ", ")))
	var features []string
	for _, name := range slices.Sorted(maps.Keys(base.GetFeatures())) {
		features = append(features, fmt.Sprintf("%s (%s)", name, base.GetFeatures()[name]))
	}
	add("features", strings.Join(features, ", "))
	if base.GetMixRatio() > 0 {
		add("mix", fmt.Sprint(base.GetMixRatio()))
	}
	add("manifest", base.GetManifestSha256())
	return table(rows)
}

func storageName(s trainingv1.BaseDataset_Storage) string {
	switch s {
	case trainingv1.BaseDataset_S3:
		return "S3"
	case trainingv1.BaseDataset_EFS:
		return "EFS"
	case trainingv1.BaseDataset_FSX_LUSTRE:
		return "FSx for Lustre"
	}
	return "no storage that works in this region"
}

// orUnknown shows a count; 0 means that nobody said.
func orUnknown(n int64) string {
	if n == 0 {
		return "?"
	}
	return strconv.FormatInt(n, 10)
}

// sizeText shows bytes; 0 means that nobody said.
func sizeText(bytes int64) string {
	if bytes == 0 {
		return "?"
	}
	return size(bytes)
}
