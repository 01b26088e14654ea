// Package price is what things cost and how fast they are, as the installation configures it: instances, storage, throughputs. The built-in values
// are starting points; an operator's file overrides them.
package price
