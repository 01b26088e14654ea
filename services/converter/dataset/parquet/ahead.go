package parquet

import (
	"context"
	"io"

	"github.com/trainyard/trainyard/services/converter/dataset"
)

// batchesAhead is how many batches are put together before they are asked for: enough that none of the goroutines waits for another now and then.
const batchesAhead = 4

// ahead calls rows with all rows, as all does, and decodes the next ones meanwhile: two goroutines decode pages, one puts rows together.
func (r *rowReader) ahead(ctx context.Context, rows func(dataset.Rows) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	free, full := make(chan *batch, batchesAhead), make(chan *batch, batchesAhead)
	for range batchesAhead {
		free <- &batch{}
	}
	decoded := make(chan error, 1)
	r.decoder = &decoder{requests: make(chan *chunkReader, len(r.columns))}
	r.decoder.start(ctx)
	go func() {
		defer close(r.decoder.requests)
		defer close(full)
		decoded <- r.send(ctx, free, full)
	}()
	var failed error
	for b := range full {
		if failed == nil {
			if failed = rows(b.Rows); failed != nil {
				stop()
			}
		}
		free <- b // never blocks: there are no more
	}
	r.decoder.running.Wait()
	if err := <-decoded; failed == nil {
		return err
	}
	return failed
}

// send puts all rows into batches. Those before an error are handed over.
func (r *rowReader) send(ctx context.Context, free <-chan *batch, full chan<- *batch) error {
	for b := range free {
		err := r.fill(ctx, b)
		if err == io.EOF { //nolint:errorlint // fill returns it itself
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case full <- b:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil // never: free isn't closed
}
