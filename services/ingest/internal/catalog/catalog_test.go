package catalog_test

import (
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	ingestv1 "github.com/trainyard/trainyard/gen/trainyard/ingest/v1"
	"github.com/trainyard/trainyard/services/ingest/internal/catalog"
	"github.com/trainyard/trainyard/services/ingest/internal/upload"
	"github.com/trainyard/trainyard/services/internal/store"
	"github.com/trainyard/trainyard/services/internal/testkit"
)

// Each claim finds the lease run out and takes the version over; the fence counts them, so that a change lost to a race shows.
func TestNoChangeIsLost(t *testing.T) {
	testkit.EachDatabase(t, func(t *testing.T, dsn string) {
		db, err := store.Open(t.Context(), dsn, "ingest", os.DirFS("../../migrations"))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		c := catalog.New(db, func() {})
		if err := c.CreateDataset(t.Context(), &catalog.Dataset{Project: "p", ID: "d"}); err != nil {
			t.Fatal(err)
		}
		v, err := c.CreateVersion(t.Context(), &catalog.Version{
			Project: "p", Dataset: "d", FileName: "x.zip", SizeBytes: 1, Bucket: "b",
			Options: catalog.JSON[*ingestv1.ConversionOptions]{V: &ingestv1.ConversionOptions{}},
		}, catalog.Quotas{Bytes: 1, Versions: 1, Concurrent: 1}, time.Second, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Change(t.Context(), v.ID(), func(v *catalog.Version, now int64) error {
			return v.Complete(now, time.Second, upload.Object{Size: 1, ETag: "e"})
		}); err != nil {
			t.Fatal(err)
		}

		const workers, claims = 6, 10
		fences := make([]int64, workers*claims)
		var group sync.WaitGroup
		for w := range workers {
			group.Go(func() {
				for i := range claims {
					claimed, err := c.Change(t.Context(), v.ID(), func(v *catalog.Version, now int64) error {
						return v.Claim(now, 0, "w", "e", 1)
					})
					if err != nil {
						t.Error(err)
						return
					}
					fences[w*claims+i] = claimed.Fence
				}
			})
		}
		group.Wait()
		slices.Sort(fences)
		for i, fence := range fences {
			if fence != int64(i)+1 {
				t.Fatalf("fences %v, want each of 1 to %d once", fences, len(fences))
			}
		}
	})
}
