//go:build integration

package processes

import (
	"archive/zip"
	"bytes"
	"fmt"
	"image"
	"image/png"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// noiseZip is an archive of several parts: pictures of noise, which don't compress.
func noiseZip(t *testing.T, pictures int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "noise.zip")
	f, err := os.Create(path)
	check(t, err)
	archive := zip.NewWriter(f)
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // Noise, not secrets.
	for i := range pictures {
		img := image.NewGray(image.Rect(0, 0, 1024, 1024))
		for p := range img.Pix {
			img.Pix[p] = byte(random.Uint32())
		}
		var b bytes.Buffer
		check(t, (&png.Encoder{CompressionLevel: png.NoCompression}).Encode(&b, img))
		entry, err := archive.CreateHeader(&zip.FileHeader{Name: fmt.Sprintf("%d/%04d.png", i%3, i), Method: zip.Store})
		check(t, err)
		_, err = entry.Write(b.Bytes())
		check(t, err)
	}
	check(t, archive.Close())
	check(t, f.Close())
	return path
}

// kill -9 of the whole suite during upload, conversion and training loses nothing: what was begun ends as if nothing had happened.
func TestKill(t *testing.T) {
	data := t.TempDir()
	baseDataset(t, data, 300)
	addresses := []string{"--http", freeAddr(t), "--grpc", freeAddr(t), "--aws", freeAddr(t)}
	suite := startUp(t, data, addresses...)
	restart := func() {
		t.Helper()
		suite.kill()
		suite = startUp(t, data, addresses...)
	}

	t.Run("during upload", func(t *testing.T) {
		archive := noiseZip(t, 150)
		push := exec.Command(binary(t, "trainyard"), "push", archive, "--dataset", "noise", "--parallel", "1")
		push.Env = append(os.Environ(), suite.env()...)
		check(t, push.Start())
		suite.until("/v1/datasets/noise/versions/1/parts", time.Minute, "a part has arrived", func(body map[string]any) bool {
			parts, _ := body["parts"].([]any)
			return len(parts) > 0
		})
		check(t, push.Process.Kill())
		_ = push.Wait()
		restart()
		parts := suite.get("/v1/datasets/noise/versions/1/parts")["parts"].([]any)
		if len(parts) == 0 {
			t.Error("the parts that had arrived are lost")
		}
		t.Logf("%d parts were there after the restart", len(parts))
		if version := suite.get("/v1/datasets/noise/versions/1"); state(version) != "UPLOADING" {
			t.Fatalf("the upload was over before the kill: %v", version)
		}
		version := suite.must("push", archive, "--dataset", "noise")
		if version["name"] != "datasets/noise/versions/1" || state(version) != "READY" || version["exampleCount"] != 150.0 {
			t.Errorf("version %v", version)
		}
	})

	t.Run("during conversion", func(t *testing.T) {
		suite.must("push", noiseZip(t, 150), "--dataset", "more", "--validation", "full", "--no-wait")
		suite.until("/v1/datasets/more/versions/1", time.Minute, "it is converted", func(body map[string]any) bool {
			progress, _ := body["progress"].(map[string]any)
			return state(body) == "CONVERTING" && progress["phase"] == "converting" || isOver(body)
		})
		restart()
		version := suite.until("/v1/datasets/more/versions/1", 90*time.Second, "it is READY", isOver)
		if state(version) != "READY" || version["exampleCount"] != 150.0 {
			t.Errorf("version %v", version)
		}
	})

	t.Run("during training", func(t *testing.T) {
		suite.must("push", digitsZip(t, 400), "--dataset", "digits")
		job := suite.must("train", "--dataset", "digits", "--base", "mnist", "--param", "epochs=3")["name"].(string)
		suite.until("/v1/"+job, 2*time.Minute, "it trains", func(body map[string]any) bool {
			metrics, _ := body["metrics"].(map[string]any)
			return len(metrics) > 0 || isOver(body)
		})
		restart()
		if over := suite.until("/v1/"+job, 3*time.Minute, "it has ended", isOver); state(over) != "SUCCEEDED" {
			t.Errorf("job %v", over)
		}
		if jobs := suite.get("/v1/trainingJobs")["trainingJobs"].([]any); len(jobs) != 1 {
			t.Errorf("%d jobs", len(jobs))
		}
	})

	t.Run("the event log has no gap and no double", func(t *testing.T) {
		seen := map[string]bool{}
		cursor, next := "", 1
		for {
			page := suite.get("/v1/events?pageSize=1000&cursor=" + cursor)
			events := page["events"].([]any)
			for _, e := range events {
				event := e.(map[string]any)
				if event["sequence"] != strconv.Itoa(next) || seen[event["id"].(string)] {
					t.Fatalf("event %v at place %d", event, next)
				}
				seen[event["id"].(string)] = true
				next++
			}
			if cursor = page["nextCursor"].(string); len(events) == 0 {
				break
			}
		}
	})

	t.Run("no secret is in the log", func(t *testing.T) {
		log := suite.log.String()
		service, err := os.ReadFile(filepath.Join(data, "service-token"))
		check(t, err)
		for _, secret := range []string{suite.token, strings.TrimSpace(string(service)), "X-Amz-Signature"} {
			if strings.Contains(log, secret) {
				t.Errorf("the log holds %.6s…", secret)
			}
		}
	})
	if took := suite.interrupt(); took > 5*time.Second {
		t.Errorf("Ctrl-C took %v, want under 5 s", took)
	}
}
