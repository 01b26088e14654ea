package runner

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.uber.org/zap"

	"github.com/trainyard/trainyard/services/training/internal/job"
)

// Notes of a job that tell of trouble with SageMaker begin so; there is at most one.
const troubleNote = "Waiting for SageMaker"

// patient is how many looks in a row fail before the job tells of it: a few are nobody's business.
const patient = 2

// noteTrouble lets a job tell why nothing happens to it: its state stays the true one, for whatever SageMaker has of it goes on. The note is written
// when its text is news, not with every look.
func (r *Runner) noteTrouble(ctx context.Context, j *job.Job, err error) {
	var call *callError
	if !errors.As(err, &call) || j.State.Ended() || j.State == job.Running && j.Troubles < patient {
		return
	}
	var doing string
	switch {
	case j.SageMakerARN == "" && j.State == job.Queued:
		doing = "to start the job"
	case j.State == job.Stopping:
		doing = "to stop the job"
	default:
		doing = "to tell how the job is doing, which goes on meanwhile"
	}
	if !setNote(j, troubleNote, fmt.Sprintf("%s %s: %s It is asked again until it does.", troubleNote, doing, troubleText(err))) {
		return
	}
	if err := r.deps.Jobs.Save(ctx, j, job.Change{Event: job.EventProgress}); err != nil && !errors.Is(err, job.ErrConflict) && ctx.Err() == nil {
		r.log.Warn("note the trouble of a job", zap.String("job", j.ID), zap.Error(err))
	}
}

// troubleText says in a sentence what AWS answered, if it did: not what is within this installation.
func troubleText(err error) string {
	switch code := apiCode(err); {
	case isThrottled(err):
		return "it asks for fewer calls (" + code + ")."
	case code != "":
		return apiMessage(err)
	}
	return "it doesn't answer."
}

// setNote puts a note in the place of the one that begins alike, or at the end; an empty text takes it away. It tells whether that is news.
func setNote(j *job.Job, begins, text string) bool {
	for i, note := range j.Notes {
		if !strings.HasPrefix(note, begins) {
			continue
		}
		switch text {
		case note:
			return false
		case "":
			j.Notes = append(j.Notes[:i:i], j.Notes[i+1:]...)
		default:
			j.Notes[i] = text
		}
		return true
	}
	if text == "" {
		return false
	}
	j.Notes = append(j.Notes, text)
	return true
}
