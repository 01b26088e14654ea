package main

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	ingestv1 "github.com/trainyard/trainyard/gen/trainyard/ingest/v1"
	trainingv1 "github.com/trainyard/trainyard/gen/trainyard/training/v1"
	"github.com/trainyard/trainyard/services/internal/auth"
	"github.com/trainyard/trainyard/services/internal/boot"
	"github.com/trainyard/trainyard/services/internal/testkit"
	"github.com/trainyard/trainyard/services/trainyard/client"
	"go.einride.tech/aip/fieldbehavior"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/structpb"
)

// An rpc whose request names a resource by `name` or `parent` must answer another project with NOT_FOUND. What doesn't is listed here;
// an rpc that neither names a resource nor is listed fails the test, so that a new one can't be forgotten.
const (
	serviceOnly  = "only services may call it: PERMISSION_DENIED"
	ownOnly      = "shows the caller's own and nothing of another project"
	everyones    = "shows what the operator set up for every project"
	notFoundToo  = "names another project's resource in its body: NOT_FOUND"
	ownSums      = "sums up the caller's own; another project has none"
	ownNamespace = "makes the caller's own, whatever ids another project has"
)

var rules = map[string]string{
	"/trainyard.ingest.v1.IngestService/CreateDataset":             ownNamespace,
	"/trainyard.ingest.v1.IngestService/ListDatasets":              ownOnly,
	"/trainyard.ingest.v1.ConversionService/ClaimConversion":       serviceOnly,
	"/trainyard.ingest.v1.ConversionService/ReportProgress":        serviceOnly,
	"/trainyard.ingest.v1.ConversionService/FinishConversion":      serviceOnly,
	"/trainyard.ingest.v1.ConversionService/FailConversion":        serviceOnly,
	"/trainyard.converter.v1.ConverterService/ListFormats":         everyones,
	"/trainyard.training.v1.CatalogService/ListRecipes":            everyones,
	"/trainyard.training.v1.CatalogService/GetRecipe":              everyones,
	"/trainyard.training.v1.CatalogService/ListBaseDatasets":       ownOnly,
	"/trainyard.training.v1.CatalogService/PublishBaseDataset":     notFoundToo,
	"/trainyard.training.v1.TrainingService/CreateTrainingJob":     notFoundToo,
	"/trainyard.training.v1.TrainingService/ListTrainingJobs":      ownOnly,
	"/trainyard.training.v1.TrainingService/PreflightTrainingJob":  notFoundToo,
	"/trainyard.training.v1.TrainingService/EstimateTrainingJob":   notFoundToo,
	"/trainyard.training.v1.TrainingService/CompareRegions":        notFoundToo,
	"/trainyard.training.v1.TrainingService/GetTrainingUsage":      ownSums,
	"/trainyard.training.v1.SweepService/CreateSweep":              notFoundToo,
	"/trainyard.training.v1.SweepService/ListSweeps":               ownOnly,
	"/trainyard.training.v1.ModelService/ListModels":               ownOnly,
	"/trainyard.notification.v1.NotificationService/PublishEvents": serviceOnly,
	"/trainyard.notification.v1.NotificationService/ListEvents":    ownOnly,
	"/trainyard.notification.v1.NotificationService/WatchEvents":   ownOnly,
}

// A trainer as small as the contract lets it be.
const tinyTrainer = `#!/bin/sh
echo '{"accuracy":1}' > "$SAGEMAKER_BASE_DIR/model/evaluation.json"
`

func TestEveryRPCKeepsProjectsApart(t *testing.T) {
	data := t.TempDir()
	trainer := filepath.Join(t.TempDir(), "trainer")
	if err := os.WriteFile(trainer, []byte(tinyTrainer), 0o700); err != nil { //nolint:gosec // A test's program.
		t.Fatal(err)
	}
	suite := runSuite(t, &upCommand{Data: data, Trainer: trainer})
	dial := func(token string) *grpc.ClientConn {
		conn, err := boot.Dial(suite.GRPC, token)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	user := func(project string) string {
		token, err := auth.AddToken(filepath.Join(data, "tokens.json"), project, project, false)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	otherToken, twinToken := user("other"), user("twin")
	owner, other, twin := dial(suite.Token), dial(otherToken), dial(twinToken)
	stranger, err := boot.DialPlain(suite.GRPC)
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	owned := makeResources(t, client.New(suite.HTTP, suite.Token))
	// So that the other project's events have one to show.
	if err := client.New(suite.HTTP, otherToken).Post(t.Context(), "/v1/datasets?datasetId=own", &ingestv1.Dataset{}, &ingestv1.Dataset{}); err != nil {
		t.Fatal(err)
	}

	// The other project names the owner's by every means there is.
	asOther := auth.ForProject(t.Context(), localProject)
	before := owned.state(t)
	for _, method := range methods(t) {
		t.Run(method.path, func(t *testing.T) {
			request := owned.request(t, method)
			if _, err := method.call(t.Context(), stranger, request); status.Code(err) != codes.Unauthenticated {
				t.Errorf("without a token: %v", err)
			}
			rule, caller := rules[method.path], other
			if rule == ownNamespace {
				caller = twin // The other shall go on having nothing of that name.
			}
			answer, err := method.call(asOther, caller, request)
			named := request.ProtoReflect().Descriptor().Fields()
			switch {
			case rule == serviceOnly:
				if status.Code(err) != codes.PermissionDenied {
					t.Errorf("%s: %v", rule, err)
				}
				if _, err := method.call(t.Context(), owner, request); status.Code(err) != codes.PermissionDenied {
					t.Errorf("the owner, who is no service either: %v", err)
				}
			case rule == everyones || rule == ownNamespace:
				if err != nil {
					t.Errorf("%s: %v", rule, err)
				}
			case rule == ownSums:
				if usage, ok := answer.(*trainingv1.GetTrainingUsageResponse); err != nil || !ok || usage.GetInstanceHours() != 0 || usage.GetCost() != 0 {
					t.Errorf("%s, yet it answers %v, %v", rule, answer, err)
				}
			case rule == ownOnly:
				if text := protojson.Format(answer); err != nil || owned.mentionedIn(text) {
					t.Errorf("%s, yet it answers %s, %v", rule, text, err)
				}
			case rule == notFoundToo || named.ByName("name") != nil || named.ByName("parent") != nil:
				if status.Code(err) != codes.NotFound {
					t.Errorf("%v, want NOT_FOUND", err)
				}
			default:
				t.Fatal("the test has no rule for this rpc; add one")
			}
		})
	}
	t.Run("a request id is one project's", func(t *testing.T) {
		mine := &ingestv1.Version{}
		err := client.New(suite.HTTP, twinToken).Post(t.Context(), "/v1/datasets/"+secretDataset+"/versions?requestId="+requestID, newUpload(), mine)
		if err != nil || mine.GetName() != "datasets/"+secretDataset+"/versions/1" {
			t.Errorf("%v: %v", err, mine)
		}
	})
	if after := owned.state(t); after != before {
		t.Errorf("the other project changed something: %s\nwas: %s", after, before)
	}

	// The same requests by the owner show that it was the project and nothing else that they were refused for.
	for _, method := range methods(t) {
		if rule := rules[method.path]; rule == serviceOnly || rule == everyones {
			continue
		}
		t.Run("as the owner"+method.path, func(t *testing.T) {
			answer, err := method.call(t.Context(), owner, owned.request(t, method))
			switch status.Code(err) {
			case codes.OK:
				if rules[method.path] == ownOnly && !owned.mentionedIn(protojson.Format(answer)) {
					t.Errorf("nothing of the owner's own in %s", protojson.Format(answer))
				}
			case codes.FailedPrecondition, codes.AlreadyExists: // Its state doesn't allow the call; it is found.
			default:
				t.Error(err)
			}
		})
	}
}

// resources are one project's, one of each kind.
type resources struct {
	api       *client.Client
	byPattern map[string]string // As in google.api.http, such as `datasets/*`.
	fields    map[protoreflect.Name]protoreflect.Value
	job       string
}

const (
	secretDataset   = "secret"
	requestID       = "0194f0a0-0000-7000-8000-00000000beef"
	secretReady     = "datasets/" + secretDataset + "/versions/1"
	secretUploading = "datasets/" + secretDataset + "/versions/2"
	secretBase      = "baseDatasets/" + secretDataset
)

// makeResources makes a READY version, one that is still UPLOADING, a job and its model.
func makeResources(t *testing.T, api *client.Client) *resources {
	t.Helper()
	ctx, out := t.Context(), newOutput(true)
	archive := filepath.Join(t.TempDir(), "squares.zip")
	if err := os.WriteFile(archive, squares(t), 0o600); err != nil {
		t.Fatal(err)
	}
	push := &pushCommand{Path: archive, Dataset: secretDataset, Parallel: 1}
	if err := push.push(ctx, api, out); err != nil {
		t.Fatal(err)
	}
	uploading := &ingestv1.Version{}
	if err := api.Post(ctx, "/v1/datasets/"+secretDataset+"/versions?requestId="+requestID, newUpload(), uploading); err != nil || uploading.GetName() != secretUploading {
		t.Fatalf("%v: %v", err, uploading)
	}
	publish := &basePublishCommand{Dataset: secretReady, ID: secretDataset}
	if err := publish.publish(ctx, api, out); err != nil {
		t.Fatal(err)
	}
	job := &trainingv1.TrainingJob{Recipe: "recipes/image-classification", DatasetVersion: secretReady}
	if err := api.Post(ctx, "/v1/trainingJobs?requestId="+requestID, job, job); err != nil {
		t.Fatal(err)
	}
	if err := waitForJob(ctx, api, job, out); err != nil {
		t.Fatalf("%v: %v", err, job)
	}
	sweep := newSweep()
	if err := api.Post(ctx, "/v1/sweeps", sweep, sweep); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, time.Minute, "the sweep ends", func() bool {
		return api.Get(ctx, "/v1/"+sweep.GetName(), nil, sweep) == nil && sweep.GetState() == trainingv1.Sweep_SUCCEEDED
	})
	return &resources{
		api: api,
		job: job.GetName(),
		byPattern: map[string]string{
			"datasets/*": "datasets/" + secretDataset, "datasets/*/versions/*": secretReady, "trainingJobs/*": job.GetName(), "models/*": job.GetModel(),
			"recipes/*": "recipes/image-classification", "baseDatasets/*": secretBase, "sweeps/*": sweep.GetName(),
		},
		// What requests need beside names, so that nothing but the caller is wrong with them.
		fields: map[protoreflect.Name]protoreflect.Value{
			"dataset_id": protoreflect.ValueOfString(secretDataset), "request_id": protoreflect.ValueOfString(requestID),
			"dataset_version": protoreflect.ValueOfString(secretReady), "recipe": protoreflect.ValueOfString("recipes/image-classification"),
			"file_name": protoreflect.ValueOfString("x.zip"), "size_bytes": protoreflect.ValueOfInt64(1),
			"part_number": protoreflect.ValueOfInt32(1), "crc32c": protoreflect.ValueOfString("yZRlqg=="),
			"base_dataset_id": protoreflect.ValueOfString(secretDataset), "storage": protoreflect.ValueOfEnum(trainingv1.BaseDataset_EFS.Number()),
			"file_system_id": protoreflect.ValueOfString(localFileSystem), "path": protoreflect.ValueOfString("/" + localProject + "/" + secretDataset),
			"other_region": protoreflect.ValueOfString("cn-north-1"),
			// Of calls between services.
			"project": protoreflect.ValueOfString(localProject), "bucket": protoreflect.ValueOfString("trainyard"),
			"key":  protoreflect.ValueOfString("uploads/" + localProject + "/" + secretDataset + "/1/source.zip"),
			"name": protoreflect.ValueOfString(secretReady), "id": protoreflect.ValueOfString(uuid.NewString()), "type": protoreflect.ValueOfString("x"),
			"resource": protoreflect.ValueOfString("datasets"),
		},
	}
}

// newUpload is as resources.request makes it.
func newUpload() *ingestv1.Version {
	return &ingestv1.Version{FileName: "x.zip", SizeBytes: 1, Conversion: &ingestv1.ConversionOptions{SplitFractions: &ingestv1.SplitFractions{}}}
}

// newSweep is one of a single trial.
func newSweep() *trainingv1.Sweep {
	return &trainingv1.Sweep{
		TrainingJob: &trainingv1.TrainingJob{Recipe: "recipes/image-classification", DatasetVersion: secretReady},
		Parameters:  map[string]*trainingv1.SweepRange{"epochs": {Values: []*structpb.Value{structpb.NewNumberValue(1)}}},
	}
}

// squares is a zip of two classes.
func squares(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	archive := zip.NewWriter(&b)
	for i := range 40 {
		img := image.NewGray(image.Rect(0, 0, 8, 8))
		img.SetGray(i%8, i/8, color.Gray{Y: 255})
		entry, err := archive.Create(fmt.Sprintf("%s/%d.png", []string{"dark", "light"}[i%2], i))
		if err == nil {
			err = png.Encode(entry, img)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func (r *resources) mentionedIn(text string) bool {
	return strings.Contains(text, secretDataset) || strings.Contains(text, strings.TrimPrefix(r.job, "trainingJobs/"))
}

func (r *resources) state(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, name := range []string{"datasets/" + secretDataset, secretReady, secretUploading, secretBase, r.job, r.byPattern["models/*"], r.byPattern["sweeps/*"]} {
		data, err := r.api.GetJSON(t.Context(), "/v1/"+name)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(data)
	}
	return all.String()
}

// request fills a method's request: names from the pattern of its REST path, the rest by the fields' names.
func (r *resources) request(t *testing.T, m method) proto.Message {
	t.Helper()
	request := newMessage(t, m.descriptor.Input())
	r.fill(t, request.ProtoReflect(), 0)
	if r, ok := request.(*trainingv1.CreateSweepRequest); ok { // Maps are not filled.
		r.Sweep.Parameters = newSweep().Parameters
	}
	http, ok := proto.GetExtension(m.descriptor.Options(), annotations.E_Http).(*annotations.HttpRule)
	if !ok || http == nil {
		return request
	}
	variable, pattern, ok := pathVariable(http.GetGet() + http.GetPost() + http.GetPatch() + http.GetPut() + http.GetDelete())
	if !ok {
		return request
	}
	name, known := r.byPattern[pattern]
	if !known {
		t.Fatalf("the test has no resource for %q; make one", pattern)
	}
	field := request.ProtoReflect().Descriptor().Fields().ByName(protoreflect.Name(variable))
	if field == nil {
		t.Fatalf("%s has no field %q", m.path, variable)
	}
	request.ProtoReflect().Set(field, protoreflect.ValueOfString(name))
	return request
}

// pathVariable takes `{name=datasets/*}` out of a path.
func pathVariable(path string) (variable, pattern string, ok bool) {
	_, rest, ok := strings.Cut(path, "{")
	if !ok {
		return "", "", false
	}
	inside, _, _ := strings.Cut(rest, "}")
	return strings.Cut(inside, "=")
}

func (r *resources) fill(t *testing.T, m protoreflect.Message, depth int) {
	t.Helper()
	for i := range m.Descriptor().Fields().Len() {
		field := m.Descriptor().Fields().Get(i)
		if value, ok := r.fields[field.Name()]; ok && !field.IsList() && !field.IsMap() && field.Kind() == kindOf(value) {
			m.Set(field, value)
			continue
		}
		// A recipe excludes an image of one's own, and what only answers hold is not sent.
		if field.Name() == "custom_image" || fieldbehavior.Has(field, annotations.FieldBehavior_OUTPUT_ONLY) {
			continue
		}
		if field.Message() == nil || field.IsMap() || depth > 3 || strings.HasPrefix(string(field.Message().FullName()), "google.") {
			continue
		}
		inner := newMessage(t, field.Message())
		r.fill(t, inner.ProtoReflect(), depth+1)
		if field.IsList() {
			m.Mutable(field).List().Append(protoreflect.ValueOfMessage(inner.ProtoReflect()))
		} else {
			m.Set(field, protoreflect.ValueOfMessage(inner.ProtoReflect()))
		}
	}
}

func kindOf(value protoreflect.Value) protoreflect.Kind {
	switch value.Interface().(type) {
	case int32:
		return protoreflect.Int32Kind
	case int64:
		return protoreflect.Int64Kind
	case protoreflect.EnumNumber:
		return protoreflect.EnumKind
	default:
		return protoreflect.StringKind
	}
}

func newMessage(t *testing.T, d protoreflect.MessageDescriptor) proto.Message {
	t.Helper()
	kind, err := protoregistry.GlobalTypes.FindMessageByName(d.FullName())
	if err != nil {
		t.Fatal(err)
	}
	return kind.New().Interface()
}

type method struct {
	path       string // As gRPC has it: /package.Service/Method.
	descriptor protoreflect.MethodDescriptor
}

// methods are all of the suite's, by its contracts.
func methods(t *testing.T) []method {
	t.Helper()
	var all []method
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			if !strings.HasPrefix(string(service.FullName()), "trainyard.") {
				continue
			}
			for j := range service.Methods().Len() {
				m := service.Methods().Get(j)
				all = append(all, method{fmt.Sprintf("/%s/%s", service.FullName(), m.Name()), m})
			}
		}
		return true
	})
	if len(all) < len(rules) {
		t.Fatalf("only %d rpcs are registered", len(all))
	}
	return all
}

// call gives a method's answer, of the stream of events the first event.
func (m method) call(ctx context.Context, conn *grpc.ClientConn, request proto.Message) (proto.Message, error) {
	kind, err := protoregistry.GlobalTypes.FindMessageByName(m.descriptor.Output().FullName())
	if err != nil {
		return nil, err
	}
	answer := kind.New().Interface()
	if !m.descriptor.IsStreamingServer() {
		return answer, conn.Invoke(ctx, m.path, request, answer)
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, m.path)
	if err == nil {
		err = stream.SendMsg(request)
	}
	if err == nil {
		err = stream.CloseSend()
	}
	event := answer.ProtoReflect().Descriptor().Fields().ByName("event")
	for err == nil {
		err = stream.RecvMsg(answer)
		if event == nil || answer.ProtoReflect().Has(event) { // One without is a heartbeat.
			break
		}
	}
	return answer, err
}
