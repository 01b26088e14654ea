package preflight

import (
	"context"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	quotatypes "github.com/aws/aws-sdk-go-v2/service/servicequotas/types"

	"github.com/trainyard/trainyard/services/training/preflight/mototest"
)

// The fakes stand for what moto lacks or gets wrong, by AWS.md: FSx's states, interfaces and associations, IAM's simulation, and the quotas of
// SageMaker.
type (
	fakeFSx    = mototest.FSx
	fakeQuotas = mototest.Quotas
)

func quota(name string, value float64) quotatypes.ServiceQuota { return mototest.Quota(name, value) }

func refused(service, operation, code, message string) error {
	return mototest.Refused(service, operation, code, message)
}

// simulatedIAM is moto's IAM with the simulation that it lacks: it judges by the inline policies that moto holds for the role.
type simulatedIAM struct{ *iam.Client }

func (s simulatedIAM) SimulatePrincipalPolicy(ctx context.Context, in *iam.SimulatePrincipalPolicyInput, _ ...func(*iam.Options)) (*iam.SimulatePrincipalPolicyOutput, error) {
	name := roleName(aws.ToString(in.PolicySourceArn))
	list, err := s.ListRolePolicies(ctx, &iam.ListRolePoliciesInput{RoleName: &name})
	if err != nil {
		return nil, err
	}
	var policies []Policy
	for _, policy := range list.PolicyNames {
		out, err := s.GetRolePolicy(ctx, &iam.GetRolePolicyInput{RoleName: &name, PolicyName: &policy})
		if err != nil {
			return nil, err
		}
		p, err := ParsePolicy(aws.ToString(out.PolicyDocument))
		if err != nil {
			return nil, err
		}
		for i := range p.Statements {
			p.Statements[i].Principal = principal{"AWS": {"*"}} // An identity's policy is for that identity.
		}
		policies = append(policies, p)
	}
	known := map[string]string{}
	for _, entry := range in.ContextEntries {
		known[strings.ToLower(aws.ToString(entry.ContextKeyName))] = entry.ContextKeyValues[0]
	}
	var all []iamtypes.EvaluationResult
	for _, action := range in.ActionNames {
		for _, resource := range in.ResourceArns {
			all = append(all, evaluate(policies, action, resource, known))
		}
	}
	items, next := mototest.Page(all, in.Marker)
	return &iam.SimulatePrincipalPolicyOutput{EvaluationResults: items, Marker: next, IsTruncated: next != nil}, nil
}

func evaluate(policies []Policy, action, resource string, known map[string]string) iamtypes.EvaluationResult {
	r := iamtypes.EvaluationResult{EvalActionName: &action, EvalResourceName: &resource, EvalDecision: iamtypes.PolicyEvaluationDecisionTypeImplicitDeny}
	for _, p := range policies {
		switch verdict, why := p.Allows(Question{Action: action, Resource: resource, Context: known}); verdict {
		case Allowed:
			r.EvalDecision = iamtypes.PolicyEvaluationDecisionTypeAllowed
		case Conditional:
			r.MissingContextValues = append(r.MissingContextValues, why)
		default:
			if strings.HasSuffix(why, "denies it") {
				r.EvalDecision, r.MissingContextValues = iamtypes.PolicyEvaluationDecisionTypeExplicitDeny, nil
				return r
			}
		}
	}
	return r
}

// mustDo gives what a call that sets up a world returned.
func mustDo[T any](out T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
}
