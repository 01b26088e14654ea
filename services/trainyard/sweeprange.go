package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	trainingv1 "github.com/trainyard/trainyard/gen/trainyard/training/v1"
)

// parseRange reads a range of numbers, such as 1e-4..1e-1:log:steps=4. Its errors begin with the text.
func parseRange(text string) (*trainingv1.SweepRange, error) {
	bounds, options, _ := strings.Cut(text, ":")
	least, greatest, ok := strings.Cut(bounds, "..")
	minimum, good := finite(least)
	maximum, alsoGood := finite(greatest)
	if !ok || !good || !alsoGood {
		return nil, fmt.Errorf("%s: this is no range: want LEAST..GREATEST with :log and :steps=N if wanted, such as 1e-4..1e-1:log:steps=4", text)
	}
	if minimum >= maximum {
		return nil, fmt.Errorf("%s: the least value must be less than the greatest", text)
	}
	r := &trainingv1.SweepRange{Minimum: minimum, Maximum: maximum}
	if options == "" {
		return r, nil
	}
	for option := range strings.SplitSeq(options, ":") {
		name, value, _ := strings.Cut(option, "=")
		steps, err := strconv.ParseInt(value, 10, 32)
		switch {
		case option == "log" && minimum > 0:
			r.Logarithmic = true
		case option == "log":
			return nil, fmt.Errorf("%s: a range that is spread by powers must begin above 0", text)
		case name == "steps" && err == nil && steps >= 2 && steps <= 100:
			r.Steps = int32(steps)
		default:
			return nil, fmt.Errorf("%s: %q is unknown: want log, or steps=N with N from 2 to 100", text, option)
		}
	}
	return r, nil
}

func finite(text string) (float64, bool) {
	value, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	return value, err == nil && !math.IsInf(value, 0) && !math.IsNaN(value)
}
