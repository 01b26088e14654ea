package ingest_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	ingestv1 "github.com/trainyard/trainyard/gen/trainyard/ingest/v1"
	"github.com/trainyard/trainyard/services/ingest"
	"github.com/trainyard/trainyard/services/internal/apierror"
	"github.com/trainyard/trainyard/services/internal/auth"
	"github.com/trainyard/trainyard/services/internal/testkit"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// The calls are made from the contract itself, so that a new rpc that tells of another project's resource fails here.
func TestOtherProjectsResourceIsNotThere(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, dsn string) {
		s := start(t, dsn)
		v := s.uploaded(s.dataset("digits"))
		begun := s.version("datasets/digits", 1000)
		before := []*ingestv1.Version{s.get(v.GetName()), s.get(begun.GetName())}
		stranger := s.server.User("stranger")

		methods := ingestv1.File_trainyard_ingest_v1_ingest_proto.Services().ByName("IngestService").Methods()
		for i := range methods.Len() {
			method := methods.Get(i)
			t.Run(string(method.Name()), func(t *testing.T) {
				for _, name := range []string{v.GetName(), begun.GetName()} {
					req, aimed := requestFor(method.Input(), name)
					res := dynamicpb.NewMessage(method.Output())
					err := stranger.Invoke(t.Context(), fmt.Sprintf("/%s/%s", method.Parent().FullName(), method.Name()), req, res)
					switch {
					case aimed:
						refused(t, err, codes.NotFound, errorsv1.ErrorReason_RESOURCE_NOT_FOUND)
					case err != nil:
						t.Errorf("got %v", err)
					case strings.Contains(fmt.Sprint(res), "digits"):
						t.Errorf("the stranger sees %v", res)
					}
					if !aimed {
						break // Another CreateDataset would say, rightly, that the stranger has one now.
					}
				}
			})
		}
		// A service that acts for a project sees that project only, too.
		ctx := auth.ForProject(t.Context(), "stranger")
		_, err := s.conversion.FinishConversion(ctx, &ingestv1.FinishConversionRequest{
			Project: "stranger", Name: v.GetName(), Fence: 0, Result: &ingestv1.ConversionResult{},
		})
		refused(t, err, codes.NotFound, errorsv1.ErrorReason_RESOURCE_NOT_FOUND)
		for _, want := range before {
			if got := s.get(want.GetName()); !proto.Equal(got, want) {
				t.Errorf("changed by a stranger: %v, was %v", got, want)
			}
		}
	})
}

// requestFor fills a request that passes every field rule; aimed tells that it names the version or its dataset.
func requestFor(descriptor protoreflect.MessageDescriptor, version string) (req *dynamicpb.Message, aimed bool) {
	req = dynamicpb.NewMessage(descriptor)
	dataset, _, _ := strings.Cut(version, "/versions/")
	set := func(field protoreflect.Name, value proto.Message) {
		fd := descriptor.Fields().ByName(field)
		filled := req.NewField(fd)
		data, err := proto.Marshal(value)
		if err == nil {
			err = proto.Unmarshal(data, filled.Message().Interface())
		}
		if err != nil {
			panic(err)
		}
		req.Set(fd, filled)
	}
	for i := range descriptor.Fields().Len() {
		fd := descriptor.Fields().Get(i)
		switch fd.Name() {
		case "name":
			aimed = true
			name := version
			if strings.Contains(string(descriptor.Name()), "Dataset") {
				name = dataset
			}
			req.Set(fd, protoreflect.ValueOfString(name))
		case "parent":
			aimed = true
			req.Set(fd, protoreflect.ValueOfString(dataset))
		case "dataset_id":
			req.Set(fd, protoreflect.ValueOfString("other"))
		case "version":
			set("version", &ingestv1.Version{FileName: "x.zip", SizeBytes: 1})
		case "parts":
			element := req.Mutable(fd).List().AppendMutable().Message()
			element.Set(fd.Message().Fields().ByName("part_number"), protoreflect.ValueOfInt32(1))
			element.Set(fd.Message().Fields().ByName("crc32c"), protoreflect.ValueOfString("AAAAAA=="))
		}
	}
	return req, aimed
}

func TestListsComeInPagesNewestFirst(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, dsn string) {
		s := start(t, dsn)
		var want []string
		for i := range 7 {
			want = append(want, s.dataset(fmt.Sprintf("set-%d", i)))
		}
		slices.Reverse(want)
		var got []string
		datasets := &ingestv1.ListDatasetsRequest{PageSize: 3}
		for {
			page, err := s.ingest.ListDatasets(t.Context(), datasets)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range page.GetDatasets() {
				got = append(got, d.GetName())
			}
			if len(got) == 3 {
				s.dataset("late") // What is added meanwhile is newer and moves nothing.
			}
			if datasets.PageToken = page.GetNextPageToken(); datasets.PageToken == "" {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("datasets %v, want %v", got, want)
		}

		for range 5 {
			s.version("datasets/set-0", 1)
		}
		var numbers []string
		versions := &ingestv1.ListVersionsRequest{Parent: "datasets/set-0", PageSize: 2}
		for {
			page, err := s.ingest.ListVersions(t.Context(), versions)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range page.GetVersions() {
				numbers = append(numbers, strings.TrimPrefix(v.GetName(), "datasets/set-0/versions/"))
			}
			if versions.PageToken = page.GetNextPageToken(); versions.PageToken == "" {
				break
			}
		}
		if got := strings.Join(numbers, " "); got != "5 4 3 2 1" {
			t.Errorf("versions %s", got)
		}
		if got := s.get("datasets/set-0/versions/latest").GetName(); got != "datasets/set-0/versions/5" {
			t.Errorf("latest is %s", got)
		}
		res, err := s.ingest.GetDataset(t.Context(), &ingestv1.GetDatasetRequest{Name: "datasets/set-0"})
		if err != nil || res.GetDataset().GetLatestVersion() != 5 {
			t.Errorf("got %v, %v", res, err)
		}
	})
}

func TestRepeatedRequestGivesTheSameVersion(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, dsn string) {
		s := start(t, dsn)
		replicas := []*suite{s, s.replica()}
		parent := s.dataset("digits")
		request := func() *ingestv1.CreateVersionRequest {
			return &ingestv1.CreateVersionRequest{Parent: parent, RequestId: "a", Version: &ingestv1.Version{FileName: "x.zip", SizeBytes: 9}}
		}
		names := make([]string, 8)
		var group sync.WaitGroup
		for i := range names {
			group.Go(func() {
				res, err := replicas[i%2].ingest.CreateVersion(t.Context(), request())
				if err != nil {
					t.Error(err)
				}
				names[i] = res.GetVersion().GetName()
			})
		}
		group.Wait()
		if names = slices.Compact(names); !slices.Equal(names, []string{"datasets/digits/versions/1"}) {
			t.Errorf("one request made %v", names)
		}
		other := request()
		other.Version.SizeBytes = 10
		_, err := s.ingest.CreateVersion(t.Context(), other)
		refused(t, err, codes.InvalidArgument, errorsv1.ErrorReason_FIELD_INVALID)

		if _, err := s.ingest.AbortUpload(t.Context(), &ingestv1.AbortUploadRequest{Name: names[0]}); err != nil {
			t.Fatal(err)
		}
		res, err := s.ingest.CreateVersion(t.Context(), request())
		if err != nil || res.GetVersion().GetState() != ingestv1.Version_ABORTED {
			t.Errorf("repeated after the abort: %v, %v", res, err)
		}
	})
}

func TestQuotasHoldWhenManyAskAtOnce(t *testing.T) {
	for name, test := range map[string]struct {
		edit func(*ingest.Config)
		want int32
	}{
		"bytes":              {func(c *ingest.Config) { c.QuotaBytes = 39 }, 3},
		"versions":           {func(c *ingest.Config) { c.QuotaVersions = 4 }, 4},
		"concurrent_uploads": {func(c *ingest.Config) { c.QuotaConcurrent = 2 }, 2},
	} {
		t.Run(name, func(t *testing.T) {
			testkit.EachDatabase(t, func(t *testing.T, dsn string) {
				s := start(t, dsn, test.edit)
				s.dataset("one")
				s.dataset("two")
				begin := func(i int) error {
					_, err := s.ingest.CreateVersion(t.Context(), &ingestv1.CreateVersionRequest{
						Parent: "datasets/" + []string{"one", "two"}[i%2], Version: &ingestv1.Version{FileName: "x.zip", SizeBytes: 10},
					})
					return err
				}
				var made atomic.Int32
				var group sync.WaitGroup
				for i := range 8 {
					group.Go(func() {
						err := begin(i)
						if err == nil {
							made.Add(1)
						} else if !apierror.Is(err, errorsv1.ErrorReason_QUOTA_EXCEEDED) {
							t.Error(err)
						}
					})
				}
				group.Wait()
				if made.Load() != test.want {
					t.Errorf("%d versions were begun, want %d", made.Load(), test.want)
				}
				refused(t, begin(0), codes.ResourceExhausted, errorsv1.ErrorReason_QUOTA_EXCEEDED)

				_, errOne := s.ingest.AbortUpload(t.Context(), &ingestv1.AbortUploadRequest{Name: "datasets/one/versions/1"})
				_, errTwo := s.ingest.AbortUpload(t.Context(), &ingestv1.AbortUploadRequest{Name: "datasets/two/versions/1"})
				if errOne != nil && errTwo != nil {
					t.Fatal(errOne, errTwo)
				}
				if err := begin(0); err != nil {
					t.Errorf("an aborted upload still counts: %v", err)
				}
			})
		})
	}
}

func TestBadRequestsAreRefusedByField(t *testing.T) {
	s := start(t, testkit.SQLite(t))
	parent := s.dataset("digits")
	v := s.version(parent, 1000)
	create := func(edit func(*ingestv1.CreateVersionRequest)) func() error {
		return func() error {
			req := &ingestv1.CreateVersionRequest{Parent: parent, Version: &ingestv1.Version{FileName: "x.zip", SizeBytes: 1, Conversion: &ingestv1.ConversionOptions{}}}
			edit(req)
			_, err := s.ingest.CreateVersion(t.Context(), req)
			return err
		}
	}
	get := func(name string) func() error {
		return func() error {
			_, err := s.ingest.GetVersion(t.Context(), &ingestv1.GetVersionRequest{Name: name})
			return err
		}
	}
	sign := func(name string, number int32, sum string) func() error {
		return func() error {
			_, err := s.ingest.SignParts(t.Context(), &ingestv1.SignPartsRequest{Name: name, Parts: []*ingestv1.PartToSign{{PartNumber: number, Crc32C: sum}}})
			return err
		}
	}
	dataset := func(id, display string) func() error {
		return func() error {
			_, err := s.ingest.CreateDataset(t.Context(), &ingestv1.CreateDatasetRequest{DatasetId: id, Dataset: &ingestv1.Dataset{DisplayName: display}})
			return err
		}
	}
	for name, call := range map[string]func() error{
		"no size":                create(func(r *ingestv1.CreateVersionRequest) { r.Version.SizeBytes = 0 }),
		"negative size":          create(func(r *ingestv1.CreateVersionRequest) { r.Version.SizeBytes = -1 }),
		"more than 5 TiB":        create(func(r *ingestv1.CreateVersionRequest) { r.Version.SizeBytes = 5<<40 + 1 }),
		"no file name":           create(func(r *ingestv1.CreateVersionRequest) { r.Version.FileName = "" }),
		"file name with NUL":     create(func(r *ingestv1.CreateVersionRequest) { r.Version.FileName = "a\x00b" }),
		"parent of another kind": create(func(r *ingestv1.CreateVersionRequest) { r.Parent = "models/x" }),
		"parent that climbs":     create(func(r *ingestv1.CreateVersionRequest) { r.Parent = "datasets/.." }),
		"splits that sum to 0.9": create(func(r *ingestv1.CreateVersionRequest) {
			r.Version.Conversion.SplitFractions = &ingestv1.SplitFractions{Train: 0.5, Validation: 0.4}
		}),
		"split that is no number": create(func(r *ingestv1.CreateVersionRequest) {
			r.Version.Conversion.SplitFractions = &ingestv1.SplitFractions{Train: math.NaN()}
		}),
		"bad fraction above 1":      create(func(r *ingestv1.CreateVersionRequest) { r.Version.Conversion.MaxBadFraction = proto.Float64(1.5) }),
		"dataset id in capitals":    dataset("Digits", ""),
		"dataset id that climbs":    dataset("../x", ""),
		"title with escape":         dataset("fine", "\x1b[31m"),
		"version that is no name":   get("datasets/digits/versions/x"),
		"version 0":                 get("datasets/digits/versions/0"),
		"version -1":                get("datasets/digits/versions/-1"),
		"version with zeros":        get("datasets/digits/versions/01"),
		"wildcard":                  get("datasets/-/versions/1"),
		"part 0":                    sign(v.GetName(), 0, "AAAAAA=="),
		"part beyond the plan":      sign(v.GetName(), 2, "AAAAAA=="),
		"checksum that is none":     sign(v.GetName(), 1, "x"),
		"alias where it would bite": sign("datasets/digits/versions/latest", 1, "AAAAAA=="),
	} {
		t.Run(name, func(t *testing.T) {
			refused(t, call(), codes.InvalidArgument, errorsv1.ErrorReason_FIELD_INVALID)
		})
	}
	// What the converter would refuse once the file is there is refused before, by a text that names the field, what was chosen and what can be.
	for name, test := range map[string]struct {
		options *ingestv1.ConversionOptions
		field   string
		says    []string
	}{
		"unknown format":        {&ingestv1.ConversionOptions{Format: "imagefolder"}, "version.conversion.format", []string{`"imagefolder"`, "image-folder", "yolo", "empty"}},
		"label of no column":    {&ingestv1.ConversionOptions{Format: "coco", LabelColumn: "kind"}, "version.conversion.label_column", []string{"coco", "csv", "parquet", "Leave"}},
		"label that is long":    {&ingestv1.ConversionOptions{LabelColumn: strings.Repeat("é", 129)}, "version.conversion.label_column", []string{"256"}},
		"splits that sum to .9": {&ingestv1.ConversionOptions{SplitFractions: &ingestv1.SplitFractions{Train: 0.5, Validation: 0.4}}, "version.conversion.split_fractions", []string{"0.9", "sum to 1"}},
		"nothing to train on":   {&ingestv1.ConversionOptions{SplitFractions: &ingestv1.SplitFractions{Test: 1}}, "version.conversion.split_fractions.train", []string{"above 0"}},
		"unknown compression":   {&ingestv1.ConversionOptions{Compression: 7}, "version.conversion.compression", []string{"NONE, GZIP"}},
		"unknown package":       {&ingestv1.ConversionOptions{Package: 7}, "version.conversion.package", []string{"TAR"}},
		"negative bad fraction": {&ingestv1.ConversionOptions{MaxBadFraction: proto.Float64(-1)}, "version.conversion.max_bad_fraction", []string{"0"}},
	} {
		t.Run(name, func(t *testing.T) {
			err := create(func(r *ingestv1.CreateVersionRequest) { r.Version.Conversion = test.options })()
			refused(t, err, codes.InvalidArgument, errorsv1.ErrorReason_FIELD_INVALID)
			if field := apierror.Fact(err, "field"); field != test.field {
				t.Errorf("the field is %q, want %q", field, test.field)
			}
			for _, text := range test.says {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("%q is not in %v", text, err)
				}
			}
		})
	}
	for name, options := range map[string]*ingestv1.ConversionOptions{
		"format and column":   {Format: "csv", LabelColumn: "kind"},
		"column alone":        {LabelColumn: "kind"},
		"no test split":       {SplitFractions: &ingestv1.SplitFractions{Train: 0.7, Validation: 0.3}},
		"no bad file at all":  {MaxBadFraction: proto.Float64(0)},
		"the default, unsaid": {},
	} {
		t.Run(name+" is taken", func(t *testing.T) {
			res, err := s.ingest.CreateVersion(t.Context(), &ingestv1.CreateVersionRequest{Parent: parent, Version: &ingestv1.Version{FileName: "x.zip", SizeBytes: 1, Conversion: options}})
			if err != nil {
				t.Fatal(err)
			}
			if got := s.get(res.GetVersion().GetName()).GetConversion(); !proto.Equal(got, options) {
				t.Errorf("%v was kept as %v", options, got)
			}
		})
	}
	refused(t, dataset("digits", "")(), codes.AlreadyExists, errorsv1.ErrorReason_RESOURCE_EXISTS)
	refused(t, get("datasets/digits/versions/9999999999")(), codes.NotFound, errorsv1.ErrorReason_RESOURCE_NOT_FOUND)
	refused(t, get("datasets/digits/versions/latest-ready")(), codes.NotFound, errorsv1.ErrorReason_RESOURCE_NOT_FOUND)
	for _, token := range []string{"x", "!", "e30", "eyJuIjotMX0"} { // Noise, no base64, {}, {"n":-1}.
		_, err := s.ingest.ListVersions(t.Context(), &ingestv1.ListVersionsRequest{Parent: parent, PageToken: token})
		refused(t, err, codes.InvalidArgument, errorsv1.ErrorReason_PAGE_TOKEN_INVALID)
		_, err = s.ingest.ListDatasets(t.Context(), &ingestv1.ListDatasetsRequest{PageToken: token})
		refused(t, err, codes.InvalidArgument, errorsv1.ErrorReason_PAGE_TOKEN_INVALID)
	}
}

// Lists and the reconciler's question must stay quick however many versions there are.
func TestQueriesUseIndexes(t *testing.T) {
	s := start(t, testkit.SQLite(t))
	for name, query := range map[string]string{
		"datasets":         `SELECT * FROM datasets WHERE project = 'p' AND (create_time, id) < (1, 'x') ORDER BY create_time DESC, id DESC LIMIT 50`,
		"versions":         `SELECT * FROM versions WHERE project = 'p' AND dataset = 'd' AND number < 9 ORDER BY number DESC LIMIT 50`,
		"latest ready":     `SELECT * FROM versions WHERE project = 'p' AND dataset = 'd' AND state = 'READY' ORDER BY number DESC LIMIT 1`,
		"due":              `SELECT * FROM versions WHERE next_check <= 1 ORDER BY next_check LIMIT 100`,
		"object":           `SELECT * FROM versions WHERE bucket = 'b' AND object_key = 'k'`,
		"request":          `SELECT * FROM versions WHERE project = 'p' AND dataset = 'd' AND request_id = 'r'`,
		"quota":            `SELECT count(*), sum(size_bytes), count(CASE WHEN state = 'UPLOADING' THEN 1 END) FROM versions WHERE project = 'p' AND state IN ('UPLOADING', 'READY')`,
		"oldest in outbox": `SELECT * FROM outbox ORDER BY id LIMIT 200`,
	} {
		t.Run(name, func(t *testing.T) {
			rows, err := s.db.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query)
			if err != nil {
				t.Fatal(err)
			}
			defer rows.Close()
			for rows.Next() {
				var id, parent, unused int
				var detail string
				if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
					t.Fatal(err)
				}
				if strings.Contains(detail, "TEMP B-TREE") || (strings.HasPrefix(detail, "SCAN") && !strings.Contains(detail, "USING INDEX")) {
					t.Errorf("plan: %s", detail)
				}
			}
			if err := rows.Err(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// A version is as quick to list and to begin after a thousand others as after none.
func TestThousandVersions(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, dsn string) {
		s := start(t, dsn)
		parent := s.dataset("digits")
		first := s.version(parent, 1)
		if _, err := s.db.ExecContext(t.Context(), `INSERT INTO versions (project, dataset, number, state, revision, fence, lease_until, worker, attempts,
			best_examples, file_name, size_bytes, options, bucket, object_key, upload_id, part_size, part_count, etag, object_version,
			create_time, update_time, expire_time, checks)
			WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
			SELECT project, dataset, i, 'READY', 1, 1, 0, '', 1, 0, file_name, 1, '{}', bucket, 'k' || i, '', 1, 1, 'e', '', create_time, update_time, 0, 0
			FROM versions, n WHERE number = 1`); err != nil {
			t.Fatal(err)
		}
		if _, err := s.db.ExecContext(t.Context(), "UPDATE datasets SET latest_version = 1000"); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		page, err := s.ingest.ListVersions(t.Context(), &ingestv1.ListVersionsRequest{Parent: parent, PageSize: 5000})
		if err != nil || len(page.GetVersions()) != 1000 || page.GetNextPageToken() != "" || page.GetVersions()[999].GetName() != first.GetName() {
			t.Fatalf("%d versions, token %q, %v", len(page.GetVersions()), page.GetNextPageToken(), err)
		}
		if v := s.version(parent, 1); v.GetName() != parent+"/versions/1001" {
			t.Errorf("begun %s", v.GetName())
		}
		t.Logf("list and begin took %v", time.Since(begin))
	})
}

func TestConfigSaysWhatIsWrong(t *testing.T) {
	good := ingest.Config{Store: "sqlite:" + filepath.Join(os.TempDir(), uuid.NewString()), Bucket: "b"}
	for name, test := range map[string]struct {
		edit func(*ingest.Config)
		want string
	}{
		"good":         {func(*ingest.Config) {}, ""},
		"no store":     {func(c *ingest.Config) { c.Store = "" }, "--store"},
		"no bucket":    {func(c *ingest.Config) { c.Bucket = "" }, "--bucket"},
		"small parts":  {func(c *ingest.Config) { c.PartSize = 1 }, "--part-size"},
		"long signing": {func(c *ingest.Config) { c.URLLifetime = 200 * time.Hour }, "--url-lifetime"},
		"negative":     {func(c *ingest.Config) { c.LeaseDuration = -1 }, "negative"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := good
			test.edit(&cfg)
			err := cfg.Validate()
			if (err == nil) != (test.want == "") || (err != nil && !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}
