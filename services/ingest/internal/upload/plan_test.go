package upload_test

import (
	"testing"

	"github.com/trainyard/trainyard/services/ingest/internal/upload"
	"pgregory.net/rapid"
)

func TestPlanCutsEveryFile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.Int64Range(1, 5<<40).Draw(t, "size")
		partSize := rapid.Int64Range(upload.MinPartSize, 64<<20).Draw(t, "part size")
		p := upload.NewPlan(size, partSize)
		if p.Count < 1 || p.Count > upload.MaxParts || p.PartSize < partSize || p.PartSize > upload.MaxPartSize {
			t.Fatalf("plan %+v breaks S3's limits", p)
		}
		last := p.SizeOf(p.Count)
		if last < 1 || last > p.PartSize || int64(p.Count-1)*p.PartSize+last != size {
			t.Fatalf("plan %+v does not make up the file, its last part has %d bytes", p, last)
		}
	})
}

func TestPartSizeGrowsOnlyWhenItMust(t *testing.T) {
	const mebibyte = 1 << 20
	for name, test := range map[string]struct{ size, want int64 }{
		"one byte":          {1, 16 * mebibyte},
		"10,000 full parts": {10_000 * 16 * mebibyte, 16 * mebibyte},
		"one byte more":     {10_000*16*mebibyte + 1, 17 * mebibyte},
		"S3's largest":      {5 << 40, 525 * mebibyte},
	} {
		t.Run(name, func(t *testing.T) {
			if got := upload.NewPlan(test.size, 16*mebibyte).PartSize; got != test.want {
				t.Errorf("got %d, want %d", got, test.want)
			}
		})
	}
}

func TestRanges(t *testing.T) {
	var odd []int32
	for i := range int32(30) {
		odd = append(odd, 2*i+1)
	}
	for name, test := range map[string]struct {
		parts []int32
		want  string
	}{
		"none": {nil, ""},
		"one":  {[]int32{7}, "7"},
		"runs": {[]int32{1, 2, 3, 5, 8, 9}, "1-3,5,8-9"},
		"many": {odd, "1,3,5,7,9,11,13,15,17,19,21,23,25,27,29,31,33,35,37,39,and 10 more"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := upload.Ranges(test.parts); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestEndingIsOneOfOurs(t *testing.T) {
	for name, want := range map[string]string{
		"digits.zip": ".zip", "Digits.TAR.GZ": ".tar.gz", "a.b.tgz": ".tgz", "x": "", "x.exe": "", "x.zip/../../y": "",
		`C:\data\x.zip`: ".zip", "<img onerror=x>.zip": ".zip", ".zip": ".zip", "x.zip?versionId=1": "",
	} {
		if got := upload.Ending(name); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}
