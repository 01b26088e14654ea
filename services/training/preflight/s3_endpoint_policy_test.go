package preflight

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
)

// withPolicy gives the gateway endpoint a policy, in which $NAME is an id of the world.
func withPolicy(policy string) func(testing.TB, *networkWorld) {
	return func(t testing.TB, w *networkWorld) {
		policy := w.names().Replace(policy)
		mustDo(w.EC2.ModifyVpcEndpoint(t.Context(), &ec2.ModifyVpcEndpointInput{VpcEndpointId: &w.S3Endpoint, PolicyDocument: &policy}))(t)
	}
}

func TestS3EndpointPolicy(t *testing.T) {
	const (
		list   = `{"Effect":"Allow","Principal":"*","Action":"s3:ListBucket","Resource":"arn:aws:s3:::data"}`
		narrow = `{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":["arn:aws:s3:::data/datasets/*","arn:aws:s3:::data/checkpoints/*"]},` +
			`{"Effect":"Allow","Principal":"*","Action":"s3:PutObject","Resource":["arn:aws:s3:::data/models/*","arn:aws:s3:::data/checkpoints/*"]},` + list
	)
	testNetwork(t, s3EndpointPolicyCheck(), []networkCase{
		{
			name: "AWS's own", want: Pass,
			seen: []string{"$ENDPOINT allows", "s3:GetObject on arn:aws:s3:::data/datasets/digits/*", "s3:PutObject on arn:aws:s3:::data/models/*", "s3:ListBucket on arn:aws:s3:::data"},
		},
		{name: "AWS's own in China", region: china, want: Pass, seen: []string{"s3:GetObject on arn:aws-cn:s3:::data/datasets/digits/*"}},
		{name: "just what is needed", breaks: withPolicy(`{"Statement":[` + narrow + `]}`), want: Pass},
		{
			name: "the inputs aren't allowed", breaks: withPolicy(`{"Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:PutObject","Resource":"*"},` + list + `]}`), want: Fail,
			seen:     []string{`$ENDPOINT: s3:GetObject on arn:aws:s3:::data/datasets/digits/* for channel "train"`, "is denied: no statement allows it"},
			snippet:  []string{`{"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::data/datasets/digits/*"}`},
			prevents: "ClientError: Data download failed:Unable to download object s3://data/datasets/digits/ (AccessDenied: Access Denied)",
		},
		{
			name: "ARNs of another partition", region: china, breaks: withPolicy(`{"Statement":[` + narrow + `]}`), want: Fail,
			snippet: []string{`"Resource": "arn:aws-cn:s3:::data/models/*"`},
		},
		{
			name: "the model can't be written", breaks: withPolicy(`{"Statement":[{"Effect":"Allow","Principal":"*","Action":["s3:Get*","s3:List*"],"Resource":"*"}]}`), want: Fail,
			seen: []string{"s3:PutObject on arn:aws:s3:::data/models/*"},
		},
		{
			name: "an explicit denial", want: Fail, seen: []string{"statement closed denies it"},
			breaks: withPolicy(`{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"},{"Sid":"closed","Effect":"Deny","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::data/*"}]}`),
		},
		{
			name: "a condition that can't be judged", want: Warn, seen: []string{"depending on the condition StringEquals aws:ResourceAccount"},
			breaks: withPolicy(`{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceAccount":"123456789012"}}}]}`),
		},
		{
			name: "a condition that holds", want: Pass,
			breaks: withPolicy(`{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:SourceVpc":"$VPC"},"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:role/train"}}}]}`),
		},
		{
			name: "a condition that doesn't hold", want: Fail,
			breaks: withPolicy(`{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:SourceVpc":"vpc-other"}}}]}`),
		},
		{
			name: "an account as principal", want: Warn, seen: []string{"is conditional"},
			breaks: func(t testing.TB, w *networkWorld) {
				withPolicy(`{"Statement":[{"Effect":"Allow","Principal":{"AWS":"`+w.ID+`"},"Action":"*","Resource":"*"}]}`)(t, w)
			},
		},
		{name: "no JSON", breaks: withPolicy("{"), want: Warn, seen: []string{"can't be read"}},
		{
			name: "a manifest is one object", want: Pass,
			breaks: func(t testing.TB, w *networkWorld) {
				source := w.job.InputDataConfig[0].DataSource.S3DataSource
				source.S3DataType, source.S3Uri = types.S3DataTypeManifestFile, aws.String("s3://data/datasets/digits/manifest")
				withPolicy(`{"Statement":[`+narrow+`]}`)(t, w)
			},
			seen: []string{"s3:GetObject on arn:aws:s3:::data/datasets/digits/manifest,"},
		},
		{name: "no gateway endpoint", breaks: func(t testing.TB, w *networkWorld) { w.RemoveS3Endpoint(t) }, want: Skipped},
	})
}
