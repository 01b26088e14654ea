package preflight

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/trainyard/trainyard/services/training/region"
)

// s3EndpointPolicyCheck looks whether the gateway endpoints by which the job reaches S3 let its role read its inputs and write its outputs.
func s3EndpointPolicyCheck() Check {
	return Check{Name: "s3-endpoint-policy", Title: "Policy of the S3 gateway endpoint", Run: runS3EndpointPolicy}
}

func runS3EndpointPolicy(ctx context.Context, c *Clients, s *Subject) (Result, error) {
	if s.Request.VpcConfig == nil {
		return skipped(notInVPC)
	}
	prevents := accessDenied(s)
	client, err := c.ec2()
	if err != nil {
		return Result{Prevents: prevents}, err
	}
	r, err := s.routing(ctx, client)
	if err != nil {
		return Result{Prevents: prevents}, err
	}
	var f findings
	looked := map[string]bool{}
	for _, subnet := range r.subnets {
		table, _ := r.table(aws.ToString(subnet.SubnetId))
		endpoint, ok := r.gateway(table)
		if id := aws.ToString(endpoint.VpcEndpointId); ok && !looked[id] {
			looked[id] = true
			endpointPolicy(&f, s, endpoint)
		}
	}
	if len(looked) == 0 {
		return skipped("no subnet of the job reaches S3 by a gateway endpoint")
	}
	return f.result(prevents), nil
}

func accessDenied(s *Subject) string {
	for _, p := range s.inputs() {
		return fmt.Sprintf("ClientError: Data download failed:Unable to download object s3://%s/%s (AccessDenied: Access Denied)", p.Bucket, p.Key)
	}
	return "AccessDenied: Access Denied"
}

// access is what the job does with objects.
type access struct {
	use      string
	action   string
	resource string
	prefix   string // Of what it lists.
}

// accesses are all that the job does in S3.
func (s *Subject) accesses() []access {
	var all []access
	add := func(p place, action string) {
		key := p.Key
		if p.Prefix {
			key += "*"
		}
		all = append(all, access{p.String(), action, s.bucketARN(p.Bucket) + "/" + key, ""})
	}
	list := func(p place) {
		if p.Prefix {
			all = append(all, access{p.String(), "s3:ListBucket", s.bucketARN(p.Bucket), p.Key})
		}
	}
	for _, p := range s.inputs() {
		add(p, "s3:GetObject")
		list(p)
	}
	if p, ok := s.output(); ok {
		add(p, "s3:PutObject")
	}
	if p, ok := s.checkpoints(); ok {
		add(p, "s3:GetObject")
		add(p, "s3:PutObject")
		list(p)
	}
	return all
}

func (s *Subject) bucketARN(bucket string) string {
	return "arn:" + region.Partition(s.Region) + ":s3:::" + bucket
}

func endpointPolicy(f *findings, s *Subject, endpoint types.VpcEndpoint) {
	id := aws.ToString(endpoint.VpcEndpointId)
	policy, err := ParsePolicy(aws.ToString(endpoint.PolicyDocument))
	if err != nil {
		f.warn(fmt.Sprintf("%s: %s", id, err), "look at the endpoint's policy by hand", "aws ec2 describe-vpc-endpoints --region "+s.Region+" --vpc-endpoint-ids "+id+" --query 'VpcEndpoints[].PolicyDocument'")
		return
	}
	role := aws.ToString(s.Request.RoleArn)
	var allowed []string
	for _, a := range s.accesses() {
		question := Question{Principal: role, Action: a.action, Resource: a.resource, Context: map[string]string{
			"aws:principalarn": role, "aws:sourcevpc": aws.ToString(endpoint.VpcId), "aws:sourcevpce": id, "aws:securetransport": "true",
		}}
		if account := s.account(); account != "" {
			question.Context["aws:principalaccount"] = account
		}
		if a.prefix != "" {
			question.Context["s3:prefix"] = a.prefix
		}
		verdict, why := policy.Allows(question)
		seen := fmt.Sprintf("%s: %s on %s for %s is %s: %s", id, a.action, a.resource, a.use, verdict, why)
		mend := "allow it in the endpoint's policy, or take out what denies it"
		snippet := fmt.Sprintf(`{"Effect": "Allow", "Principal": "*", "Action": %q, "Resource": %q}`, a.action, a.resource)
		switch verdict {
		case Denied:
			f.fail(seen, mend, snippet)
		case Conditional:
			// A gateway endpoint takes an account as principal for its root user alone.
			f.warn(seen, `see that it holds for the job; a gateway endpoint wants the principal "*", and the role in a condition on aws:PrincipalArn`, snippet)
		case Allowed:
			allowed = append(allowed, a.action+" on "+a.resource)
		}
	}
	if len(allowed) > 0 {
		f.ok("%s allows %s", id, strings.Join(allowed, ", "))
	}
}
