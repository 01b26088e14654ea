package preflight

import "testing"

func TestPolicyAllows(t *testing.T) {
	const role = "arn:aws:iam::123456789012:role/train"
	get := func(resource string) Question {
		return Question{Principal: role, Action: "s3:GetObject", Resource: resource}
	}
	const object, folder = "arn:aws:s3:::data/train/a", "arn:aws:s3:::data/train/*"
	tests := []struct {
		name, policy string
		question     Question
		want         Verdict
	}{
		{"the default of an endpoint", `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]}`, get(object), Allowed},
		{"one statement, not a list", `{"Statement":{"Effect":"Allow","Principal":"*","Action":"s3:Get*","Resource":"arn:aws:s3:::data/*"}}`, get(object), Allowed},
		{"actions know no case", `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"S3:getobject","Resource":"*"}]}`, get(object), Allowed},
		{"resources know case", `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"arn:aws:s3:::Data/*"}]}`, get(object), Denied},
		{"a question mark is one character", `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"arn:aws:s3:::data/train/?"}]}`, get(object), Allowed},
		{"no statements", `{"Statement":[]}`, get(object), Denied},
		{"another action", `{"Statement":[{"Effect":"Allow","Principal":"*","Action":["s3:PutObject","s3:ListBucket"],"Resource":"*"}]}`, get(object), Denied},
		{"NotAction of another", `{"Statement":[{"Effect":"Allow","Principal":"*","NotAction":"s3:Put*","Resource":"*"}]}`, get(object), Allowed},
		{"NotAction of it", `{"Statement":[{"Effect":"Allow","Principal":"*","NotAction":"s3:Get*","Resource":"*"}]}`, get(object), Denied},
		{"NotResource of another", `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","NotResource":"arn:aws:s3:::secret/*"}]}`, get(folder), Allowed},
		{"NotResource of a part", `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","NotResource":"arn:aws:s3:::data/train/x*"}]}`, get(folder), Conditional},
		{"an explicit deny wins, wherever it is", `{"Statement":[{"Effect":"Deny","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::data/*"},{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]}`, get(object), Denied},
		{"a deny of another bucket", `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"},{"Effect":"Deny","Principal":"*","Action":"*","Resource":"arn:aws:s3:::secret/*"}]}`, get(folder), Allowed},
		{"a deny of a part of the folder", `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"},{"Effect":"Deny","Principal":"*","Action":"*","Resource":"arn:aws:s3:::data/*/x"}]}`, get(folder), Conditional},
		{"a deny under a condition", `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"},{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":false}}}]}`, get(object), Conditional},
		{"a deny under a condition, and no allow", `{"Statement":[{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"false"}}}]}`, get(object), Denied},
		{"all of the folder", `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"arn:aws:s3:::data/*"}]}`, get(folder), Allowed},
		{"a part of the folder", `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"arn:aws:s3:::data/train/a*"}]}`, get(folder), Conditional},
		{"one object is not the folder", `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"arn:aws:s3:::data/train/?"}]}`, get(folder), Conditional},
		{"another folder", `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"arn:aws:s3:::data/other/*"}]}`, get(folder), Denied},
		{"a variable", `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"arn:aws:s3:::data/${aws:PrincipalTag/team}/*"}]}`, get(object), Conditional},
		{"the role itself", `{"Statement":[{"Effect":"Allow","Principal":{"AWS":"` + role + `"},"Action":"*","Resource":"*"}]}`, get(object), Allowed},
		{"another role", `{"Statement":[{"Effect":"Allow","Principal":{"AWS":["arn:aws:iam::123456789012:role/other"]},"Action":"*","Resource":"*"}]}`, get(object), Denied},
		{"the role's account", `{"Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:root"},"Action":"*","Resource":"*"}]}`, get(object), Conditional},
		{"the role's account by number", `{"Statement":[{"Effect":"Allow","Principal":{"AWS":"123456789012"},"Action":"*","Resource":"*"}]}`, get(object), Conditional},
		{"another account", `{"Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::210987654321:root"},"Action":"*","Resource":"*"}]}`, get(object), Denied},
		{"everyone but another role is denied", `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"},{"Effect":"Deny","NotPrincipal":{"AWS":"arn:aws:iam::123456789012:role/other"},"Action":"*","Resource":"*"}]}`, get(object), Denied},
		{"a service", `{"Statement":[{"Effect":"Allow","Principal":{"Service":"sagemaker.amazonaws.com"},"Action":"sts:AssumeRole"}]}`, Question{Principal: "sagemaker.amazonaws.com", Action: "sts:AssumeRole"}, Allowed},
		{"another service", `{"Statement":[{"Effect":"Allow","Principal":{"Service":["ec2.amazonaws.com","lambda.amazonaws.com"]},"Action":"sts:AssumeRole"}]}`, Question{Principal: "sagemaker.amazonaws.com", Action: "sts:AssumeRole"}, Denied},
		{"a document as IAM gives it", `%7B%22Statement%22%3A%5B%7B%22Effect%22%3A%22Allow%22%2C%22Principal%22%3A%22%2A%22%2C%22Action%22%3A%22%2A%22%2C%22Resource%22%3A%22%2A%22%7D%5D%7D`, get(object), Allowed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p, err := ParsePolicy(test.policy)
			if err != nil {
				t.Fatal(err)
			}
			if got, why := p.Allows(test.question); got != test.want {
				t.Errorf("%v (%s), want %v", got, why, test.want)
			}
		})
	}
}

func TestPolicyConditions(t *testing.T) {
	question := Question{Principal: "sagemaker.amazonaws.com", Action: "sts:AssumeRole", Context: map[string]string{
		"aws:sourceaccount": "123456789012", "aws:sourcearn": "arn:aws:sagemaker:us-east-1:123456789012:training-job/x",
	}}
	tests := []struct {
		condition string
		want      Verdict
	}{
		{`{"StringEquals":{"aws:SourceAccount":"123456789012"}}`, Allowed},
		{`{"StringEquals":{"aws:SourceAccount":["1","123456789012"]}}`, Allowed},
		{`{"StringEquals":{"AWS:sourceaccount":123456789012}}`, Allowed},
		{`{"StringEquals":{"aws:SourceAccount":"210987654321"}}`, Denied},
		{`{"StringNotEquals":{"aws:SourceAccount":"210987654321"}}`, Allowed},
		{`{"StringEqualsIfExists":{"aws:SourceAccount":"123456789012"}}`, Allowed},
		{`{"ArnLike":{"aws:SourceArn":"arn:aws:sagemaker:*:123456789012:*"}}`, Allowed},
		{`{"ArnNotLike":{"aws:SourceArn":"arn:aws:sagemaker:*:123456789012:*"}}`, Denied},
		{`{"StringLike":{"aws:SourceArn":"arn:aws:sagemaker:eu-*"}}`, Denied},
		{`{"StringEquals":{"aws:SourceAccount":"123456789012","aws:SourceVpc":"vpc-1"}}`, Conditional},
		{`{"StringEquals":{"aws:SourceAccount":"210987654321","aws:SourceVpc":"vpc-1"}}`, Denied},
		{`{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}`, Conditional},
		{`{"Null":{"aws:SourceAccount":"false"}}`, Conditional},
	}
	for _, test := range tests {
		t.Run(test.condition, func(t *testing.T) {
			p, err := ParsePolicy(`{"Statement":[{"Effect":"Allow","Principal":{"Service":"sagemaker.amazonaws.com"},"Action":"sts:AssumeRole","Condition":` + test.condition + `}]}`)
			if err != nil {
				t.Fatal(err)
			}
			if got, why := p.Allows(question); got != test.want {
				t.Errorf("%v (%s), want %v", got, why, test.want)
			}
		})
	}
}

func TestParsePolicyRefuses(t *testing.T) {
	for _, document := range []string{"", "not JSON", "%zz", `{"Statement": 7}`, `{"Statement":[{"Principal": 7}]}`} {
		if p, err := ParsePolicy(document); err == nil {
			t.Errorf("ParsePolicy(%q) = %+v, want an error", document, p)
		}
	}
}
