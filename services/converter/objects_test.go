package converter

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"testing"

	"github.com/trainyard/trainyard/services/converter/worker"
	"github.com/trainyard/trainyard/services/internal/awscfg"
	"github.com/trainyard/trainyard/services/internal/testkit"
)

const shard = "d-train.tfrecord-00000-of-00001"

func testObjects(t *testing.T) objects {
	cloud := testkit.NewCloud(t, nil)
	return objects{
		s3: awscfg.S3(cloud.AWS), signer: awscfg.NewPresigner(cloud.AWS, ""), bucket: cloud.Bucket,
		source: "uploads/p/d/1/source.zip", output: "datasets/p/d/1/",
	}
}

func TestWorkersGetOnlyWhatTheirStepNeeds(t *testing.T) {
	o := testObjects(t)
	digest := hex.EncodeToString(make([]byte, 32))
	for name, test := range map[string]struct {
		step    worker.Step
		request worker.SignRequest
		allowed bool
	}{
		"plan reads the source":     {worker.PlanStep, worker.SignRequest{Object: worker.SourceObject}, true},
		"plan writes the plan":      {worker.PlanStep, worker.SignRequest{Object: worker.PlanObject, Put: true, SHA256: digest}, true},
		"plan writes a shard":       {worker.PlanStep, worker.SignRequest{Object: worker.ShardObject, Put: true, Name: shard, SHA256: digest}, false},
		"task reads the source":     {worker.TaskStep, worker.SignRequest{Object: worker.SourceObject}, true},
		"task reads the plan":       {worker.TaskStep, worker.SignRequest{Object: worker.PlanObject}, true},
		"task writes a shard":       {worker.TaskStep, worker.SignRequest{Object: worker.ShardObject, Put: true, Name: shard, SHA256: digest}, true},
		"task writes an index":      {worker.TaskStep, worker.SignRequest{Object: worker.ShardObject, Put: true, Name: "index/" + shard + ".idx", SHA256: digest}, true},
		"an index of nothing":       {worker.TaskStep, worker.SignRequest{Object: worker.ShardObject, Put: true, Name: "index/../manifest.json.idx", SHA256: digest}, false},
		"an index twice":            {worker.TaskStep, worker.SignRequest{Object: worker.ShardObject, Put: true, Name: "index/index/" + shard + ".idx.idx", SHA256: digest}, false},
		"task writes the plan":      {worker.TaskStep, worker.SignRequest{Object: worker.PlanObject, Put: true, SHA256: digest}, false},
		"task writes the source":    {worker.TaskStep, worker.SignRequest{Object: worker.SourceObject, Put: true, SHA256: digest}, false},
		"task reads a shard":        {worker.TaskStep, worker.SignRequest{Object: worker.ShardObject, Name: shard}, false},
		"an object of no name":      {worker.TaskStep, worker.SignRequest{Object: "secrets"}, false},
		"the manifest":              {worker.TaskStep, worker.SignRequest{Object: worker.ShardObject, Put: true, Name: "manifest.json", SHA256: digest}, false},
		"another version's shard":   {worker.TaskStep, worker.SignRequest{Object: worker.ShardObject, Put: true, Name: "../2/" + shard, SHA256: digest}, false},
		"a shard with a tail":       {worker.TaskStep, worker.SignRequest{Object: worker.ShardObject, Put: true, Name: shard + "/x", SHA256: digest}, false},
		"bytes without a digest":    {worker.TaskStep, worker.SignRequest{Object: worker.ShardObject, Put: true, Name: shard}, false},
		"bytes with a short digest": {worker.TaskStep, worker.SignRequest{Object: worker.ShardObject, Put: true, Name: shard, SHA256: "00"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			signed, err := o.sign(test.step)(t.Context(), test.request)
			if (err == nil) != test.allowed {
				t.Errorf("signed %q, %v", signed.URL, err)
			}
		})
	}
}

// A signed PUT is good for the bytes it was signed for, and the digest is the one that S3 then holds.
func TestSignedPutTakesTheseBytesAlone(t *testing.T) {
	o := testObjects(t)
	data := []byte("the bytes of a shard")
	sum := sha256.Sum256(data)
	signed, err := o.sign(worker.TaskStep)(t.Context(), worker.SignRequest{
		Object: worker.ShardObject, Put: true, Name: shard, Size: int64(len(data)), SHA256: hex.EncodeToString(sum[:]),
	})
	if err != nil {
		t.Fatal(err)
	}
	put := func(body []byte, drop string) int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, signed.URL, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range signed.Headers {
			if name != drop {
				req.Header.Set(name, value)
			}
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		_, _ = io.Copy(io.Discard, res.Body)
		return res.StatusCode
	}
	other := bytes.ToUpper(data)
	for name, status := range map[string]int{
		"other bytes": put(other, ""), "fewer bytes": put(data[:5], ""), "more bytes": put(append(other, 'x'), ""),
		"other bytes without the digest": put(other, "X-Amz-Checksum-Sha256"),
	} {
		if status < 400 {
			t.Errorf("%s: %d", name, status)
		}
	}
	if status := put(data, ""); status != http.StatusOK {
		t.Fatalf("the bytes: %d", status)
	}
	if stored, err := o.read(t.Context(), o.fileKey(shard)); err != nil || !bytes.Equal(stored, data) {
		t.Errorf("stored %q, %v", stored, err)
	}
}

func TestPublish(t *testing.T) {
	o := testObjects(t)
	for _, manifest := range []string{"a", "a", "made by another version"} { // First, again by another replica, and after an upgrade.
		if err := o.publish(t.Context(), []byte(manifest)); err != nil {
			t.Fatalf("%s: %v", manifest, err)
		}
		if stored, err := o.read(t.Context(), o.fileKey("manifest.json")); err != nil || string(stored) != manifest {
			t.Errorf("stored %q, %v; want %q", stored, err, manifest)
		}
	}
}

func TestRemove(t *testing.T) {
	o := testObjects(t)
	for _, name := range []string{"work/1/plan", "work/1/result-00000.json", "work/1/stays", "kept.json"} {
		if err := o.put(t.Context(), name, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // The second time there is nothing.
		if err := o.remove(t.Context(), o.workPrefix(), o.fileKey("work/1/stays")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := o.read(t.Context(), o.planKey()); !isMissing(err) {
		t.Errorf("the plan: %v", err)
	}
	for _, name := range []string{"work/1/stays", "kept.json"} {
		if _, err := o.read(t.Context(), o.fileKey(name)); err != nil {
			t.Error(err)
		}
	}
}
