package preflight

// All lists every check.
func All() []Check {
	return []Check{
		bucketRegionCheck(),
		efsMountTargetCheck(),
		efsSecurityCheck(),
		eventConflictCheck(),
		executionRoleCheck(),
		fileSystemPathCheck(),
		fileSystemSupportCheck(),
		imageCheck(),
		instanceInAZCheck(),
		instanceQuotaCheck(),
		kmsKeyCheck(),
		lustreSecurityCheck(),
		lustreSizeCheck(),
		s3EgressCheck(),
		s3EndpointPolicyCheck(),
		s3RouteCheck(),
		trainingRegionCheck(),
		vpcTenancyCheck(),
	}
}
