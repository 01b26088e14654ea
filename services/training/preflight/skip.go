package preflight

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/trainyard/trainyard/services/training/region"
)

// NoClientError tells that the installation has no client for a service of AWS.
type NoClientError struct{ Service string }

func (e *NoClientError) Error() string { return "this installation has no access to " + e.Service }

// client gives a client, or a *NoClientError if it isn't there.
func client[C comparable](c C, service string) (C, error) {
	var none C
	if c == none {
		return none, &NoClientError{service}
	}
	return c, nil
}

func (c *Clients) ec2() (EC2, error)       { return client(c.EC2, "EC2") }
func (c *Clients) efs() (EFS, error)       { return client(c.EFS, "EFS") }
func (c *Clients) fsx() (FSx, error)       { return client(c.FSx, "FSx") }
func (c *Clients) s3() (S3, error)         { return client(c.S3, "S3") }
func (c *Clients) kms() (KMS, error)       { return client(c.KMS, "KMS") }
func (c *Clients) iam() (IAM, error)       { return client(c.IAM, "IAM") }
func (c *Clients) quotas() (Quotas, error) { return client(c.Quotas, "Service Quotas") }
func (c *Clients) ecr() (ECR, error)       { return client(c.ECR, "ECR") }

var (
	denials = map[string]bool{
		"AccessDenied": true, "AccessDeniedException": true, "UnauthorizedOperation": true, "UnauthorizedAccess": true,
		"NotAuthorized": true, "AuthorizationError": true, "Forbidden": true, // HEAD answers have no body: the SDK names them by status.
	}
	// deniedAction and deniedResource find in AWS's words what was denied: it knows better than the operation's name.
	deniedAction   = regexp.MustCompile(`not authorized to perform:? ([a-z0-9-]+:[A-Za-z0-9]+)`)
	deniedResource = regexp.MustCompile(`on resource: "?(arn:[^\s"]+)`)
	servicePrefix  = map[string]string{"EFS": "elasticfilesystem", "Service Quotas": "servicequotas"}
	// otherAction are the operations that need an action of another name.
	otherAction = map[string]string{
		"s3:HeadBucket":                         "s3:ListBucket",
		"s3:GetBucketNotificationConfiguration": "s3:GetBucketNotification",
	}
)

// skip says why a check could not look: what is missing and, for a permission, the statement that gives it.
func skip(err error, inRegion string) Result {
	var noClient *NoClientError
	if errors.As(err, &noClient) {
		return Result{Seen: noClient.Error()}
	}
	action := iamAction(err)
	var api smithy.APIError
	if errors.As(err, &api) {
		if denials[api.ErrorCode()] {
			return denied(action, api.ErrorMessage(), inRegion)
		}
		if _, throttled := retry.DefaultThrottleErrorCodes[api.ErrorCode()]; throttled {
			return Result{
				Seen: fmt.Sprintf("AWS throttled %s, again and again", action),
				Mend: "run preflight again in a minute",
			}
		}
		return Result{Seen: fmt.Sprintf("could not ask: %s: %s: %s", action, api.ErrorCode(), api.ErrorMessage())}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return Result{Seen: fmt.Sprintf("%s did not answer in time", action)}
	}
	return Result{Seen: "could not ask: " + err.Error()}
}

func denied(action, message, inRegion string) Result {
	if m := deniedAction.FindStringSubmatch(message); m != nil {
		action = m[1]
	}
	resource := "*"
	if m := deniedResource.FindStringSubmatch(message); m != nil {
		resource = strings.TrimRight(m[1], ".,")
	} else if service, _, _ := strings.Cut(action, ":"); service == "s3" || service == "iam" || service == "kms" {
		resource = anyOf(service, inRegion)
	}
	return Result{
		Seen:    "the permission " + action + " is missing",
		Mend:    "let this installation's role call " + action,
		Snippet: fmt.Sprintf(`{"Effect": "Allow", "Action": %q, "Resource": %q}`, action, resource),
	}
}

// anyOf is the narrowest ARN of a service that covers what preflight reads of it.
func anyOf(service, inRegion string) string {
	partition := region.Partition(inRegion)
	switch service {
	case "s3":
		return "arn:" + partition + ":s3:::*"
	case "iam":
		return "arn:" + partition + ":iam::*:role/*"
	default:
		return "arn:" + partition + ":" + service + ":" + inRegion + ":*:*"
	}
}

// iamAction is the IAM action that a failed call needed, such as ec2:DescribeRouteTables, or "AWS" if the error doesn't name its call.
func iamAction(err error) string {
	var op *smithy.OperationError
	if !errors.As(err, &op) {
		return "AWS"
	}
	service, ok := servicePrefix[op.Service()]
	if !ok {
		service = strings.ToLower(strings.ReplaceAll(op.Service(), " ", ""))
	}
	action := service + ":" + op.Operation()
	if other, ok := otherAction[action]; ok {
		return other
	}
	return action
}

// errorCode is AWS's code of an error, or "" if AWS gave none.
func errorCode(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// responseHeader is a header of the answer that an error came with, or "".
func responseHeader(err error, name string) string {
	var re *smithyhttp.ResponseError
	if errors.As(err, &re) && re.Response != nil {
		return re.Response.Header.Get(name)
	}
	return ""
}
