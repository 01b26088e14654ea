package preflight

// All lists every check.
func All() []Check {
	return []Check{}
}
