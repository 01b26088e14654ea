package preflight

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/servicequotas"
	quotatypes "github.com/aws/aws-sdk-go-v2/service/servicequotas/types"
)

// instanceQuotaCheck compares the job's instances with the account's quotas. They are per instance type, often 0 at first, and apart for spot and warm pools.
func instanceQuotaCheck() Check {
	return Check{Name: "instance-quota", Title: "Quota of instances", Run: runInstanceQuota}
}

func runInstanceQuota(ctx context.Context, c *Clients, s *Subject) (Result, error) {
	wanted := s.machines()
	if len(wanted) == 0 {
		return skipped("the job names no instance type")
	}
	client, err := c.quotas()
	if err != nil {
		return Result{}, err
	}
	quotas, err := sagemakerQuotas(ctx, client)
	if err != nil {
		return Result{}, err
	}
	use := "training job usage"
	if aws.ToBool(s.Request.EnableManagedSpotTraining) {
		use = "spot training job usage"
	}
	uses := []string{use}
	if aws.ToInt32(s.Request.ResourceConfig.KeepAlivePeriodInSeconds) > 0 {
		uses = append(uses, "training warm pool usage")
	}
	var f findings
	prevents := limitExceeded(wanted[0].Type+" for "+uses[0], 0, wanted[0].Count)
	for _, m := range wanted {
		for _, use := range uses {
			name := m.Type + " for " + use
			quota, known := quotas[name]
			limit := aws.ToFloat64(quota.Value)
			switch {
			case !known:
				f.warn(fmt.Sprintf("Service Quotas lists no %q in %s: SageMaker may not have this instance type there", name, s.Region),
					"see which instance types the region has", fmt.Sprintf("aws service-quotas list-aws-default-service-quotas --region %s --service-code sagemaker --query \"Quotas[?contains(QuotaName, '%s')]\"", s.Region, use))
			case limit < float64(m.Count):
				f.fail(fmt.Sprintf("%q (%s) is %g, the job needs %d", name, aws.ToString(quota.QuotaCode), limit, m.Count),
					"ask AWS for a higher quota, or take another instance type or fewer instances",
					fmt.Sprintf("aws service-quotas request-service-quota-increase --region %s --service-code sagemaker --quota-code %s --desired-value %d", s.Region, aws.ToString(quota.QuotaCode), m.Count))
				prevents = limitExceeded(name, limit, m.Count)
			default:
				f.ok("%q is %g, the job needs %d (what other jobs use of it now isn't told)", name, limit, m.Count)
			}
		}
	}
	return f.result(prevents), nil
}

// sagemakerQuotas are the account's quotas by name.
func sagemakerQuotas(ctx context.Context, client Quotas) (map[string]quotatypes.ServiceQuota, error) {
	all := map[string]quotatypes.ServiceQuota{}
	pages := servicequotas.NewListServiceQuotasPaginator(client, &servicequotas.ListServiceQuotasInput{ServiceCode: aws.String("sagemaker"), MaxResults: aws.Int32(100)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, q := range page.Quotas {
			all[aws.ToString(q.QuotaName)] = q
		}
	}
	return all, nil
}

func limitExceeded(quota string, limit float64, wanted int32) string {
	return fmt.Sprintf("ResourceLimitExceeded: The account-level service limit '%s' is %g Instances, with current utilization of 0 Instances and a request delta of %d Instances. "+
		"Please use AWS Service Quotas to request an increase for this quota. If AWS Service Quotas is not available, contact AWS support to request an increase for this quota.", quota, limit, wanted)
}
