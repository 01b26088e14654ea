package main

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/google/uuid"
	converterv1 "github.com/trainyard/trainyard/gen/trainyard/converter/v1"
	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	ingestv1 "github.com/trainyard/trainyard/gen/trainyard/ingest/v1"
	"github.com/trainyard/trainyard/services/trainyard/client"
	"github.com/trainyard/trainyard/services/trainyard/foldersource"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"
)

type pushCommand struct {
	connection
	Path        string   `arg:"" help:"Archive (zip, or tar: plain, gz, zst, bz2), a single file of data (CSV, JSONL, Parquet, TFRecord…), or a folder."`
	Dataset     string   `required:"" help:"The dataset's id; it is made if it isn't there."`
	Format      string   `help:"Dataset format instead of looking, see 'trainyard list formats'."`
	Seed        int64    `help:"Seed of the split and of the shuffle."`
	Split       split    `help:"Shares of train, validation and test, such as 0.8,0.1,0.1 (the default)."`
	Validation  string   `help:"structural looks at each file's structure, full decodes it too." enum:"structural,full" default:"structural"`
	LabelColumn string   `help:"Column that holds the label, of tables; found by its name if it isn't given."`
	Stratify    bool     `help:"Give each split the same shares of the classes."`
	Compression string   `help:"none, or gzip for tables and text; TensorFlow Datasets reads only uncompressed shards." enum:"none,gzip" default:"none"`
	Package     string   `help:"tar also makes one file of the whole dataset, dataset.tar." enum:"none,tar" default:"none"`
	MaxBad      *float64 `help:"Largest share of bad files that is tolerated, by default 0.01; ten are in any case, but with 0 none is." name:"max-bad-fraction"`
	Parallel    int      `help:"Parts to put at once." default:"4"`
	NoWait      bool     `help:"Return when the upload is whole, without waiting for the conversion."`
}

// uploadSource is what is uploaded: a file, or a folder shown as a zip.
type uploadSource interface {
	io.ReaderAt
	Size() int64
}

type fileSource struct {
	*os.File
	size int64
}

func (f fileSource) Size() int64 { return f.size }

func openSource(path string) (uploadSource, string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, "", err
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, "", err
	}
	name := filepath.Base(absolute)
	if info.IsDir() {
		source, err := foldersource.Open(path)
		return source, name + ".zip", err
	}
	if info.Size() == 0 {
		return nil, "", fmt.Errorf("%s is empty; expected an archive, a folder, or a file of data such as a CSV", path)
	}
	f, err := os.Open(path) //nolint:gosec // The user names it.
	return fileSource{f, info.Size()}, name, err
}

func (c *pushCommand) Run(ctx context.Context) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	return c.push(ctx, api, newOutput(c.JSON))
}

func (c *pushCommand) push(ctx context.Context, api *client.Client, out *output) error {
	if err := checkFormat(ctx, api, c.Format); err != nil {
		return err
	}
	source, name, err := openSource(c.Path)
	if err != nil {
		return err
	}
	if closer, ok := source.(io.Closer); ok {
		defer closer.Close()
	}
	version, err := beginVersion(ctx, api, c.Dataset, name, source.Size(), c.options(), out)
	if err != nil {
		return err
	}
	if version.GetState() == ingestv1.Version_UPLOADING {
		if err := upload(ctx, api, version, source, c.Parallel, out); err != nil {
			out.endBar()
			return withHint(ctx, err, "the parts that arrived are kept: run the same command again to go on")
		}
		if err := api.Post(ctx, "/v1/"+version.GetName()+":completeUpload", nil, version); err != nil {
			return err
		}
	}
	if c.NoWait {
		out.result(version, version.GetName()+" is uploaded; follow it with: trainyard watch "+version.GetName())
		return nil
	}
	return c.wait(ctx, api, version, out)
}

// checkFormat refuses a format that there isn't, before anything is uploaded for it.
func checkFormat(ctx context.Context, api *client.Client, format string) error {
	if format == "" {
		return nil
	}
	var formats converterv1.ListFormatsResponse
	if err := api.Get(ctx, "/v1/formats", nil, &formats); err != nil {
		return err
	}
	var names []string
	for _, f := range formats.GetFormats() {
		name := strings.TrimPrefix(f.GetName(), "formats/")
		if name == format {
			return nil
		}
		names = append(names, name)
	}
	return fmt.Errorf("there is no format %q; there are: %s", format, strings.Join(names, ", "))
}

func (c *pushCommand) options() *ingestv1.ConversionOptions {
	options := &ingestv1.ConversionOptions{Format: c.Format, Seed: c.Seed, MaxBadFraction: c.MaxBad, SplitFractions: c.Split.SplitFractions, LabelColumn: c.LabelColumn, Stratify: c.Stratify}
	if c.Validation == "full" {
		options.Validation = ingestv1.ConversionOptions_FULL
	}
	if c.Compression == "gzip" {
		options.Compression = ingestv1.ConversionOptions_GZIP
	}
	if c.Package == "tar" {
		options.Package = ingestv1.ConversionOptions_TAR
	}
	return options
}

// split reads the shares of --split.
type split struct{ *ingestv1.SplitFractions }

// UnmarshalText is called by kong.
func (s *split) UnmarshalText(text []byte) error {
	var shares []float64
	sum := 0.0
	for _, field := range strings.Split(string(text), ",") {
		share, err := strconv.ParseFloat(strings.TrimSpace(field), 64)
		if err != nil || share < 0 || math.IsNaN(share) {
			return errSplit
		}
		shares = append(shares, share)
		sum += share
	}
	if len(shares) != 3 || math.Abs(sum-1) > 1e-6 {
		return errSplit
	}
	s.SplitFractions = &ingestv1.SplitFractions{Train: shares[0], Validation: shares[1], Test: shares[2]}
	return nil
}

var errSplit = errors.New("want three shares that sum to 1, such as 0.8,0.1,0.1")

// beginVersion makes the dataset where it isn't there, and gives the version to upload: an unfinished one of the same file, or a new one.
func beginVersion(ctx context.Context, api *client.Client, dataset, name string, size int64, options *ingestv1.ConversionOptions, out *output) (*ingestv1.Version, error) {
	err := api.Post(ctx, "/v1/datasets?datasetId="+url.QueryEscape(dataset), &ingestv1.Dataset{}, &ingestv1.Dataset{})
	if err != nil && !client.Is(err, errorsv1.ErrorReason_RESOURCE_EXISTS) {
		return nil, err
	}
	parent := "/v1/datasets/" + dataset + "/versions"
	var versions ingestv1.ListVersionsResponse
	if err := api.Get(ctx, parent, url.Values{"pageSize": {"20"}}, &versions); err != nil {
		return nil, err
	}
	for _, v := range versions.GetVersions() {
		if v.GetState() == ingestv1.Version_UPLOADING && v.GetFileName() == name && v.GetSizeBytes() == size && proto.Equal(v.GetConversion(), options) {
			out.note("going on with the unfinished upload of %s", v.GetName())
			return v, nil
		}
	}
	version := &ingestv1.Version{}
	request := &ingestv1.Version{FileName: name, SizeBytes: size, Conversion: options}
	return version, api.Post(ctx, parent+"?requestId="+uuid.NewString(), request, version)
}

// upload puts the parts that S3 doesn't have yet, several at once.
func upload(ctx context.Context, api *client.Client, version *ingestv1.Version, source uploadSource, parallel int, out *output) error {
	path := "/v1/" + version.GetName()
	have, err := partsThere(ctx, api, path)
	if err != nil {
		return err
	}
	partSize, size := version.GetUpload().GetPartSizeBytes(), source.Size()
	if partSize <= 0 {
		return fmt.Errorf("%s has no upload plan", version.GetName())
	}
	var done atomic.Int64
	var printing sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(max(parallel, 1))
	for number := int32(1); int64(number-1)*partSize < size && ctx.Err() == nil; number++ {
		group.Go(func() error {
			offset := int64(number-1) * partSize
			part := io.NewSectionReader(source, offset, min(partSize, size-offset))
			sum, err := crc32c(part)
			if err != nil {
				return err
			}
			if there := have[number]; there.GetCrc32C() != sum || there.GetSizeBytes() != part.Size() {
				if err := putPart(ctx, api, path, number, part, sum); err != nil {
					return fmt.Errorf("part %d: %w", number, err)
				}
			}
			printing.Lock()
			defer printing.Unlock()
			out.progress("upload", "", done.Add(part.Size()), size, true)
			return nil
		})
	}
	return group.Wait()
}

func partsThere(ctx context.Context, api *client.Client, path string) (map[int32]*ingestv1.Part, error) {
	have := map[int32]*ingestv1.Part{}
	query := url.Values{}
	for {
		var page ingestv1.ListPartsResponse
		if err := api.Get(ctx, path+"/parts", query, &page); err != nil {
			return nil, err
		}
		for _, p := range page.GetParts() {
			have[p.GetPartNumber()] = p
		}
		if page.GetNextPageToken() == "" {
			return have, nil
		}
		query.Set("pageToken", page.GetNextPageToken())
	}
}

func crc32c(part *io.SectionReader) (string, error) {
	sum := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	if _, err := io.Copy(sum, io.NewSectionReader(part, 0, part.Size())); err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, sum.Sum32())), nil
}

// putPart asks for a URL anew at each try, because one that was refused may have expired.
func putPart(ctx context.Context, api *client.Client, path string, number int32, part *io.SectionReader, sum string) error {
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		var signed ingestv1.SignPartsResponse
		request := &ingestv1.SignPartsRequest{Parts: []*ingestv1.PartToSign{{PartNumber: number, Crc32C: sum}}}
		if err := api.Post(ctx, path+":signParts", request, &signed); err != nil {
			return struct{}{}, backoff.Permanent(err)
		}
		return struct{}{}, put(ctx, signed.GetParts()[0], part)
	}, backoff.WithMaxTries(8), backoff.WithMaxElapsedTime(5*time.Minute))
	return err
}

func put(ctx context.Context, signed *ingestv1.SignedPart, part *io.SectionReader) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, signed.GetUrl(), io.NewSectionReader(part, 0, part.Size()))
	if err != nil {
		return backoff.Permanent(errors.New("the signed URL can't be read"))
	}
	req.ContentLength = part.Size()
	for key, value := range signed.GetHeaders() {
		req.Header.Set(key, value)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		var withURL *url.Error // The URL is a credential for an hour; it stays out of messages.
		if errors.As(err, &withURL) {
			err = withURL.Err
		}
		return fmt.Errorf("S3 can't be reached: %w", err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, 4096))
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("S3 answered %s: %s", res.Status, answer)
	}
	return nil
}

func (c *pushCommand) wait(ctx context.Context, api *client.Client, version *ingestv1.Version, out *output) error {
	err := follow(ctx, api, version.GetName(), func(ctx context.Context) (bool, error) {
		if err := api.Get(ctx, "/v1/"+version.GetName(), nil, version); err != nil {
			return false, err
		}
		switch version.GetState() {
		case ingestv1.Version_READY, ingestv1.Version_FAILED, ingestv1.Version_ABORTED, ingestv1.Version_EXPIRED:
			return true, nil
		case ingestv1.Version_CONVERTING:
			p := version.GetProgress()
			if p.GetTotalExamples() == 0 && p.GetDoneBytes() < p.GetTotalBytes() {
				out.progress("look through", "", p.GetDoneBytes(), p.GetTotalBytes(), true)
			}
			out.progress("convert", "", int64(p.GetDoneExamples()), int64(p.GetTotalExamples()), false)
		}
		return false, nil
	})
	out.endBar()
	if err != nil {
		return withHint(ctx, err, "the conversion goes on: follow it with `trainyard watch %s`", version.GetName())
	}
	out.result(version, describeVersion(version)+warningsOf(ctx, api, version))
	if version.GetState() != ingestv1.Version_READY {
		return errSilent
	}
	return nil
}

func describeVersion(v *ingestv1.Version) string {
	if v.GetState() != ingestv1.Version_READY {
		text := fmt.Sprintf("%s is %s: %s", v.GetName(), v.GetState(), v.GetError().GetMessage())
		if v.GetRejectedCount() > 0 {
			text += fmt.Sprintf("\n  see what was left out until then with: trainyard list %s/rejections", v.GetName())
		}
		return text
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s is READY: read as %s, %s", v.GetName(), v.GetFormat(), counted(int64(v.GetExampleCount()), "example"))
	if n := len(v.GetClasses()); n > 0 {
		b.WriteString(" of " + counted(int64(n), "class"))
	}
	b.WriteString(" in " + counted(int64(v.GetShardCount()), "shard"))
	for _, s := range v.GetSplits() {
		fmt.Fprintf(&b, "\n  %-10s %8d", s.GetName(), s.GetExampleCount())
	}
	if n := v.GetRejectedCount(); n > 0 {
		fmt.Fprintf(&b, "\n  left out: %s; see why with: trainyard list %s/rejections", counted(int64(n), "file or row"), v.GetName())
	}
	return b.String()
}

// warningsOf is what the user should know of a READY version, a line each. That it can't be read is no failure of the conversion.
func warningsOf(ctx context.Context, api *client.Client, v *ingestv1.Version) string {
	const most = 5
	var statistics converterv1.Statistics
	if v.GetState() != ingestv1.Version_READY || api.Get(ctx, "/v1/"+v.GetName()+"/statistics", nil, &statistics) != nil {
		return ""
	}
	var b strings.Builder
	for i, warning := range statistics.GetWarnings() {
		if i == most {
			fmt.Fprintf(&b, "\n  and %s; see all with: trainyard get %s/statistics", counted(int64(len(statistics.GetWarnings())-most), "more warning"), v.GetName())
			break
		}
		b.WriteString("\n  warning: " + printable(warning))
	}
	return b.String()
}

// counted is a number of things, in English.
func counted(n int64, thing string) string {
	switch {
	case n == 1:
	case strings.HasSuffix(thing, "s"):
		thing += "es"
	default:
		thing = strings.ReplaceAll(thing, " or ", "s or ") + "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}
