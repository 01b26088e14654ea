package preflight

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"golang.org/x/sync/errgroup"

	"github.com/trainyard/trainyard/services/training/region"
)

// simulations that run at a time: IAM throttles early.
const simulationsAtOnce = 4

// executionRoleCheck looks whether SageMaker can take the job's role, and asks IAM whether the role may do what the job does. What KMS keys need
// is kms-key's to tell, for a key's own policy can allow it without IAM.
func executionRoleCheck() Check {
	return Check{Name: "execution-role", Title: "Trust and permissions of the execution role", Run: runExecutionRole}
}

func runExecutionRole(ctx context.Context, c *Clients, s *Subject) (Result, error) {
	client, err := c.iam()
	if err != nil {
		return Result{}, err
	}
	var f findings
	role := aws.ToString(s.Request.RoleArn)
	name := roleName(role)
	if name == "" {
		f.fail(fmt.Sprintf("%q is not the ARN of a role", role), "give the ARN of the execution role", "aws iam list-roles --query 'Roles[].Arn'")
		return f.result(s.cantAssume()), nil
	}
	out, err := client.GetRole(ctx, &iam.GetRoleInput{RoleName: &name})
	if errorCode(err) == "NoSuchEntity" {
		f.fail("there is no role "+name+" in this account", "create the role, or name one that is there", "aws iam list-roles --query 'Roles[].Arn'")
		return f.result(s.cantAssume()), nil
	}
	if err != nil {
		return Result{Prevents: s.cantAssume()}, err
	}
	if is := aws.ToString(out.Role.Arn); is != "" && is != role {
		f.fail(fmt.Sprintf("role %s is %s, not %s", name, is, role), "give the role's ARN as IAM has it", "aws iam get-role --role-name "+name+" --query Role.Arn")
		return f.result(s.cantAssume()), nil
	}
	trust(&f, aws.ToString(out.Role.AssumeRolePolicyDocument), name, s)
	if f.status == Fail {
		return f.result(s.cantAssume()), nil
	}

	needs := s.needs()
	denials := make([][]denial, len(needs))
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(simulationsAtOnce)
	for i, n := range needs {
		group.Go(func() (err error) {
			denials[i], err = simulate(groupCtx, client, role, n)
			return err
		})
	}
	err = group.Wait()
	for i, n := range needs {
		judge(&f, n, denials[i], role)
	}
	if err == nil {
		f.ok("%d permissions simulated; %s", len(needs), simulationSees)
	}
	action, resource := firstDenied(denials, needs)
	return f.result(notAuthorized(role, action, resource)), err
}

// trust looks whether SageMaker may take the role for this job.
func trust(f *findings, document, name string, s *Subject) {
	mend := "let sagemaker.amazonaws.com take the role"
	snippet := fmt.Sprintf(`aws iam update-assume-role-policy --role-name %s --policy-document '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, `+
		`"Action": "sts:AssumeRole", "Condition": {"StringEquals": {"aws:SourceAccount": %q}}}]}'`, name, s.account())
	p, err := ParsePolicy(document)
	if err != nil {
		f.fail("the trust policy of "+name+" can't be read: "+err.Error(), mend, snippet)
		return
	}
	verdict, why := p.Allows(Question{Principal: "sagemaker.amazonaws.com", Action: "sts:AssumeRole", Context: map[string]string{
		"aws:sourceaccount": s.account(),
		"aws:sourcearn":     fmt.Sprintf("arn:%s:sagemaker:%s:%s:training-job/%s", region.Partition(s.Region), s.Region, s.account(), strings.ToLower(aws.ToString(s.Request.TrainingJobName))),
	}})
	seen := fmt.Sprintf("trust of %s for sagemaker.amazonaws.com: %v, %s", name, verdict, why)
	switch verdict {
	case Allowed:
		f.ok("%s", seen)
	case Conditional:
		f.warn(seen, mend+" without a condition that SageMaker may not meet", snippet)
	default:
		f.fail(seen, mend, snippet)
	}
}

// judge adds what the simulation denied of a need.
func judge(f *findings, n permission, denials []denial, role string) {
	var actions, seen []string
	unsure := n.Mild
	resources := map[string]bool{}
	for _, d := range denials {
		if !slices.Contains(actions, d.Action) {
			actions = append(actions, d.Action)
		}
		resources[d.Resource] = true
		seen = append(seen, d.String())
		unsure = unsure || d.Unsure
	}
	if len(denials) == 0 {
		return
	}
	list := make([]string, 0, len(resources))
	for r := range resources {
		list = append(list, r)
	}
	slices.Sort(list)
	add := f.fail
	if unsure {
		add = f.warn
	}
	add(fmt.Sprintf("to %s the role lacks %s", n.Why, strings.Join(seen, ", ")), "let the role do it: add the statement to a policy of "+roleName(role), statement(actions, list))
}

// firstDenied is what AWS would deny first or, if nothing, what the job does first.
func firstDenied(denials [][]denial, needs []permission) (action, resource string) {
	for i, list := range denials {
		for _, d := range list {
			if !needs[i].Mild {
				return d.Action, d.Resource
			}
		}
	}
	return needs[0].Actions[0], needs[0].Resources[0]
}

// needs is all that the job does in its role.
func (s *Subject) needs() []permission {
	partition, account := region.Partition(s.Region), s.account()
	arn := func(service, resource string) string {
		return "arn:" + partition + ":" + service + ":" + s.Region + ":" + account + ":" + resource
	}
	object := func(p place) string { return "arn:" + partition + ":s3:::" + p.Bucket + "/" + p.sample() }
	list := func(p place) permission {
		return permission{
			Why: "list " + p.String(), Actions: []string{"s3:ListBucket"}, Resources: []string{"arn:" + partition + ":s3:::" + p.Bucket},
			Context: map[string]string{"s3:prefix": p.Key},
		}
	}
	var all []permission
	for _, p := range s.inputs() {
		all = append(all, permission{Why: "read " + p.String(), Actions: []string{"s3:GetObject"}, Resources: []string{object(p)}}, list(p))
	}
	if p, ok := s.output(); ok {
		all = append(all, permission{Why: "write " + p.String(), Actions: []string{"s3:PutObject"}, Resources: []string{object(p)}})
	}
	if p, ok := s.checkpoints(); ok {
		all = append(all, permission{Why: "read and write " + p.String(), Actions: []string{"s3:GetObject", "s3:PutObject"}, Resources: []string{object(p)}}, list(p))
	}
	if vpc := s.Request.VpcConfig; vpc != nil {
		networkInterface := arn("ec2", "network-interface/eni-0")
		creates := []string{networkInterface}
		for _, id := range vpc.Subnets {
			creates = append(creates, arn("ec2", "subnet/"+id))
		}
		for _, id := range vpc.SecurityGroupIds {
			creates = append(creates, arn("ec2", "security-group/"+id))
		}
		const why = "work in a VPC"
		all = append(all,
			permission{Why: why, Actions: []string{"ec2:CreateNetworkInterface"}, Resources: creates},
			permission{Why: why, Actions: []string{"ec2:CreateNetworkInterfacePermission", "ec2:DeleteNetworkInterface", "ec2:DeleteNetworkInterfacePermission"}, Resources: []string{networkInterface}},
			permission{Why: why, Actions: []string{"ec2:DescribeNetworkInterfaces", "ec2:DescribeVpcs", "ec2:DescribeDhcpOptions", "ec2:DescribeSubnets", "ec2:DescribeSecurityGroups"}, Resources: []string{"*"}},
		)
	}
	if image, ok := parseImage(s.image()); ok {
		repository := "arn:" + partition + ":ecr:" + image.region + ":" + image.account + ":repository/" + image.repository
		all = append(all,
			permission{Why: "pull the image", Actions: []string{"ecr:GetAuthorizationToken"}, Resources: []string{"*"}},
			permission{Why: "pull the image", Actions: []string{"ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"}, Resources: []string{repository}},
		)
	}
	if len(s.fileSystems(types.FileSystemTypeEfs)) > 0 {
		all = append(all, permission{Why: "find the EFS file system", Actions: []string{"elasticfilesystem:DescribeMountTargets"}, Resources: []string{"*"}, Mild: true})
	}
	if len(s.fileSystems(types.FileSystemTypeFsxlustre)) > 0 {
		all = append(all, permission{Why: "find the Lustre file system", Actions: []string{"fsx:DescribeFileSystems"}, Resources: []string{"*"}, Mild: true})
	}
	return append(
		all,
		permission{
			Why: "write its log", Actions: []string{"logs:CreateLogStream", "logs:PutLogEvents"},
			Resources: []string{arn("logs", "log-group:/aws/sagemaker/TrainingJobs:log-stream:"+aws.ToString(s.Request.TrainingJobName)+"/algo-1-0")}, Mild: true,
		},
		permission{Why: "publish its metrics", Actions: []string{"cloudwatch:PutMetricData"}, Resources: []string{"*"}, Mild: true},
	)
}
