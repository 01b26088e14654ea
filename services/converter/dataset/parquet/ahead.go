package parquet

import "context"

// aheadBytes is about how many bytes of rows are handed over at once.
const aheadBytes = 256 << 10

// batch is a run of rows.
type batch struct {
	data []byte
	ends []int
}

// ahead calls row with all rows, as all does, and decodes the next ones meanwhile. There are two batches, one on either side.
func (r *rowReader) ahead(ctx context.Context, row func([]byte) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	free, full := make(chan *batch, 2), make(chan *batch)
	free <- &batch{}
	free <- &batch{}
	decoded := make(chan error, 1)
	go func() {
		defer close(full)
		decoded <- r.fill(ctx, free, full)
	}()
	var failed error
	for b := range full {
		start := 0
		for _, end := range b.ends {
			if failed != nil {
				break
			}
			if failed = row(b.data[start:end]); failed != nil {
				stop()
			}
			start = end
		}
		free <- b // never blocks: there are two
	}
	if err := <-decoded; failed == nil {
		return err
	}
	return failed
}

// fill puts all rows into batches. Those before an error are handed over.
func (r *rowReader) fill(ctx context.Context, free <-chan *batch, full chan<- *batch) error {
	b := <-free
	send := func() error {
		select {
		case full <- b:
			b = nil
		case <-ctx.Done():
			return ctx.Err()
		}
		return nil
	}
	err := r.all(ctx, func(row []byte) error {
		if b == nil {
			if b = <-free; cap(b.data) > 2*aheadBytes { // a row that was long
				b.data = nil
			}
			b.data, b.ends = b.data[:0], b.ends[:0]
		}
		b.data = append(b.data, row...)
		if b.ends = append(b.ends, len(b.data)); len(b.data) < aheadBytes {
			return nil
		}
		return send()
	})
	if b != nil && len(b.ends) > 0 {
		if unsent := send(); err == nil {
			err = unsent
		}
	}
	return err
}
