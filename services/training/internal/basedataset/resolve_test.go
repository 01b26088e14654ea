package basedataset_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trainyard/trainyard/services/training/internal/basedataset"
	"github.com/trainyard/trainyard/services/training/region"
)

const inManyRegions = `
- id: digits
  locations:
    - {region: cn-north-1, storage: fsx-lustre, file_system_id: fs-0aaaaaaaaaaaaaaa1, mount_name: mountone, path: /digits}
    - {region: cn-north-1, storage: efs, file_system_id: fs-0bbbbbbbbbbbbbbb2, path: /digits}
    - {region: us-east-1, storage: fsx-lustre, file_system_id: fs-0ccccccccccccccc3, mount_name: mounttwo, path: /digits}
    - {region: eu-west-1, storage: s3, uri: 's3://bases-eu/digits/'}
- id: lustre-only
  locations:
    - {region: cn-north-1, storage: fsx-lustre, file_system_id: fs-0aaaaaaaaaaaaaaa1, mount_name: mountone, path: /digits}
- id: one-place
  storage: s3
  uri: s3://bases/one/
`

// golden is found before localcloud changes the folder.
var golden, _ = filepath.Abs(filepath.Join("testdata", "resolve.txt"))

// What jobs of a region are told, of every base dataset and region. The golden file is rewritten with UPDATE_GOLDEN=1.
func TestResolve(t *testing.T) {
	bases, err := basedataset.Parse([]byte(inManyRegions), "us-east-1")
	if err != nil {
		t.Fatal(err)
	}
	learnt, err := region.Parse([]byte("regions: {cn-north-1: {fsx_lustre: true, why: tried in March}}"))
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, world := range []struct {
		title string
		caps  *region.Table
	}{{"as built in", nil}, {"with FSx for Lustre learnt to work in cn-north-1", learnt}} {
		got.WriteString("# " + world.title + "\n")
		for _, b := range bases {
			for _, name := range []string{"cn-north-1", "us-east-1", "eu-west-1"} {
				location, note, err := basedataset.Resolve(b, name, world.caps)
				got.WriteString(b.ID + " in " + name + "\n  ")
				if failed := (*basedataset.LocationError)(nil); errors.As(err, &failed) {
					got.WriteString("refused: " + failed.Error() + "\n")
					continue
				}
				if _, sourceErr := location.Source(); err != nil || sourceErr != nil {
					t.Fatal(err, sourceErr)
				}
				got.WriteString(strings.Join(strings.Fields(strings.Join([]string{
					string(location.Storage), location.URI, location.FileSystemID, location.MountName, location.Path,
				}, " ")), " ") + "\n")
				if note != "" {
					got.WriteString("  note: " + note + "\n")
				}
			}
		}
	}
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(golden, []byte(got.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("got:\n%s\nwant:\n%s", got.String(), want)
	}
}

func TestNeedsVPC(t *testing.T) {
	bases, err := basedataset.Parse([]byte(inManyRegions), "us-east-1")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"us-east-1": true, "cn-north-1": true, "eu-west-1": false} {
		if got := bases.NeedsVPC(name); got != want {
			t.Errorf("in %s: %v", name, got)
		}
	}
}
