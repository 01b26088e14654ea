package preflight

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/efs"
	"github.com/aws/aws-sdk-go-v2/service/fsx"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/servicequotas"
)

// NewClients makes the clients for a region of AWS itself.
func NewClients(cfg aws.Config, region string) *Clients {
	cfg = cfg.Copy()
	cfg.Region = region
	return &Clients{
		EC2: ec2.NewFromConfig(cfg), EFS: efs.NewFromConfig(cfg), FSx: fsx.NewFromConfig(cfg), S3: s3.NewFromConfig(cfg), KMS: kms.NewFromConfig(cfg),
		IAM: iam.NewFromConfig(cfg), Quotas: servicequotas.NewFromConfig(cfg), ECR: ecr.NewFromConfig(cfg),
	}
}
