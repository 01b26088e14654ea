// Package artifact reads what a training job left: model.tar.gz. It is streamed once, whatever its size, and only small
// files of known names are kept.
package artifact

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"
)

const (
	evaluationFile = "evaluation.json"
	labelsFile     = "labels.txt"

	maxEvaluation = 1 << 20
	maxLabels     = 1 << 20
	// maxUnpacked bounds the work that a small archive can make.
	maxUnpacked = 256 << 30
)

// ErrCorrupt says that the artifact is no archive that can be read to its end.
var ErrCorrupt = errors.New("model.tar.gz is damaged")

// Artifact is what is known of a model.tar.gz.
type Artifact struct {
	// SizeBytes and SHA256 (hex) are of the archive itself.
	SizeBytes int64
	SHA256    string
	// Files is how many files it holds.
	Files int
	// Evaluation is evaluation.json as the trainer wrote it; empty if it wrote none of at most 1 MiB that is a JSON object.
	Evaluation string
	// Labels are the lines of labels.txt; nil without one.
	Labels []string
}

// Read reads an archive to its end. A damaged one gives ErrCorrupt; other errors are the reader's own.
func Read(r io.Reader) (*Artifact, error) {
	digest := sha256.New()
	source := &source{reader: io.TeeReader(r, digest)}
	a := new(Artifact)
	if err := a.unpack(source); err != nil {
		if source.err != nil {
			return nil, fmt.Errorf("read model.tar.gz: %w", source.err)
		}
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if _, err := io.Copy(io.Discard, source); err != nil { // What may stand behind the archive's end.
		return nil, fmt.Errorf("read model.tar.gz: %w", err)
	}
	a.SizeBytes = source.read
	a.SHA256 = hex.EncodeToString(digest.Sum(nil))
	return a, nil
}

func (a *Artifact) unpack(r io.Reader) error {
	unzipped, err := gzip.NewReader(r)
	if err != nil {
		return err
	}
	limited := &io.LimitedReader{R: unzipped, N: maxUnpacked}
	archive := tar.NewReader(limited)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if header.Typeflag != tar.TypeReg {
			continue
		}
		a.Files++
		switch path.Clean(header.Name) {
		case evaluationFile:
			text, err := readSmall(archive, header.Size, maxEvaluation)
			if err != nil {
				return err
			}
			// The API shows it as a Struct, whose JSON has no broken UTF-8 and no lone surrogates.
			if protojson.Unmarshal(text, new(structpb.Struct)) == nil {
				a.Evaluation = string(text)
			}
		case labelsFile:
			text, err := readSmall(archive, header.Size, maxLabels)
			if err != nil {
				return err
			}
			a.Labels = lines(strings.ToValidUTF8(string(text), "\uFFFD"))
		}
	}
	// The checksum of the compressed stream stands at its end.
	_, err = io.Copy(io.Discard, limited)
	if err == nil && limited.N == 0 {
		return fmt.Errorf("it unpacks to more than %d bytes", int64(maxUnpacked))
	}
	return err
}

// readSmall reads a file, or skips it if it is larger than the limit.
func readSmall(r io.Reader, size, limit int64) ([]byte, error) {
	if size > limit {
		return nil, nil
	}
	return io.ReadAll(r)
}

func lines(text string) []string {
	var found []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			found = append(found, line)
		}
	}
	return found
}

// source counts what is read and remembers the reader's own error, to tell it from a damaged archive's.
type source struct {
	reader io.Reader
	read   int64
	err    error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.reader.Read(p)
	s.read += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}
