package preflight

import (
	"context"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/fsx"
	fsxtypes "github.com/aws/aws-sdk-go-v2/service/fsx/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/servicequotas"
	quotatypes "github.com/aws/aws-sdk-go-v2/service/servicequotas/types"
	"github.com/aws/smithy-go"
)

// The fakes stand for what moto lacks or gets wrong, by AWS.md: FSx's states, interfaces and associations, IAM's simulation, and the quotas of
// SageMaker. They answer a page with one item, so that a check that reads the first page alone fails its tests.

// fakeFSx has file systems and associations.
type fakeFSx struct {
	Systems      []fsxtypes.FileSystem
	Associations []fsxtypes.DataRepositoryAssociation
}

func (f fakeFSx) DescribeFileSystems(_ context.Context, in *fsx.DescribeFileSystemsInput, _ ...func(*fsx.Options)) (*fsx.DescribeFileSystemsOutput, error) {
	if len(in.FileSystemIds) == 0 {
		items, next := page(f.Systems, in.NextToken)
		return &fsx.DescribeFileSystemsOutput{FileSystems: items, NextToken: next}, nil
	}
	out := &fsx.DescribeFileSystemsOutput{}
	for _, id := range in.FileSystemIds {
		found := false
		for _, fs := range f.Systems {
			if aws.ToString(fs.FileSystemId) == id {
				out.FileSystems, found = append(out.FileSystems, fs), true
			}
		}
		if !found {
			return nil, refused("FSx", "DescribeFileSystems", "FileSystemNotFound", "File system '"+id+"' does not exist.")
		}
	}
	return out, nil
}

func (f fakeFSx) DescribeDataRepositoryAssociations(_ context.Context, in *fsx.DescribeDataRepositoryAssociationsInput, _ ...func(*fsx.Options)) (*fsx.DescribeDataRepositoryAssociationsOutput, error) {
	items, next := page(f.Associations, in.NextToken)
	return &fsx.DescribeDataRepositoryAssociationsOutput{Associations: items, NextToken: next}, nil
}

// fakeQuotas has the account's quotas of SageMaker by name.
type fakeQuotas []quotatypes.ServiceQuota

func (f fakeQuotas) ListServiceQuotas(_ context.Context, in *servicequotas.ListServiceQuotasInput, _ ...func(*servicequotas.Options)) (*servicequotas.ListServiceQuotasOutput, error) {
	if aws.ToString(in.ServiceCode) != "sagemaker" {
		return nil, refused("Service Quotas", "ListServiceQuotas", "NoSuchResourceException", "no such service")
	}
	items, next := page(f, in.NextToken)
	return &servicequotas.ListServiceQuotasOutput{Quotas: items, NextToken: next}, nil
}

func quota(name string, value float64) quotatypes.ServiceQuota {
	return quotatypes.ServiceQuota{ServiceCode: aws.String("sagemaker"), QuotaName: &name, QuotaCode: aws.String("L-1234ABCD"), Value: &value}
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
	items, next := page(all, in.Marker)
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

// page gives the item that a token stands for, and the token of the next.
func page[T any](all []T, token *string) (items []T, next *string) {
	at, _ := strconv.Atoi(aws.ToString(token))
	if at >= len(all) {
		return nil, nil
	}
	if at+1 < len(all) {
		next = aws.String(strconv.Itoa(at + 1))
	}
	return all[at : at+1], next
}

// refused is an error as the SDK gives it.
func refused(service, operation, code, message string) error {
	return &smithy.OperationError{ServiceID: service, OperationName: operation, Err: &smithy.GenericAPIError{Code: code, Message: message}}
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
