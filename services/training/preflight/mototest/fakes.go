package mototest

import (
	"context"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/fsx"
	fsxtypes "github.com/aws/aws-sdk-go-v2/service/fsx/types"
	"github.com/aws/aws-sdk-go-v2/service/servicequotas"
	quotatypes "github.com/aws/aws-sdk-go-v2/service/servicequotas/types"
	"github.com/aws/smithy-go"
)

// FSx stands for moto's, which has neither states nor mount names, interfaces and associations.
type FSx struct {
	Systems      []fsxtypes.FileSystem
	Associations []fsxtypes.DataRepositoryAssociation
}

// DescribeFileSystems gives those that are asked for by id, or else all, each on a page of its own.
func (f FSx) DescribeFileSystems(_ context.Context, in *fsx.DescribeFileSystemsInput, _ ...func(*fsx.Options)) (*fsx.DescribeFileSystemsOutput, error) {
	if len(in.FileSystemIds) == 0 {
		items, next := Page(f.Systems, in.NextToken)
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
			return nil, Refused("FSx", "DescribeFileSystems", "FileSystemNotFound", "File system '"+id+"' does not exist.")
		}
	}
	return out, nil
}

// DescribeDataRepositoryAssociations gives all, each on a page of its own.
func (f FSx) DescribeDataRepositoryAssociations(_ context.Context, in *fsx.DescribeDataRepositoryAssociationsInput, _ ...func(*fsx.Options)) (*fsx.DescribeDataRepositoryAssociationsOutput, error) {
	items, next := Page(f.Associations, in.NextToken)
	return &fsx.DescribeDataRepositoryAssociationsOutput{Associations: items, NextToken: next}, nil
}

// Quotas are an account's quotas of SageMaker, of which moto has none.
type Quotas []quotatypes.ServiceQuota

// Quota is one of them by its name, such as `ml.m5.xlarge for training job usage`.
func Quota(name string, value float64) quotatypes.ServiceQuota {
	return quotatypes.ServiceQuota{ServiceCode: aws.String("sagemaker"), QuotaName: &name, QuotaCode: aws.String("L-1234ABCD"), Value: &value}
}

// ListServiceQuotas gives all, each on a page of its own.
func (q Quotas) ListServiceQuotas(_ context.Context, in *servicequotas.ListServiceQuotasInput, _ ...func(*servicequotas.Options)) (*servicequotas.ListServiceQuotasOutput, error) {
	if aws.ToString(in.ServiceCode) != "sagemaker" {
		return nil, Refused("Service Quotas", "ListServiceQuotas", "NoSuchResourceException", "no such service")
	}
	items, next := Page(q, in.NextToken)
	return &servicequotas.ListServiceQuotasOutput{Quotas: items, NextToken: next}, nil
}

// Page gives the item that a token stands for, and the token of the next. A page has one item, so that what reads the first page alone fails its tests.
func Page[T any](all []T, token *string) (items []T, next *string) {
	at, _ := strconv.Atoi(aws.ToString(token))
	if at >= len(all) {
		return nil, nil
	}
	if at+1 < len(all) {
		next = aws.String(strconv.Itoa(at + 1))
	}
	return all[at : at+1], next
}

// Refused is an error as the SDK gives it.
func Refused(service, operation, code, message string) error {
	return &smithy.OperationError{ServiceID: service, OperationName: operation, Err: &smithy.GenericAPIError{Code: code, Message: message}}
}
