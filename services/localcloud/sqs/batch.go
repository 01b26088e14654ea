package sqs

import (
	"errors"
	"regexp"
)

const maxBatch = 10

var batchEntryID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$`)

// checkBatch refuses a batch as a whole: by its length and its entries' ids.
func checkBatch[E any](entries []E, id func(E) string) error {
	if len(entries) == 0 {
		return modelError("EmptyBatchRequest", "AWS.SimpleQueueService.EmptyBatchRequest",
			"There should be at least one entry in the request.")
	}
	if len(entries) > maxBatch {
		return modelError("TooManyEntriesInBatchRequest", "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
			"Maximum number of entries per request are %d. You have sent %d.", maxBatch, len(entries))
	}
	seen := make(map[string]bool, len(entries))
	for _, entry := range entries {
		id := id(entry)
		if !batchEntryID.MatchString(id) {
			return modelError("InvalidBatchEntryId", "AWS.SimpleQueueService.InvalidBatchEntryId",
				"A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long.")
		}
		if seen[id] {
			return modelError("BatchEntryIdsNotDistinct", "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
				"Id %s repeated.", id)
		}
		seen[id] = true
	}
	return nil
}

type batchError struct {
	ID          string `json:"Id"`
	SenderFault bool
	Code        string
	Message     string
}

type batchOutput[T any] struct {
	Successful []T          `json:",omitempty"`
	Failed     []batchError `json:",omitempty"`
}

type batchEntry struct {
	ID string `json:"Id"`
}

// add records the outcome of one entry. An error that is not the sender's
// concerns the whole batch and is handed back.
func (b *batchOutput[T]) add(id string, result T, err error) error {
	if err == nil {
		b.Successful = append(b.Successful, result)
		return nil
	}
	var known *Error
	if !errors.As(err, &known) {
		return err
	}
	b.Failed = append(b.Failed, batchError{ID: id, SenderFault: !known.Fault, Code: known.Code, Message: known.Message})
	return nil
}
