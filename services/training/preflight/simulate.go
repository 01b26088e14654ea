package preflight

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
)

// simulationSees is said with every result of IAM's simulation.
const simulationSees = "IAM's simulation sees the role's policies and boundary, not bucket policies or service control policies"

// permission is what the job's role has to be allowed.
type permission struct {
	Why       string // For people, such as `read channel "train"`.
	Actions   []string
	Resources []string
	Context   map[string]string // Values of condition keys.
	// Mild tells that the job runs without it, though not as well.
	Mild bool
}

// denial is what IAM's simulation doesn't allow.
type denial struct {
	Action, Resource string
	// Unsure tells that a condition depends on values that only a real call has.
	Unsure bool
}

func (d denial) String() string { return d.Action + " on " + d.Resource }

// simulate asks IAM which of the needed actions the role's own policies don't allow.
func simulate(ctx context.Context, client IAM, role string, n permission) ([]denial, error) {
	in := &iam.SimulatePrincipalPolicyInput{PolicySourceArn: &role, ActionNames: n.Actions, ResourceArns: n.Resources}
	for key, value := range n.Context {
		in.ContextEntries = append(in.ContextEntries, iamtypes.ContextEntry{
			ContextKeyName: aws.String(key), ContextKeyType: iamtypes.ContextKeyTypeEnumString, ContextKeyValues: []string{value},
		})
	}
	var all []denial
	add := func(action, resource *string, decision iamtypes.PolicyEvaluationDecisionType, missing []string) {
		if decision != iamtypes.PolicyEvaluationDecisionTypeAllowed {
			unsure := decision == iamtypes.PolicyEvaluationDecisionTypeImplicitDeny && len(missing) > 0
			all = append(all, denial{aws.ToString(action), cmp.Or(aws.ToString(resource), "*"), unsure})
		}
	}
	pages := iam.NewSimulatePrincipalPolicyPaginator(client, in)
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, r := range page.EvaluationResults {
			for _, one := range r.ResourceSpecificResults {
				add(r.EvalActionName, one.EvalResourceName, one.EvalResourceDecision, one.MissingContextValues)
			}
			if len(r.ResourceSpecificResults) == 0 {
				add(r.EvalActionName, r.EvalResourceName, r.EvalDecision, r.MissingContextValues)
			}
		}
	}
	return all, nil
}

// roleName is the name in a role's ARN, whose path it doesn't have, or "".
func roleName(role string) string {
	if account(role) == "" {
		return ""
	}
	_, path, ok := strings.Cut(role, ":role/")
	if !ok {
		return ""
	}
	return path[strings.LastIndex(path, "/")+1:]
}

// statement is an IAM statement that allows actions.
func statement(actions, resources []string) string {
	quote := func(list []string) string { return `["` + strings.Join(list, `", "`) + `"]` }
	return fmt.Sprintf(`{"Effect": "Allow", "Action": %s, "Resource": %s}`, quote(actions), quote(resources))
}

// notAuthorized is how AWS says that the role may not do something; it names the session in which SageMaker has taken the role.
func notAuthorized(role, action, resource string) string {
	partition, _, _ := strings.Cut(strings.TrimPrefix(role, "arn:"), ":")
	return fmt.Sprintf("AccessDenied: User: arn:%s:sts::%s:assumed-role/%s/SageMaker is not authorized to perform: %s on resource: %s", partition, account(role), roleName(role), action, resource)
}
