package job_test

import (
	"errors"
	"testing"
	"time"

	"github.com/trainyard/trainyard/services/internal/store"
	"github.com/trainyard/trainyard/services/training/internal/job"
)

func checkpointsAreOneJobs(t *testing.T, _ *store.DB, s *job.Store) {
	at := func(j *job.Job) { j.CheckpointURI = "s3://b/checkpoints/p/first/" }
	results := make(chan error, 8)
	made := make(chan *job.Job, cap(results))
	for range cap(results) {
		go func() {
			j, err := s.Insert(t.Context(), of("resumed", at))
			if err == nil {
				made <- j
			}
			results <- err
		}()
	}
	refused := 0
	for range cap(results) {
		var inUse *job.CheckpointsInUseError
		if err := <-results; errors.As(err, &inUse) {
			refused++
		} else if err != nil {
			t.Error(err)
		}
	}
	if len(made) != 1 || refused != cap(results)-1 {
		t.Fatalf("%d jobs have the same checkpoints, %d were refused", len(made), refused)
	}
	first := claim(t, s, <-made)
	first.State, first.EndTime = job.Failed, time.Now().UnixMicro()
	if err := s.Save(t.Context(), first, job.Change{}); err != nil {
		t.Fatal(err)
	}
	accepted(t, s, of("resumed", at))
	accepted(t, s, of("resumed", nil)) // Jobs without checkpoints, of older versions, are not in each other's way.
	accepted(t, s, of("resumed", nil))
}
