package converter_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	ingestv1 "github.com/trainyard/trainyard/gen/trainyard/ingest/v1"
	notificationv1 "github.com/trainyard/trainyard/gen/trainyard/notification/v1"
	"github.com/trainyard/trainyard/services/converter"
	"github.com/trainyard/trainyard/services/converter/convert"
	"github.com/trainyard/trainyard/services/converter/worker"
	"github.com/trainyard/trainyard/services/internal/testkit"
)

// replica runs another converter on the same database, queues and bucket until the test ends.
func (s *suite) replica(configure func(*converter.Config)) {
	s.t.Helper()
	cfg := s.cfg
	cfg.Scratch = filepath.Join(s.t.TempDir(), "scratch")
	if configure != nil {
		configure(&cfg)
	}
	unit, err := converter.New(s.t.Context(), cfg, s.deps)
	check(s.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- unit.Run(ctx) }()
	s.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Error(err)
		}
		check(s.t, unit.Close())
	})
}

// state gives the version as it is now.
func (s *suite) state(name string) *ingestv1.Version {
	s.t.Helper()
	res, err := s.datasets.GetVersion(s.t.Context(), &ingestv1.GetVersionRequest{Name: name})
	check(s.t, err)
	return res.GetVersion()
}

// heavy are n good images of a mebibyte each: small pictures with a large chunk that no reader cares for.
func heavy(n int) []byte {
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // Any bytes will do.
	ballast := make([]byte, 1<<20)
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := range n {
		for j := 0; j < len(ballast); j += 4096 {
			binary.BigEndian.PutUint64(ballast[j:], random.Uint64())
		}
		data := picture(i)
		end := len(data) - 12 // IEND
		chunk := append([]byte("baLl"), ballast...)
		data = slices.Concat(data[:end], binary.BigEndian.AppendUint32(nil, uint32(len(ballast))), chunk,
			binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(chunk)), data[end:])
		entry, err := w.CreateHeader(&zip.FileHeader{Name: fmt.Sprintf("%s/%03d.png", []string{"cat", "dog"}[i%2], i), Method: zip.Store})
		if err == nil {
			_, err = entry.Write(data)
		}
		if err != nil {
			panic(err)
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// Replicas share a conversion of several tasks, some given twice, while others are converted: one manifest, each shard once, READY once.
func TestReplicasShareTheWork(t *testing.T) {
	s := newSuite(t, testkit.Postgres(t), func(c *converter.Config) { c.ShardBytes = 1 << 20 })
	s.replica(nil)
	const images = 110
	data := heavy(images)
	small := []string{s.upload("a.zip", zipped(pictures(20)...), nil), s.upload("b.zip", zipped(pictures(30)...), nil)}
	name := s.upload("pets.zip", data, nil)
	parts := strings.Split(name, "/")
	again := func() {
		s.send(s.cloud.UploadsQueueURL, event(s.cloud.Bucket, fmt.Sprintf("uploads/acme/%s/%s/source.zip", parts[1], parts[3])))
		for i := range 2 {
			s.send(s.cloud.TasksQueueURL, fmt.Sprintf(`{"project":"acme","name":%q,"fence":1,"task":%d}`, name, i))
		}
	}
	testkit.Eventually(t, 30*time.Second, "its tasks are at work", func() bool { return s.state(name).GetProgress().GetPhase() == "converting" })
	again()
	again()
	version := s.wait(name)
	if version.GetState() != ingestv1.Version_READY || version.GetExampleCount() != images {
		t.Fatalf("%v", version)
	}
	for _, other := range small {
		if v := s.wait(other); v.GetState() != ingestv1.Version_READY {
			t.Errorf("%v", v)
		}
	}
	again()
	s.emptied(s.cloud.UploadsQueueURL)
	s.emptied(s.cloud.TasksQueueURL)
	s.cleared(name, "work/")
	if after := s.state(name); after.GetUpdateTime().AsTime() != version.GetUpdateTime().AsTime() {
		t.Errorf("changed after its end: %v", after)
	}

	var manifest convert.Manifest
	check(t, json.Unmarshal(s.object(s.prefix(name)+convert.ManifestName), &manifest))
	var examples int64
	named, indexes := map[string]bool{}, map[string]bool{}
	for _, shard := range manifest.Shards {
		if sum := sha256.Sum256(s.object(s.prefix(name) + shard.Name)); hex.EncodeToString(sum[:]) != shard.SHA256 || named[shard.Name] {
			t.Errorf("%s: not the bytes that the manifest names, or named twice", shard.Name)
		}
		named[shard.Name] = true
		if index := shard.Index; index.Name != "" {
			if sum := sha256.Sum256(s.object(s.prefix(name) + index.Name)); hex.EncodeToString(sum[:]) != index.SHA256 {
				t.Errorf("%s: not the bytes that the manifest names", index.Name)
			}
			indexes[index.Name] = true
		}
		examples += shard.Examples
	}
	for _, key := range s.keys(name) {
		if strings.Contains(key, ".tfrecord-") && !named[key] && !indexes[key] {
			t.Errorf("%s isn't in the manifest", key)
		}
	}
	if examples != images || len(named) < 70 {
		t.Errorf("%d examples in %d shards", examples, len(named))
	}
	testkit.Eventually(t, 10*time.Second, "READY is told once", func() bool {
		log, err := s.events.ListEvents(t.Context(), &notificationv1.ListEventsRequest{Resource: name, PageSize: 1000})
		check(t, err)
		ready := 0
		for _, e := range log.GetEvents() {
			if e.GetType() == "version.state" && e.GetPayload().GetFields()["state"].GetStringValue() == "READY" {
				ready++
			}
		}
		return ready == 1
	})
}

// wrapped is a worker that runs a shell's lines before a step; $line is the step.
func wrapped(t *testing.T, lines string) string {
	t.Helper()
	self, err := os.Executable()
	check(t, err)
	path := filepath.Join(t.TempDir(), "worker")
	check(t, os.WriteFile(path, fmt.Appendf(nil, "#!/bin/bash\nread -r line\n%s\n{ printf '%%s\\n' \"$line\"; exec cat; } | exec %s %s\n", lines, self, worker.Argument), 0o700)) //nolint:gosec // A test's program.
	return path
}

// A task whose message is lost, as it is after too many tries, doesn't hold its conversion for ever: it is claimed anew and goes on.
func TestLostTaskIsSentAnew(t *testing.T) {
	dir := t.TempDir()
	broken, tried := filepath.Join(dir, "broken"), filepath.Join(dir, "tried")
	check(t, os.WriteFile(broken, nil, 0o600))
	s := newSuite(t, testkit.SQLite(t), func(c *converter.Config) {
		c.Worker = wrapped(t, fmt.Sprintf(`if [[ $line == *'"step":"task"'* && -e %s ]]; then
echo x >>%s
echo '{"failed":{"kind":"other","error":"S3 is away"}}'
exit
fi`, broken, tried))
	})
	name := s.upload("pets.zip", zipped(pictures(10)...), nil)
	testkit.Eventually(t, 20*time.Second, "the task failed twice", func() bool {
		text, _ := os.ReadFile(tried) //nolint:gosec // The test's own.
		return len(text) >= 4
	})
	_, err := sqs.NewFromConfig(s.cloud.AWS).PurgeQueue(t.Context(), &sqs.PurgeQueueInput{QueueUrl: &s.cloud.TasksQueueURL})
	check(t, err)
	check(t, os.Remove(broken))
	if version := s.wait(name); version.GetState() != ingestv1.Version_READY {
		t.Errorf("%v", version)
	}
}

// At shutdown a step's process is ended, and its message is there for others at once.
func TestShutdownGivesStepsBack(t *testing.T) {
	for _, step := range []string{"plan", "task"} {
		t.Run(step, func(t *testing.T) {
			pids := filepath.Join(t.TempDir(), "pids")
			s := newSuite(t, testkit.SQLite(t), func(c *converter.Config) {
				c.Worker = wrapped(t, fmt.Sprintf(`if [[ $line == *'"step":"%s"'* ]]; then
echo $$ >>%s
exec sleep 60
fi`, step, pids))
			})
			s.upload("pets.zip", zipped(pictures(10)...), nil)
			pid := 0
			testkit.Eventually(t, 20*time.Second, "the step is at work", func() bool {
				text, _ := os.ReadFile(pids) //nolint:gosec // The test's own.
				pid, _ = strconv.Atoi(strings.TrimSpace(string(text)))
				return pid > 0
			})
			begin := time.Now()
			s.server.Stop()
			if took := time.Since(begin); took > 4*time.Second {
				t.Errorf("the shutdown took %v", took)
			}
			if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); err == nil {
				t.Error("the worker is still there")
			}
			url := map[string]string{"plan": s.cloud.UploadsQueueURL, "task": s.cloud.TasksQueueURL}[step]
			a, err := sqs.NewFromConfig(s.cloud.AWS).GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll}})
			check(t, err)
			if a.Attributes["ApproximateNumberOfMessages"] != "1" {
				t.Errorf("its message can't be received: %v", a.Attributes)
			}
		})
	}
}

// Scratch folders go when their conversion has ended.
func TestScratchIsCleared(t *testing.T) {
	var scratch string
	s := newSuite(t, testkit.SQLite(t), func(c *converter.Config) { scratch = c.Scratch })
	for _, data := range [][]byte{zipped(pictures(10)...), []byte(strings.Repeat("no archive ", 100))} {
		s.wait(s.upload("pets.zip", data, nil))
	}
	testkit.Eventually(t, 10*time.Second, "no scratch is left", func() bool {
		left, err := filepath.Glob(filepath.Join(scratch, "acme", "datasets", "*", "versions", "*"))
		check(t, err)
		return len(left) == 0
	})
}
