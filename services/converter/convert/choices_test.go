package convert_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/trainyard/trainyard/services/converter/convert"
	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/reject"
	"github.com/trainyard/trainyard/services/converter/tfrecord"
)

// The package is the folder, file by file, in the layout that TensorFlow Datasets keeps.
func TestPackageIsTheDataset(t *testing.T) {
	opts := convert.DefaultOptions("digits")
	opts.Package = true
	out, dir, err := localOf(t, zipOf(t, zip.Store, pictures(t, "", 3, 20)), opts)
	if err != nil {
		t.Fatal(err)
	}
	packed, err := os.ReadFile(filepath.Join(dir, convert.TarName))
	if err != nil || int64(len(packed)) != out.TarBytes() {
		t.Fatalf("%d bytes, %d expected: %v", len(packed), out.TarBytes(), err)
	}
	names := 0
	r := tar.NewReader(bytes.NewReader(packed))
	for ; ; names++ {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(filepath.Join(dir, filepath.Base(h.Name)))
		if err != nil || !bytes.Equal(got, want) || filepath.Dir(h.Name) != "digits/1.0.0" {
			t.Errorf("%s differs from the folder's, %v", h.Name, err)
		}
	}
	if names != len(out.Files)+len(out.Manifest.Shards) {
		t.Errorf("%d files in the package, %d beside it", names, len(out.Files)+len(out.Manifest.Shards))
	}
}

// Shares that were chosen and can't be had are told of, and only these.
func TestChosenSharesThatAreNotUsedAreToldOf(t *testing.T) {
	split := func(names ...string) []byte {
		var files []member
		for _, name := range names {
			files = append(files, pictures(t, name, 2, 30)...)
		}
		return zipOf(t, zip.Store, files)
	}
	rows := func(names ...string) []byte {
		var files []member
		for _, name := range names {
			files = append(files, member{name + ".csv", []byte("a,label\n1,x\n2,y\n3,x\n4,y\n")})
		}
		return zipOf(t, zip.Store, files)
	}
	for name, test := range map[string]struct {
		data   []byte
		chosen bool
		want   string
	}{
		"splits of its own":       {split("train/", "val/", "test/"), true, "(train, validation, test), which were kept; the chosen shares 0.7, 0.2 and 0.1 were not used."},
		"validation is missing":   {split("train/", "test/"), true, "(train, test), which were kept; the chosen shares 0.7, 0.2 and 0.1 were used only to draw validation from train."},
		"rows that are in none":   {rows("train", "test", "more"), true, "were used only to draw validation from train and to deal out the 4 examples that are in none of these."},
		"none of its own":         {split(""), true, ""},
		"nothing was chosen":      {split("train/", "val/", "test/"), false, ""},
		"rows of all splits":      {rows("train", "validation", "test"), true, "were not used."},
		"rows, no test, and more": {rows("train", "validation", "more"), true, "were used only to deal out the 4 examples"},
	} {
		t.Run(name, func(t *testing.T) {
			opts := convert.DefaultOptions("digits")
			opts.Splits, opts.SplitsChosen = convert.Fractions{Train: 0.7, Validation: 0.2, Test: 0.1}, test.chosen
			out, _, err := localOf(t, test.data, opts)
			if err != nil {
				t.Fatal(err)
			}
			said := ""
			for _, w := range out.Report.Warnings {
				if strings.Contains(w, "chosen shares") {
					said = w
				}
			}
			if (said == "") != (test.want == "") || !strings.Contains(said, test.want) {
				t.Errorf("the report says %q, want %q", said, test.want)
			}
		})
	}
}

// Sound that was cut off is kept as far as it goes, and the report names some of it.
func TestSoundThatWasCutOffIsToldOf(t *testing.T) {
	var files []member
	for i := range 30 {
		wav := "RIFF\x44\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x80\x3e\x00\x00\x02\x00\x10\x00data\x20\x00\x00\x00" +
			strings.Repeat(string(rune('a'+i)), 32)
		if i >= 10 && i < 17 {
			wav = wav[:len(wav)-10]
		}
		files = append(files, member{fmt.Sprintf("%c/%d.wav", 'a'+i%2, i), []byte(wav)})
	}
	out, _, err := localOf(t, zipOf(t, zip.Store, files), convert.DefaultOptions("digits"))
	if err != nil {
		t.Fatal(err)
	}
	want := `as far as they go: 7, such as "a/10.wav" "a/12.wav" "a/14.wav" "a/16.wav" "b/11.wav".`
	if w := out.Report.Warnings; out.Manifest.Examples != 30 || len(w) != 1 || !strings.HasSuffix(w[0], want) {
		t.Errorf("%d examples, warnings %q, want %q", out.Manifest.Examples, w, want)
	}
}

// Rows and annotations of a picture go with it, and all add up.
func TestWhatBelongsToAPictureIsAccountedFor(t *testing.T) {
	cut := picture(t, 3)[:60]
	owned := func(path string, kind reject.Kind, where int64) string {
		return fmt.Sprint(path, kind, where, reject.OwnerLeftOut)
	}
	for name, test := range map[string]struct {
		files                []member
		found, kept, leftOut convert.Tally
		listed               []string
	}{
		"rows": {
			[]member{
				{"labels.csv", []byte("file,label\n1.png,a\n2.png,b\n3.png,a\nnone.png,a\n")},
				{"1.png", picture(t, 1)},
				{"2.png", picture(t, 2)},
				{"3.png", cut},
			},
			convert.Tally{Files: 4, Rows: 4},
			convert.Tally{Files: 3, Rows: 2},
			convert.Tally{Files: 1, Rows: 2},
			[]string{fmt.Sprint("3.png", reject.WholeFile, 0, reject.TruncatedImage), owned("3.png", reject.Row, 0), fmt.Sprint("labels.csv", reject.Row, 5, reject.MissingImage)},
		},
		"annotations": {
			[]member{
				{"a.json", []byte(`{"categories":[{"id":1,"name":"a"},{"id":2,"name":"b"}],
					"images":[{"id":1,"file_name":"1.png"},{"id":2,"file_name":"2.png"},{"id":3,"file_name":"3.png"}],
					"annotations":[{"id":10,"image_id":1,"category_id":1,"bbox":[1,1,2,2]},{"id":20,"image_id":2,"category_id":2,"bbox":[1,1,2,2]},
						{"id":30,"image_id":3,"category_id":1,"bbox":[1,1,2,2]},{"id":31,"image_id":3,"category_id":2,"bbox":[1,1,2,2]}]}`)},
				{"1.png", picture(t, 1)},
				{"2.png", picture(t, 2)},
				{"3.png", cut},
			},
			convert.Tally{Files: 4, Annotations: 4},
			convert.Tally{Files: 3, Annotations: 2},
			convert.Tally{Files: 1, Annotations: 2},
			[]string{fmt.Sprint("3.png", reject.WholeFile, 0, reject.TruncatedImage), owned("3.png", reject.Annotation, 1), owned("3.png", reject.Annotation, 2)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			out, _, err := localOf(t, zipOf(t, zip.Store, test.files), convert.DefaultOptions("digits"))
			if err != nil {
				t.Fatal(err)
			}
			r := out.Report
			if r.Found != test.found || r.Kept != test.kept || r.LeftOut != test.leftOut || r.NotListed != 0 {
				t.Errorf("found %+v, kept %+v, left out %+v, %d not listed", r.Found, r.Kept, r.LeftOut, r.NotListed)
			}
			var listed []string
			for _, f := range r.Files {
				listed = append(listed, fmt.Sprint(f.Path, f.Kind, f.Where, f.Reason))
			}
			if !slices.Equal(listed, test.listed) {
				t.Errorf("listed %q, want %q", listed, test.listed)
			}
			if out.Manifest.LeftOut != r.Bad {
				t.Errorf("%d left out by themselves, %d bad", out.Manifest.LeftOut, r.Bad)
			}
		})
	}
}

func TestCompressedShardsHoldTheSame(t *testing.T) {
	data := zipOf(t, zip.Store, pictures(t, "", 3, 20))
	plain, plainDir, err := localOf(t, data, convert.DefaultOptions("digits"))
	if err != nil {
		t.Fatal(err)
	}
	opts := convert.DefaultOptions("digits")
	opts.Compression = convert.GZIP
	packed, dir, err := localOf(t, data, opts)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range packed.Manifest.Shards {
		file, err := os.ReadFile(filepath.Join(dir, s.Name))
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(file); hex.EncodeToString(sum[:]) != s.SHA256 || int64(len(file)) != s.Bytes {
			t.Errorf("%s isn't the manifest's", s.Name)
		}
		z, err := gzip.NewReader(bytes.NewReader(file))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(z)
		want, _ := os.ReadFile(filepath.Join(plainDir, plain.Manifest.Shards[i].Name))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s holds something else than without compression: %v", s.Name, err)
		}
	}
}

// Every class has its share in every split, to one record, where hashes alone would leave small classes out.
func TestStratifiedSplits(t *testing.T) {
	files := pictures(t, "", 12, 10)
	files = append(files, pictures(t, "more/", 1, 3)...)[:120]
	opts := convert.DefaultOptions("digits")
	opts.Stratify = true
	out, _, err := localOf(t, zipOf(t, zip.Store, files), opts)
	if err != nil {
		t.Fatal(err)
	}
	want := map[dataset.Split]int64{dataset.Train: 8, dataset.Validation: 1, dataset.Test: 1}
	for _, s := range out.Manifest.Splits {
		for label, n := range s.Classes {
			if n < want[s.Name]-1 || n > want[s.Name]+1 || n == 0 && s.Name == dataset.Train {
				t.Errorf("%d of 10 of class %d are in %s", n, label, s.Name)
			}
		}
		if total := want[s.Name] * 12; s.Examples < total-6 || s.Examples > total+6 {
			t.Errorf("%s has %d examples of about %d", s.Name, s.Examples, total)
		}
	}
}

// Rows go through the engine as files do: whole, in their split, each once, packed or not, and the same with any number of workers.
func TestRows(t *testing.T) {
	var table bytes.Buffer
	table.WriteString("id,label\n")
	const rows = 30_000
	for i := range rows {
		fmt.Fprintf(&table, "%d,%s\n", i, []string{"odd", "even"}[i%2])
	}
	table.WriteString("30000\n") // a field too few
	for name, data := range map[string][]byte{
		"bare":     table.Bytes(),
		"stored":   zipOf(t, zip.Store, []member{{"t/train.csv", table.Bytes()}, {"t/README.md", []byte("about")}}),
		"deflated": zipOf(t, zip.Deflate, []member{{"t/train.csv", table.Bytes()}}),
	} {
		t.Run(name, func(t *testing.T) {
			opts := convert.DefaultOptions("numbers")
			opts.FileName, opts.Stratify = "numbers.csv", true
			out, dir, err := localOf(t, data, opts)
			if err != nil {
				t.Fatal(err)
			}
			if out.Manifest.Format != "csv" || out.Report.Found.Rows != rows+1 || out.Report.Kept.Rows != rows || out.Report.LeftOut.Rows != 1 {
				t.Errorf("%s: found %+v, kept %+v, left out %+v", out.Manifest.Format, out.Report.Found, out.Report.Kept, out.Report.LeftOut)
			}
			seen := make(map[int64]bool, rows)
			for _, s := range out.Manifest.Shards {
				f, err := os.Open(filepath.Join(dir, s.Name))
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				for r := tfrecord.NewReader(f, 0); ; {
					record, err := r.Next()
					if errors.Is(err, io.EOF) {
						break
					}
					if err != nil {
						t.Fatal(err)
					}
					example, err := tfrecord.ParseExample(record)
					if err != nil {
						t.Fatal(err)
					}
					id := example["id"].Int64s[0]
					if seen[id] || out.Manifest.Classes[example["label"].Int64s[0]].Name != []string{"odd", "even"}[id%2] {
						t.Fatalf("row %d is there twice or has another's label", id)
					}
					seen[id] = true
				}
			}
			if len(seen) != rows {
				t.Errorf("%d rows of %d", len(seen), rows)
			}
			for _, s := range out.Manifest.Splits {
				if d := s.Classes[0] - s.Classes[1]; d < -1 || d > 1 {
					t.Errorf("%s isn't stratified: %v", s.Name, s.Classes)
				}
			}
		})
	}
}
