package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	trainingv1 "github.com/trainyard/trainyard/gen/trainyard/training/v1"
)

// sweepRange is a flag's range of numbers, such as 1e-4..1e-1:log:steps=4.
type sweepRange struct {
	minimum, maximum float64
	steps            int32
	logarithmic      bool
}

// UnmarshalText is called by kong.
func (r *sweepRange) UnmarshalText(text []byte) error {
	bounds, options, _ := strings.Cut(string(text), ":")
	least, greatest, ok := strings.Cut(bounds, "..")
	read := func(number string) float64 {
		value, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if ok = ok && err == nil && !math.IsInf(value, 0) && !math.IsNaN(value); !ok {
			return 0
		}
		return value
	}
	*r = sweepRange{minimum: read(least), maximum: read(greatest)}
	if !ok {
		return fmt.Errorf("%q is no range: want LEAST..GREATEST with :log and :steps=N if wanted, such as 1e-4..1e-1:log:steps=4", text)
	}
	if r.minimum >= r.maximum {
		return fmt.Errorf("%q: the least value must be less than the greatest", text)
	}
	if options == "" {
		return nil
	}
	for option := range strings.SplitSeq(options, ":") {
		name, value, _ := strings.Cut(option, "=")
		steps, err := strconv.ParseInt(value, 10, 32)
		switch {
		case option == "log" && r.minimum > 0:
			r.logarithmic = true
		case option == "log":
			return fmt.Errorf("%q: a range that is spread by powers must begin above 0", text)
		case name == "steps" && err == nil && steps >= 2 && steps <= 100:
			r.steps = int32(steps)
		default:
			return fmt.Errorf("%q: %q is unknown, want log or steps=N with N from 2 to 100", text, option)
		}
	}
	return nil
}

func (r sweepRange) proto() *trainingv1.SweepRange {
	return &trainingv1.SweepRange{Minimum: r.minimum, Maximum: r.maximum, Steps: r.steps, Logarithmic: r.logarithmic}
}
