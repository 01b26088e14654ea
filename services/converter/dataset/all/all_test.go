package all_test

import (
	"slices"
	"testing"

	"github.com/trainyard/trainyard/services/converter/dataset/all"
	"github.com/trainyard/trainyard/services/internal/formats"
)

// Ingest refuses by that list what is uploaded to be read as another format.
func TestFormatsAreListedForOtherServices(t *testing.T) {
	var ids []string
	for _, reader := range all.Readers() {
		f := reader.Format()
		ids = append(ids, f.Name)
		if formats.HasColumns(f.Name) != (f.Labels == "") {
			t.Errorf("services/internal/formats says that a label column of %s can be chosen: %v; its labels are %q", f.Name, formats.HasColumns(f.Name), f.Labels)
		}
	}
	slices.Sort(ids)
	if listed := formats.IDs(false); !slices.Equal(listed, ids) {
		t.Errorf("services/internal/formats lists %v; the formats are %v", listed, ids)
	}
}
