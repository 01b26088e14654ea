package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	ingestv1 "github.com/trainyard/trainyard/gen/trainyard/ingest/v1"
	notificationv1 "github.com/trainyard/trainyard/gen/trainyard/notification/v1"
	trainingv1 "github.com/trainyard/trainyard/gen/trainyard/training/v1"
	"github.com/trainyard/trainyard/services/trainyard/client"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
)

func TestParametersAreWhatTheyLookLike(t *testing.T) {
	for text, want := range map[string]any{
		"3": 3.0, "0.004": 0.004, "1e-3": 0.001, "-1": -1.0, "true": true, "false": false, "grey": "grey", "": "", "1.2.3": "1.2.3",
	} {
		if got := parameters(map[string]string{"p": text})["p"].AsInterface(); got != want {
			t.Errorf("%q is %v, want %v", text, got, want)
		}
	}
}

func TestSplit(t *testing.T) {
	for text, want := range map[string]*ingestv1.SplitFractions{
		"0.8,0.1,0.1":  {Train: 0.8, Validation: 0.1, Test: 0.1},
		"0.7, 0.3, 0":  {Train: 0.7, Validation: 0.3},
		"1,0,0":        {Train: 1},
		"0.8,0.2":      nil,
		"0.8,0.1,0.2":  nil,
		"0.8,0.1,0.1x": nil,
		"1.1,-0.1,0":   nil,
		"NaN,0.5,0.5":  nil,
		"":             nil,
	} {
		var s split
		if err := s.UnmarshalText([]byte(text)); (err == nil) != (want != nil) || s.SplitFractions.String() != want.String() {
			t.Errorf("%q: %v, %v; want %v", text, s.SplitFractions, err, want)
		}
	}
}

func TestIDsOfNames(t *testing.T) {
	for name, want := range map[string]string{"abc": "abc", "models/abc": "abc", "trainingJobs/abc": "abc", "../../etc": "..%2Fetc", "a?b": "a%3Fb"} {
		if got := id(name); got != want {
			t.Errorf("%q has id %q, want %q", name, got, want)
		}
	}
}

func TestTextsForPeople(t *testing.T) {
	for name, test := range map[string]struct{ got, want string }{
		"a READY version": {
			describeVersion(&ingestv1.Version{
				Name: "datasets/d/versions/1", State: ingestv1.Version_READY, Format: "image-folder", ExampleCount: 10, ShardCount: 2, RejectedCount: 3,
				Classes: []*ingestv1.ClassCount{{Name: "a"}, {Name: "b"}}, Splits: []*ingestv1.Split{{Name: "train", ExampleCount: 8}},
			}),
			"datasets/d/versions/1 is READY: read as image-folder, 10 examples of 2 classes in 2 shards\n  train             8\n" +
				"  left out: 3 files or rows; see why with: trainyard list datasets/d/versions/1/rejections",
		},
		"a READY version without classes": {
			describeVersion(&ingestv1.Version{Name: "datasets/d/versions/1", State: ingestv1.Version_READY, Format: "csv", ExampleCount: 1, ShardCount: 1, RejectedCount: 1}),
			"datasets/d/versions/1 is READY: read as csv, 1 example in 1 shard\n" +
				"  left out: 1 file or row; see why with: trainyard list datasets/d/versions/1/rejections",
		},
		"a version that failed because of what it holds": {
			describeVersion(&ingestv1.Version{Name: "datasets/d/versions/1", State: ingestv1.Version_FAILED, RejectedCount: 40, Error: &errorsv1.Failure{Message: "Too many."}}),
			"datasets/d/versions/1 is FAILED: Too many.\n  see what was left out until then with: trainyard list datasets/d/versions/1/rejections",
		},
		"a FAILED version": {
			describeVersion(&ingestv1.Version{Name: "datasets/d/versions/1", State: ingestv1.Version_FAILED, Error: &errorsv1.Failure{Message: "The archive holds no files."}}),
			"datasets/d/versions/1 is FAILED: The archive holds no files.",
		},
		"what opens a pulled dataset": {openedBy(&ingestv1.ConversionOptions{}), "tfds.builder_from_directory opens it"},
		"what reads compressed shards": {
			openedBy(&ingestv1.ConversionOptions{Compression: ingestv1.ConversionOptions_GZIP}),
			`tf.data.TFRecordDataset(files, compression_type="GZIP") reads its shards`,
		},
		"a job that trains": {
			jobLine(&trainingv1.TrainingJob{
				Name: "trainingJobs/j", State: trainingv1.TrainingJob_RUNNING, SecondaryStatus: "Training",
				Metrics: map[string]float64{"validation:loss": 0.25, "train:loss": 0.5, "train:learning_rate": 0.1, "progress:epoch": 3},
			}),
			"trainingJobs/j RUNNING (Training) train:loss=0.5 validation:loss=0.25",
		},
		"a job that failed": {
			jobLine(&trainingv1.TrainingJob{
				Name: "trainingJobs/j", State: trainingv1.TrainingJob_FAILED, SecondaryStatus: "Failed", Failure: &errorsv1.Failure{Message: "out of memory"},
			}),
			"trainingJobs/j FAILED\nout of memory\nIts log: trainyard logs trainingJobs/j",
		},
		"an event of a conversion": {
			summary(event(t, `{"state":"CONVERTING","progress":{"phase":"converting","doneExamples":5,"totalExamples":10}}`)), "CONVERTING converting 5/10",
		},
		"an event of planning": {
			summary(event(t, `{"state":"CONVERTING","progress":{"phase":"planning","doneBytes":"500","totalBytes":"2000"}}`)), "CONVERTING planning 500/2000 bytes",
		},
		"an event of a job": {
			summary(event(t, `{"state":"RUNNING","secondaryStatus":"Training","metrics":{"validation:accuracy":0.5,"train:loss":1}}`)), "RUNNING Training validation:accuracy=0.5",
		},
	} {
		if test.got != test.want {
			t.Errorf("%s:\n%s\nwant:\n%s", name, test.got, test.want)
		}
	}
}

func event(t *testing.T, payload string) *notificationv1.Event {
	t.Helper()
	var s structpb.Struct
	if err := s.UnmarshalJSON([]byte(payload)); err != nil {
		t.Fatal(err)
	}
	return &notificationv1.Event{Payload: &s}
}

func TestJSONIsOneObjectALine(t *testing.T) {
	var stdout, stderr bytes.Buffer
	out := &output{json: true, stdout: &stdout, stderr: &stderr}
	out.note("for people")
	out.progress("convert", "", 0, 0, false) // Not known yet.
	out.progress("upload", "", 5, 5, true)
	out.update(&trainingv1.TrainingJob{Name: "trainingJobs/j"})
	out.result(&ingestv1.Version{Name: "datasets/d/versions/1", FileName: "a\nb"}, "for people")
	lines := strings.Split(strings.TrimSpace(stdout.String()), "\n")
	if len(lines) != 3 || stderr.Len() > 0 {
		t.Fatalf("%d lines: %s%s", len(lines), &stdout, &stderr)
	}
	var last map[string]any
	for _, line := range lines {
		last = nil
		if err := json.Unmarshal([]byte(line), &last); err != nil {
			t.Errorf("%q: %v", line, err)
		}
	}
	// The fields that scripts depend on are there even where they are empty.
	for _, field := range []string{"name", "state", "exampleCount", "classes", "splits", "shardCount", "error"} {
		if _, ok := last[field]; !ok {
			t.Errorf("a version without %q: %v", field, last)
		}
	}
}

func TestErrorsAreJSONToo(t *testing.T) {
	for want, err := range map[string]error{
		`{"reason":"PARAMETER_INVALID","message":"m","metadata":{"field":"epochs"}}`: fmt.Errorf("%w", &client.Error{
			Reason: errorsv1.ErrorReason_PARAMETER_INVALID, Message: "m", Metadata: map[string]string{"field": "epochs"},
		}),
		`{"reason":"ERROR_REASON_UNSPECIFIED","message":"no such file","metadata":{}}`: errors.New("no such file"),
	} {
		var stdout, stderr bytes.Buffer
		(&output{json: true, stdout: &stdout, stderr: &stderr}).failure(err)
		if strings.TrimSpace(stderr.String()) != want || stdout.Len() > 0 {
			t.Errorf("%s%s, want %s on standard error", &stdout, &stderr, want)
		}
	}
}

func TestListReadsAnyCollection(t *testing.T) {
	for page, want := range map[string]struct {
		rows []string
		next string
	}{
		`{"datasets":[{"name":"datasets/d","displayName":"D"}],"nextPageToken":"t"}`: {[]string{"datasets/d\tD"}, "map[pageToken:t]"},
		`{"events":[{"sequence":"1","resource":"r","type":"x"}],"nextCursor":"1"}`:   {[]string{"1\tx\tr"}, "map[cursor:1]"},
		`{"rejections":[{"path":"a.png","reason":"R"}],"totalSize":1}`:               {[]string{"a.png\tR"}, "map[]"},
		`{"sweeps":[{"name":"sweeps/s","state":"RUNNING","trainingJob":{"recipe":"recipes/r"},"bestTrainingJob":"trainingJobs/b","trialCount":6}]}`: {
			[]string{"sweeps/s\tRUNNING\ttrainingJobs/b\t6"}, "map[]",
		},
		`{"models":[],"nextPageToken":""}`:                                                 {nil, "map[]"},
		`{"rejections":[{"kind":"row","where":"3","path":"a.csv","reason":"R"}]}`:          {[]string{"a.csv\trow\t3\tR"}, "map[]"},
		`{"files":[{"name":"report.json"}],"shards":[{"name":"a-train"}]}`:                 {[]string{"a-train", "report.json"}, "map[]"},
		`{"examples":[{"id":"a-train__3","class":"cat","split":"train","sizeBytes":"9"}]}`: {[]string{"a-train__3\tcat\t9"}, "map[]"},
		`{"formats":[{"name":"formats/csv","displayName":"CSV","description":"Tables.","example":"d\n└── a.csv","extensions":[".csv"]}]}`: {
			[]string{"csv: CSV\n  Tables.\n\n    d\n    └── a.csv\n"}, "map[]",
		},
		`{"shards":[],"package":{"name":"dataset.tar"}}`:                           {[]string{"dataset.tar"}, "map[]"},
		`{"rejections":[{"kind":"file","where":"0","path":"a.png","reason":"R"}]}`: {[]string{"a.png\tR"}, "map[]"},
	} {
		items, next, err := readPage([]byte(page))
		var rows []string
		for _, item := range items {
			rows = append(rows, row(item))
		}
		if err != nil || fmt.Sprint(rows) != fmt.Sprint(want.rows) || fmt.Sprint(next) != want.next {
			t.Errorf("%s: %v, %v, %v", page, rows, next, err)
		}
	}
	for _, resource := range []string{`{"name":"datasets/d"}`, `{"found":{"files":"1"},"classes":[]}`} {
		if _, _, err := readPage([]byte(resource)); !errors.Is(err, errNoCollection) {
			t.Errorf("%s: %v, want %v", resource, err, errNoCollection)
		}
	}
}

func TestUsageIsChecked(t *testing.T) {
	// A variable of some script's own is no flag of a user's command.
	t.Setenv("TRAINYARD_DATASET", "digits")
	t.Setenv("TRAINYARD_URL", "http://127.0.0.1:1")
	for line, want := range map[string]string{
		"push a.zip":                               "missing flags: --dataset",
		"push a.zip --dataset d --split 1":         "three shares that sum to 1",
		"push a.zip --dataset d --split 0.5,0.5,0": "",
		"train --dataset d --param epochs":         "--param",
		"train --dataset d --param a=1,2":          "",
		"train":                                    "missing flags: --dataset",
		"train --resume-from trainingJobs/j":       "",
		"train --dataset d --dry-run --wait":       "--dry-run makes no job",
		"train --dataset d --env A=b":              "name it with --image",
		"train --dataset d --image i --env A=b":    "",
		"train --dataset d --image i --param a=1":  "give an image its values with --hyperparameter",
		"train --dataset d --image i --recipe r":   "--recipe and --image",
		"train --dataset d --mode slow":            "want file, fastfile or pipe",
		"train --dataset d --mode =file":           "want file, fastfile or pipe",
		"train --dataset d --mode file,pipe":       "another mode is given for all channels",
		"train --dataset d --mode a=file,a=pipe":   "another mode is given for a",
		"train --dataset d --max-runtime soon":     "is no time",
		"train --dataset d --max-wait=-1":          "whole seconds, 0 or more",
		"train --dataset d --keep-alive 1ms":       "whole seconds, 0 or more",
		"doctor":                                   "missing flags: --dataset",
		"doctor --dataset d --region cn-north-1":   "",
		"doctor cn-north-1 --dataset d":            "regions go with --compare",
		"doctor --compare":                         "one or two regions",
		"doctor --compare a b c":                   "one or two regions",
		"doctor --compare a --region b":            "can't be used with --compare",
		"doctor --compare us-east-1 cn-north-1":    "",
		"doctor --compare cn-north-1 --dataset d":  "",
		"estimate":           "missing flags: --dataset",
		"sweep --dataset d":  "needs a parameter that differs",
		"sweep --grid a=1,2": "missing flags: --dataset",
		"sweep --dataset d --grid a=1 --range a=1..2":        "by --grid and by --range",
		"sweep --dataset d --grid a=1 --param a=1":           "leave one of them out",
		"sweep --dataset d --grid a=1 --minimize --maximize": "--minimize and --maximize",
		"sweep --dataset d --grid a=1 --random=-1":           "want 1 or more",
		"sweep --dataset d --range a=2..1":                   "must be less than",
		"sweep --dataset d --range a=0..1:log":               "must begin above 0",
		"sweep --dataset d --range a=1":                      "this is no range",
		"sweep --dataset d --range a=1..2:steps=1":           "N from 2 to 100",
		"sweep --dataset d --range a=1..NaN":                 "this is no range",
		"watch sweeps/s":                                     "",
		"watch digits":                                       "no resource's name",
		"watch datasets/digits":                              "",
		"watch":                                              "",
		"token add --name bob":                               "--project",
	} {
		_, err := newParser(t.Context()).Parse(strings.Fields(line))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("trainyard %s: %v, want %q", line, err, want)
		}
	}
}

// 0 means that no bad file is tolerated, which differs from saying nothing.
func TestNoBadFileCanBeAskedFor(t *testing.T) {
	for line, want := range map[string]*float64{
		"push a.zip --dataset d":                        nil,
		"push a.zip --dataset d --max-bad-fraction 0":   proto.Float64(0),
		"push a.zip --dataset d --max-bad-fraction=0.2": proto.Float64(0.2),
	} {
		parsed, err := newParser(t.Context()).Parse(strings.Fields(line))
		if err != nil {
			t.Fatal(err)
		}
		push, ok := parsed.Selected().Target.Addr().Interface().(*pushCommand)
		if !ok {
			t.Fatalf("%s is no push", line)
		}
		if got := push.options(); !proto.Equal(got, &ingestv1.ConversionOptions{MaxBadFraction: want, Validation: got.GetValidation()}) {
			t.Errorf("trainyard %s asks for %v", line, got)
		}
	}
}

func TestTheLocalSuiteIsFoundWhileItRuns(t *testing.T) {
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	c := &connection{}
	if _, err := c.client(); err == nil || !strings.Contains(err.Error(), "trainyard up") {
		t.Errorf("before any suite: %v", err)
	}
	ours := local{URL: "http://127.0.0.1:2", Token: "t", PID: os.Getpid()}
	// An older suite is found again after ours, if it still runs.
	for name, before := range map[string]local{"none": {}, "dead": {URL: "http://127.0.0.1:1", PID: 1 << 30}, "running": {URL: "http://127.0.0.1:1", PID: os.Getppid()}} {
		if err := errors.Join(writeLocal(ours), forgetLocal(before)); err != nil {
			t.Fatal(err)
		}
		if now, err := readLocal(); (err == nil) != (name == "running") || err == nil && now != before {
			t.Errorf("%s: %v, %v", name, now, err)
		}
	}
	if err := errors.Join(writeLocal(local{URL: "http://127.0.0.1:3", PID: os.Getppid()}), forgetLocal(local{})); err != nil {
		t.Fatal(err)
	}
	if now, err := readLocal(); err != nil || now.URL != "http://127.0.0.1:3" {
		t.Errorf("a newer suite's file is touched: %v, %v", now, err)
	}
	path := filepath.Join(os.Getenv("XDG_CONFIG_HOME"), "trainyard", "local.json")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("it holds a token: %v, %v", info, err)
	}
	for _, address := range []string{"127.0.0.1:8080", "ftp://x", "http://"} {
		if _, err := (&connection{URL: address, Token: "t"}).client(); err == nil {
			t.Errorf("address %q is taken", address)
		}
	}
}
