package preflight

// All lists every check.
func All() []Check {
	return []Check{
		bucketRegionCheck(),
		eventConflictCheck(),
		executionRoleCheck(),
		imageCheck(),
		instanceInAZCheck(),
		instanceQuotaCheck(),
		kmsKeyCheck(),
		lustreSizeCheck(),
		trainingRegionCheck(),
	}
}
