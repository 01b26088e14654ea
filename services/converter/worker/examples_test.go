package worker_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	converterv1 "github.com/trainyard/trainyard/gen/trainyard/converter/v1"
	"github.com/trainyard/trainyard/services/converter/examples"
	"github.com/trainyard/trainyard/services/converter/shardindex"
	"github.com/trainyard/trainyard/services/converter/tfrecord"
	"github.com/trainyard/trainyard/services/converter/worker"
	"google.golang.org/protobuf/proto"
)

// small is a dataset of one shard with two records, and a parent that signs its files and notes which.
func small(t *testing.T) (worker.Parent, examples.Request, map[string]bool) {
	t.Helper()
	files := map[string]string{"features.json": `{"featuresDict":{"features":{"n":{"tensor":{"dtype":"int64"}}}}}`}
	var shard []byte
	for i := range 2 {
		start := len(shard)
		shard = tfrecord.End(tfrecord.AppendExample(tfrecord.Begin(shard), []tfrecord.Feature{tfrecord.Int64("n", int64(i+7))}), start)
	}
	files["d-train.tfrecord-00000-of-00001"] = string(shard)
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(files[strings.TrimPrefix(r.URL.Path, "/")]))
	}))
	t.Cleanup(store.Close)
	var mu sync.Mutex
	asked := map[string]bool{}
	return worker.Parent{Limits: worker.DefaultLimits, Sign: func(_ context.Context, r worker.SignRequest) (worker.Signed, error) {
		mu.Lock()
		defer mu.Unlock()
		asked[fmt.Sprint(r.Object, r.Put, r.Name)] = true
		return worker.Signed{URL: store.URL + "/" + r.Name}, nil
	}}, examples.Request{
		Files: []examples.File{{Name: "features.json", Bytes: int64(len(files["features.json"]))}}, Label: examples.All, Limit: 10,
		Shards: []examples.Shard{{Name: "d-train.tfrecord-00000-of-00001", Split: "train", Bytes: int64(len(shard)), Examples: 2}},
	}, asked
}

func TestExamplesComeThrough(t *testing.T) {
	p, request, asked := small(t)
	page, err := p.Examples(t.Context(), request)
	if err != nil || len(page.Examples) != 2 || page.Next != nil {
		t.Fatalf("%v, %v", page, err)
	}
	var second converterv1.Example
	if err := proto.Unmarshal(page.Examples[1], &second); err != nil || second.GetFeatures()[0].GetInts().GetValues()[0] != 8 || second.GetIndex() != 1 {
		t.Errorf("%v, %v", &second, err)
	}
	if len(asked) != 2 || !asked["datasetfalsefeatures.json"] || !asked["datasetfalsed-train.tfrecord-00000-of-00001"] {
		t.Errorf("it asked for %v", asked)
	}
	request.From.Cursor = shardindex.Cursor{Offset: 3}
	if _, err := p.Examples(t.Context(), request); !errors.Is(err, examples.ErrPosition) {
		t.Errorf("from where no record begins: %v", err)
	}
}

func TestExamplesOfCrashedWorkers(t *testing.T) {
	one := base64.StdEncoding.EncodeToString([]byte("x"))
	for name, program := range map[string]string{
		"none":          `read -r line; echo '{"planned":{"key":"k","records":1,"task_size":[1]}}'`,
		"more than all": fmt.Sprintf(`read -r line; echo '{"page":{"examples":[%q,%q,%q]}}'`, one, one, one),
		"never":         "sleep 30 & wait",
	} {
		p := worker.Parent{Executable: script(t, program), Deadline: time.Second}
		var crash *worker.CrashError
		if _, err := p.Examples(t.Context(), examples.Request{Limit: 2}); !errors.As(err, &crash) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
