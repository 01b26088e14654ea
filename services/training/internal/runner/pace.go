package runner

import (
	"context"
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Rates are the calls a second that all jobs together make of each API of SageMaker's. Its limits are low and shared with the whole account. Zero
// values mean the defaults.
type Rates struct {
	Create   float64 `help:"Calls of CreateTrainingJob a second, of all jobs together; 0 means 2."`
	Describe float64 `help:"Calls of DescribeTrainingJob a second; 0 means 4."`
	Stop     float64 `help:"Calls of StopTrainingJob a second; 0 means 2."`
	ListTags float64 `help:"Calls of ListTags a second; 0 means 2."`
}

var defaultRates = Rates{Create: 2, Describe: 4, Stop: 2, ListTags: 2}

// slowest is how far a pace goes down where SageMaker throttles on and on, as a part of the configured one.
const slowest = 1.0 / 16

// pace bounds the calls of one API. It halves when SageMaker throttles, and gets faster again with each call that it lets through.
type pace struct {
	mu      sync.Mutex
	full    rate.Limit
	limiter *rate.Limiter
}

func newPace(perSecond, otherwise float64) *pace {
	if perSecond <= 0 {
		perSecond = otherwise
	}
	return &pace{full: rate.Limit(perSecond), limiter: rate.NewLimiter(rate.Limit(perSecond), int(math.Ceil(2*perSecond)))}
}

// call makes one call when its turn has come, with a bound on its time, retries of the SDK included.
func (p *pace) call(ctx context.Context, call func(context.Context) error) error {
	if err := p.limiter.Wait(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err := call(ctx)
	p.learn(isThrottled(err))
	return err
}

func (p *pace) learn(throttled bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	limit := p.limiter.Limit()
	switch {
	case throttled:
		p.limiter.SetLimit(max(limit/2, p.full*slowest))
	case limit < p.full:
		p.limiter.SetLimit(min(limit*5/4, p.full))
	}
}

// paces are those of all APIs.
type paces struct {
	create, describe, stop, listTags *pace
}

func newPaces(r Rates) paces {
	return paces{
		create: newPace(r.Create, defaultRates.Create), describe: newPace(r.Describe, defaultRates.Describe),
		stop: newPace(r.Stop, defaultRates.Stop), listTags: newPace(r.ListTags, defaultRates.ListTags),
	}
}

// isThrottled tells that SageMaker asks for fewer calls.
func isThrottled(err error) bool {
	switch apiCode(err) {
	case "ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded":
		return true
	}
	return false
}

// callTimeout bounds a call to SageMaker, retries included.
const callTimeout = 60 * time.Second
