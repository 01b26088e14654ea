package sagemaker

import (
	"bytes"
	"context"
	"encoding/json"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
)

// warmPool is the instances of an ended job, kept for a next one of the same needs. Times are microseconds since the Unix
// epoch, so that the database can compare them.
type warmPool struct {
	Since, Until int64
	ReusedBy     string `json:",omitempty"`
}

// keepWarm keeps the job's instances, if it asks for it and didn't fail.
func (j *job) keepWarm(in *sdk.CreateTrainingJobInput, now time.Time) {
	if keep := in.ResourceConfig.KeepAlivePeriodInSeconds; keep != nil && *keep > 0 && j.Started != nil {
		j.Pool = &warmPool{Since: now.UnixMicro(), Until: now.Add(time.Duration(*keep) * time.Second).UnixMicro()}
	}
}

// warmPoolStatus is the member of Describe; nil for a job that keeps nothing.
func (j *job) warmPoolStatus(now time.Time) map[string]any {
	p := j.Pool
	if p == nil {
		if j.Started != nil && !j.ended() && keepsAlive(j.Request) {
			return map[string]any{"Status": types.WarmPoolResourceStatusInuse}
		}
		return nil
	}
	end := min(now.UnixMicro(), p.Until)
	out := map[string]any{"ResourceRetainedBillableTimeInSeconds": ceilSeconds(time.Duration(end-p.Since) * time.Microsecond)}
	switch {
	case p.ReusedBy != "":
		out["Status"], out["ReusedByJob"] = types.WarmPoolResourceStatusReused, p.ReusedBy
	case end == p.Until:
		out["Status"] = types.WarmPoolResourceStatusTerminated
	default:
		out["Status"] = types.WarmPoolResourceStatusAvailable
	}
	return out
}

func keepsAlive(request map[string]json.RawMessage) bool {
	in, err := decodeRequest(request)
	return err == nil && in.ResourceConfig.KeepAlivePeriodInSeconds != nil && *in.ResourceConfig.KeepAlivePeriodInSeconds > 0
}

// claimWarmPool takes a warm pool for a job that keeps its instances warm too and is like the pool's job in role, resources
// and network. The criteria are SageMaker's.
//
// Source: https://docs.aws.amazon.com/sagemaker/latest/dg/train-warm-pools.html
func (s *Service) claimWarmPool(ctx context.Context, j *job) (bool, error) {
	if j.Started != nil || !keepsAlive(j.Request) {
		return false, nil
	}
	pools, err := s.store.warmPools(ctx, time.Now())
	if err != nil {
		return false, err
	}
	for _, p := range pools {
		if !alike(p.Request, j.Request) {
			continue
		}
		_, err := s.store.update(ctx, p.Name, func(p *job) error {
			p.Pool.Until, p.Pool.ReusedBy = time.Now().UnixMicro(), j.Name
			return nil
		})
		return err == nil, err
	}
	return false, nil
}

func alike(a, b map[string]json.RawMessage) bool {
	for _, member := range []string{"RoleArn", "ResourceConfig", "VpcConfig", "EnableNetworkIsolation", "EnableInterContainerTrafficEncryption"} {
		if !bytes.Equal(canonical(a[member]), canonical(b[member])) {
			return false
		}
	}
	return true
}

// canonical is a member of a request with its own members in order and without what says no more than leaving it out: false
// and, since two jobs need not keep their instances equally long, the time they are kept.
func canonical(raw json.RawMessage) []byte {
	var v any
	if json.Unmarshal(raw, &v) != nil || v == false {
		return nil
	}
	if m, ok := v.(map[string]any); ok {
		delete(m, "KeepAlivePeriodInSeconds")
	}
	out, _ := json.Marshal(v) //nolint:errchkjson // It was JSON a moment ago.
	return out
}
