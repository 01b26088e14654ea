// Package fault makes localcloud's JSON APIs fail the way AWS fails, for tests: an operation answers with an error of AWS a
// number of times, or is done but its answer gets lost.
//
//	faults := new(fault.Injector)
//	cloud, err := localcloud.New(ctx, localcloud.Config{Faults: faults}, localcloud.Deps{})
//	faults.Fail("CreateTrainingJob", 2, fault.Throttled())
package fault

import (
	"sync"

	"github.com/trainyard/trainyard/services/localcloud/awsjson"
)

// Always, as the number of times, is until Clear.
const Always = -1

// Injector holds what is to fail. Its zero value fails nothing, a nil one never does; it may be used by several goroutines.
type Injector struct {
	mu      sync.Mutex
	planned map[string][]planned
	calls   map[string]int
}

type planned struct {
	left int
	err  error
}

// Fail lets the next calls of an operation, such as CreateTrainingJob, answer with err, which one of this package's
// functions makes. What was planned for the operation before comes first.
func (i *Injector) Fail(operation string, times int, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.planned == nil {
		i.planned = map[string][]planned{}
	}
	i.planned[operation] = append(i.planned[operation], planned{times, err})
}

// Clear forgets all that was planned; the counts of calls stay.
func (i *Injector) Clear() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.planned = nil
}

// Calls is how many calls of an operation came so far, failed ones among them.
func (i *Injector) Calls(operation string) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.calls[operation]
}

// Intercept counts a call and returns what it fails with, or nil. It is an awsjson.Handler's Intercept.
func (i *Injector) Intercept(operation string) error {
	if i == nil {
		return nil
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.calls == nil {
		i.calls = map[string]int{}
	}
	i.calls[operation]++
	queue := i.planned[operation]
	for len(queue) > 0 && queue[0].left == 0 {
		queue = queue[1:]
	}
	if len(queue) == 0 {
		delete(i.planned, operation)
		return nil
	}
	i.planned[operation] = queue
	if queue[0].left > 0 {
		queue[0].left--
	}
	return queue[0].err
}

// Throttled is the answer to too many calls.
func Throttled() error { return awsjson.Errorf("ThrottlingException", "Rate exceeded") }

// Denied is the answer to a caller whose policy lacks an action, such as `sagemaker:CreateTrainingJob`.
func Denied(action string) error {
	return awsjson.Errorf("AccessDeniedException", "User: arn:aws:iam::000000000000:user/trainyard is not authorized to perform: %s because no identity-based policy allows the %s action", action, action)
}

// LimitExceeded is CreateTrainingJob's answer when the account has no instance of a type left.
func LimitExceeded(instanceType string, limit, inUse, asked int) error {
	return awsjson.Errorf("ResourceLimitExceeded", "The account-level service limit '%s for training job usage' is %d Instances, with current utilization of %d Instances and a request delta of %d Instances. Please use AWS Service Quotas to request an increase for this quota. If AWS Service Quotas is not available, contact AWS support to request an increase for this quota.", instanceType, limit, inUse, asked)
}

// Unavailable is AWS being down: an answer of status 503.
func Unavailable() error {
	return &awsjson.Error{Code: "ServiceUnavailable", Message: "The service is unavailable. Please try again shortly.", Status: 503}
}

// AnswerLost lets the operation be done and cuts the connection before its answer: the caller can't know whether it was.
func AnswerLost() error { return awsjson.ErrAnswerLost }
