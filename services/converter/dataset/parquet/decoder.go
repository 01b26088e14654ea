package parquet

import (
	"context"
	"sync"
)

// decoders is how many goroutines decode pages: two, so that no column waits while the page of another is decoded.
const decoders = 2

// decoder decodes pages in goroutines of its own: of each column the next one, while rows are made of the page before it. So the memory that
// this takes is bounded by maxAhead and a page; one that is too large for that is decoded when its column has nothing else left.
type decoder struct {
	requests chan *chunkReader // at most one of each column
	running  sync.WaitGroup
}

// start starts the goroutines, which end when requests is closed.
func (d *decoder) start(ctx context.Context) {
	for range decoders {
		d.running.Go(func() { d.run(ctx) })
	}
}

// run decodes what is asked for until requests is closed.
func (d *decoder) run(ctx context.Context) {
	unpack := &unpacker{}
	for c := range d.requests {
		c.unpack = unpack
		p := c.spare
		if c.demands {
			p = c.decoded
		}
		c.ready <- c.decodeNext(ctx, p)
	}
}

// ask asks for the column's next page. It does nothing if there is no decoder.
func (d *decoder) ask(c *chunkReader) {
	if d != nil {
		c.asked, c.demands = true, false
		d.requests <- c
	}
}

// load makes the column's next page the one that is read from.
func (r *chunkReader) load(ctx context.Context, d *decoder) error {
	if d == nil {
		return r.decodeNext(ctx, r.decoded)
	}
	if r.asked {
		r.asked = false
		err := <-r.ready
		if err == nil {
			r.swap()
			d.ask(r)
			return nil
		}
		if err != errLater { //nolint:errorlint // decodeNext returns it itself
			return err
		}
	}
	r.demands = true
	d.requests <- r
	err := <-r.ready
	if err == nil {
		d.ask(r)
	}
	return err
}

// swap makes the page that was decoded ahead the one that is read from. The memory of the other stays for the next one if there is room for it.
func (r *chunkReader) swap() {
	r.decoded, r.spare = r.spare, r.decoded
	if r.budget.ahead.Add(r.spare.held-r.decoded.held) > maxAhead {
		r.budget.held.Add(-r.spare.held) // before the other, so that their difference never seems larger than it is
		r.budget.ahead.Add(-r.spare.held)
		*r.spare = decoded{}
	}
}

// decodeNext decodes the column's next page into p. The library is called within.
func (r *chunkReader) decodeNext(ctx context.Context, p *decoded) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = damage("decoding a page failed (%v)", p)
		}
		if err != nil && err != errLater { //nolint:errorlint // next returns it itself
			err = &columnError{r.column, err}
		}
	}()
	return r.next(ctx, p)
}
