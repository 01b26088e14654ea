package parquet

import (
	"context"
	"io"
)

// each calls row with the batch's rows. An error of row comes back as it is.
func (b *batch) each(row func([]byte) error) error {
	start := 0
	for _, end := range b.ends {
		if err := row(b.data[start:end]); err != nil {
			return err
		}
		start = end
	}
	return nil
}

// ahead calls row with all rows, as all does, and decodes the next ones meanwhile: one goroutine decodes pages, one puts rows together. There are two batches, one on either side.
func (r *rowReader) ahead(ctx context.Context, row func([]byte) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	free, full := make(chan *batch, 2), make(chan *batch)
	free <- &batch{}
	free <- &batch{}
	decoded := make(chan error, 1)
	r.decoder = &decoder{requests: make(chan *chunkReader, len(r.columns)), done: make(chan struct{})}
	go r.decoder.run(ctx)
	go func() {
		defer close(r.decoder.requests)
		defer close(full)
		decoded <- r.send(ctx, free, full)
	}()
	var failed error
	for b := range full {
		if failed == nil {
			if failed = b.each(row); failed != nil {
				stop()
			}
		}
		free <- b // never blocks: there are two
	}
	<-r.decoder.done
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
