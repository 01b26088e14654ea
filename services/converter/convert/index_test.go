package convert_test

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/trainyard/trainyard/services/converter/convert"
	"github.com/trainyard/trainyard/services/converter/shardindex"
	"github.com/trainyard/trainyard/services/converter/source"
	"github.com/trainyard/trainyard/services/converter/tfrecord"
)

// uneven is a zip of 300 pictures, of which one is broken, of three classes that aren't equally large.
func uneven(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "uneven.zip")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := zip.NewWriter(f)
	for i := range 300 {
		var b bytes.Buffer
		if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 1+i%17, 1+i%13))); err != nil {
			t.Fatal(err)
		}
		class := []string{"a", "b", "b", "c", "c", "c"}[i%6]
		data := b.Bytes()
		if i == 100 {
			data = data[:40]
		}
		entry, err := w.Create(fmt.Sprintf("%s/%d.png", class, i))
		if err == nil {
			_, err = entry.Write(data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// The index of a shard names each record of each class where it lies, and nothing else.
func TestIndexesNameTheRecordsOfEachClass(t *testing.T) {
	dir := t.TempDir()
	out, err := convert.Local(t.Context(), uneven(t), dir, convert.DefaultOptions("d"), nil)
	if err != nil {
		t.Fatal(err)
	}
	indexed := 0
	for _, shard := range out.Manifest.Shards {
		data, err := os.ReadFile(filepath.Join(dir, shard.Index.Name))
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != shard.Index.SHA256 || int64(len(data)) != shard.Index.Bytes || shard.Index.Name != shardindex.Name(shard.Name) {
			t.Errorf("%+v isn't the index of %s", shard.Index, shard.Name)
		}
		records, err := os.ReadFile(filepath.Join(dir, shard.Name))
		if err != nil {
			t.Fatal(err)
		}
		want := map[int][]shardindex.Posting{}
		var at shardindex.Posting
		for r := tfrecord.NewReader(bytes.NewReader(records), 0); at.Index < shard.Examples; at.Index++ {
			record, err := r.Next()
			if err != nil {
				t.Fatal(err)
			}
			example, err := tfrecord.ParseExample(record)
			if err != nil {
				t.Fatal(err)
			}
			at.Length = int64(len(record))
			label := int(example["label"].Int64s[0])
			want[label] = append(want[label], at)
			at.Offset += at.Length + tfrecord.Overhead
		}
		file, err := source.OpenFile(filepath.Join(dir, shard.Index.Name))
		if err != nil {
			t.Fatal(err)
		}
		index, err := shardindex.Open(t.Context(), file)
		if err != nil {
			t.Fatal(err)
		}
		for label := range 4 {
			got, _, err := index.Read(t.Context(), label, shardindex.Cursor{}, 1000)
			if err != nil || !slices.Equal(got, want[label]) {
				t.Errorf("%s, label %d: %v, %v; want %v", shard.Name, label, got, err, want[label])
			}
			indexed += len(got)
		}
		if err := file.Close(); err != nil {
			t.Error(err)
		}
	}
	if indexed != 299 {
		t.Errorf("%d records are indexed, want 299", indexed)
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".convert-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestIndexesDontDependOnWorkers(t *testing.T) {
	src, err := source.OpenFile(uneven(t))
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	opts := convert.DefaultOptions("d")
	opts.SourceETag = "e"
	var first []convert.ShardResult
	for _, workers := range []int{1, 3} {
		dir := t.TempDir()
		plan, err := convert.MakePlan(t.Context(), src, opts, dir)
		if err != nil {
			t.Fatal(err)
		}
		result, err := convert.RunTask(t.Context(), convert.Task{Plan: plan, Source: src, Scratch: dir, Sink: convert.DirSink{Dir: t.TempDir()}, Workers: workers})
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range first {
			if result.Shards[i].Index != s.Index || s.Index.Name == "" {
				t.Errorf("%d workers: %+v, with one: %+v", workers, result.Shards[i].Index, s.Index)
			}
		}
		first = result.Shards
		if err := plan.Close(); err != nil {
			t.Error(err)
		}
	}
}

// In a compressed shard nothing has a place of its own.
func TestCompressedShardsHaveNoIndex(t *testing.T) {
	opts := convert.DefaultOptions("d")
	opts.Compression = convert.GZIP
	out, err := convert.Local(t.Context(), uneven(t), t.TempDir(), opts, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range out.Manifest.Shards {
		if s.Index.Name != "" {
			t.Errorf("%s has the index %+v", s.Name, s.Index)
		}
	}
}
