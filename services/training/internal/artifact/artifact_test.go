package artifact_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/trainyard/trainyard/services/training/internal/artifact"
)

func TestReadFindsDigestEvaluationAndLabels(t *testing.T) {
	tests := map[string]struct {
		files      map[string]string
		evaluation string
		labels     []string
	}{
		"all":             {map[string]string{"evaluation.json": `{"accuracy":1}`, "labels.txt": "cat\ndog\r\n\n", "model.tflite": "x"}, `{"accuracy":1}`, []string{"cat", "dog"}},
		"with a dot":      {map[string]string{"./evaluation.json": `{}`, "./labels.txt": "cat"}, `{}`, []string{"cat"}},
		"neither":         {map[string]string{"model.tflite": "x"}, "", nil},
		"in a folder":     {map[string]string{"old/evaluation.json": `{"accuracy":0}`}, "", nil},
		"no JSON object":  {map[string]string{"evaluation.json": `{"accuracy":NaN}`}, "", nil},
		"broken UTF-8":    {map[string]string{"evaluation.json": "{\"a\":\"\xff\"}", "labels.txt": "c\xfft"}, "", []string{"c\uFFFDt"}},
		"lone surrogate":  {map[string]string{"evaluation.json": `{"a":"\ud800"}`}, "", nil},
		"large":           {map[string]string{"evaluation.json": `{"a":"` + strings.Repeat("x", 2<<20) + `"}`}, "", nil},
		"nothing in it":   {nil, "", nil},
		"outside of root": {map[string]string{"../evaluation.json": `{"accuracy":0}`}, "", nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			packed := pack(t, test.files)
			got, err := artifact.Read(bytes.NewReader(packed))
			if err != nil {
				t.Fatal(err)
			}
			sum := sha256.Sum256(packed)
			if got.SHA256 != hex.EncodeToString(sum[:]) || got.SizeBytes != int64(len(packed)) || got.Files != len(test.files) {
				t.Errorf("got %s, %d bytes, %d files", got.SHA256, got.SizeBytes, got.Files)
			}
			if got.Evaluation != test.evaluation || !slices.Equal(got.Labels, test.labels) {
				t.Errorf("got evaluation %.40q, labels %q", got.Evaluation, got.Labels)
			}
		})
	}
}

func TestReadTellsDamageFromTrouble(t *testing.T) {
	packed := pack(t, map[string]string{"model.tflite": strings.Repeat("abc", 10_000)})
	flipped := bytes.Clone(packed)
	flipped[len(flipped)-6] ^= 1 // The checksum at the end.
	for name, data := range map[string][]byte{"no gzip": []byte("hello"), "empty": nil, "cut": packed[:len(packed)/2], "flipped": flipped} {
		if _, err := artifact.Read(bytes.NewReader(data)); !errors.Is(err, artifact.ErrCorrupt) {
			t.Errorf("%s: got %v; want ErrCorrupt", name, err)
		}
	}
	trouble := errors.New("connection reset")
	_, err := artifact.Read(io.MultiReader(bytes.NewReader(packed[:20]), iotest.ErrReader(trouble)))
	if !errors.Is(err, trouble) || errors.Is(err, artifact.ErrCorrupt) {
		t.Errorf("got %v; want the reader's own error", err)
	}
}

func pack(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var packed bytes.Buffer
	zipped := gzip.NewWriter(&packed)
	archive := tar.NewWriter(zipped)
	for name, text := range files {
		if err := archive.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(text)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := archive.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(archive.Close(), zipped.Close()); err != nil {
		t.Fatal(err)
	}
	return packed.Bytes()
}
