package sweep

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	"github.com/trainyard/trainyard/services/training/recipe"
)

const (
	// maxTrials is the most that a sweep may have.
	maxTrials = 1000
	// randomTrials is how many are drawn where the request doesn't say.
	randomTrials = 20
	// gridSteps is how many values of a range stand on a grid where the request doesn't say.
	gridSteps = 3
	// maxText is how long a hyperparameter of SageMaker's may be, in characters.
	maxText = 2500
	// drawsPerTrial bounds how often a combination that was drawn before is drawn again.
	drawsPerTrial = 200
)

// ParameterError tells that a parameter can't take the values of its range.
type ParameterError struct {
	Name   string // Cut to 80 characters.
	Reason errorsv1.ErrorReason
	// Limit says what the values must be; empty where the name is at fault.
	Limit   string
	Message string
}

func (e *ParameterError) Error() string { return e.Message }

// FieldError tells that another field of a sweep can't be.
type FieldError struct {
	Field   string
	Message string
}

func (e *FieldError) Error() string { return e.Message }

// axis is one parameter that differs between trials.
type axis struct {
	name string
	// values are what it takes, in order; nil for a range that is drawn from.
	values []any
	draw   func(*rand.Rand) float64
	// count is how many distinct values there are; infinite for a range of fractions.
	count float64
}

// planner plans the trials of one sweep. Without a recipe, for an image of the user's own, values are any text, number or
// boolean, and ranges are of fractions.
type planner struct {
	recipe *recipe.Recipe
	// common are the parameters that the trials share.
	common   recipe.Values
	ranges   map[string]Range
	strategy Strategy
	// maxTrials is 0 where the request doesn't say.
	maxTrials int64
	seed      int64
}

// plan gives the parameters of each trial in the order they are to be started: the same for the same sweep. It fails with a
// ParameterError, a FieldError or, where the common parameters are at fault, one of package recipe's.
func (p *planner) plan() ([]recipe.Values, error) {
	if p.recipe != nil {
		if _, err := p.recipe.Resolve(p.common); err != nil {
			return nil, err
		}
	}
	axes := make([]axis, 0, len(p.ranges))
	combinations := 1.0
	for _, name := range slices.Sorted(maps.Keys(p.ranges)) {
		if _, both := p.common[name]; both {
			return nil, invalidRange(name, "in the sweep's parameters or in training_job's, not in both",
				"is given for all trials in training_job and for each in the sweep's parameters: remove it from one of the two")
		}
		a, err := p.axis(name, p.ranges[name])
		if err != nil {
			return nil, err
		}
		axes = append(axes, a)
		combinations *= a.count
	}
	var trials []recipe.Values
	switch limit := p.limit(); {
	case p.strategy == Random:
		trials = p.random(axes, int(limit), combinations)
	case combinations > float64(limit):
		return nil, &FieldError{Field: "sweep.max_trials", Message: fmt.Sprintf(
			"The grid has %.0f combinations, but the sweep may have %d trials: give fewer values or steps, raise max_trials (up to %d), or draw trials by chance with strategy RANDOM.",
			combinations, limit, maxTrials)}
	default:
		trials = grid(axes)
	}
	if p.recipe != nil {
		for i, trial := range trials {
			if _, err := p.recipe.Resolve(merge(p.common, trial)); err != nil {
				return nil, fmt.Errorf("trial %d: %w", i+1, err)
			}
		}
	}
	return trials, nil
}

// limit is how many trials there may be.
func (p *planner) limit() int64 {
	switch {
	case p.maxTrials > 0:
		return p.maxTrials
	case p.strategy == Random:
		return randomTrials
	}
	return maxTrials
}

func merge(common, trial recipe.Values) recipe.Values {
	all := make(recipe.Values, len(common)+len(trial))
	maps.Copy(all, common)
	maps.Copy(all, trial)
	return all
}

func (p *planner) axis(name string, r Range) (axis, error) {
	var parameter *recipe.Parameter
	if p.recipe != nil {
		i := slices.IndexFunc(p.recipe.Parameters, func(known recipe.Parameter) bool { return known.Name == name })
		if i < 0 {
			_, err := p.recipe.Resolve(recipe.Values{name: nil})
			return axis{}, &ParameterError{Name: shorten(name), Reason: errorsv1.ErrorReason_PARAMETER_UNKNOWN, Message: err.Error()}
		}
		parameter = &p.recipe.Parameters[i]
	}
	if len(r.Values) > 0 {
		return p.list(name, r)
	}
	return p.span(name, r, parameter)
}

// list is the axis of a list of values.
func (p *planner) list(name string, r Range) (axis, error) {
	if r.Minimum != 0 || r.Maximum != 0 || r.Steps != 0 || r.Logarithmic {
		return axis{}, invalidRange(name, "a list of values, or a range", "has both values and a range: keep one of the two")
	}
	seen := map[string]bool{}
	for _, value := range r.Values {
		if err := p.check(name, value); err != nil {
			return axis{}, err
		}
		text := fmt.Sprint(value)
		if seen[text] {
			return axis{}, invalidRange(name, "values that differ", fmt.Sprintf("has the value %s twice: remove one", shorten(text)))
		}
		seen[text] = true
	}
	return axis{name: name, values: r.Values, count: float64(len(r.Values))}, nil
}

// check tells whether a parameter may have a value.
func (p *planner) check(name string, value any) error {
	if p.recipe == nil {
		limit := fmt.Sprintf("texts of one line and up to %d characters, numbers, true or false", maxText)
		switch value.(type) {
		case string, float64, bool:
			if text := fmt.Sprint(value); utf8.RuneCountInString(text) <= maxText && !strings.ContainsAny(text, "\n\r\u0085\u2028\u2029") {
				return nil
			}
		}
		return invalidRange(name, limit, fmt.Sprintf("can't be %s: hyperparameters of an image are %s", shorten(encode(value)), limit))
	}
	_, err := p.recipe.Resolve(recipe.Values{name: value})
	var invalid *recipe.InvalidParameterError
	if errors.As(err, &invalid) {
		return invalidRange(name, invalid.Limit, fmt.Sprintf("can't be %s: each value must be %s", invalid.Value, invalid.Limit))
	}
	return err
}

// span is the axis of a range of numbers.
func (p *planner) span(name string, r Range, parameter *recipe.Parameter) (axis, error) {
	whole, limit := false, "a range of numbers, its minimum below its maximum"
	if parameter != nil {
		limit = parameter.Limit()
		if parameter.Type != recipe.Integer && parameter.Type != recipe.Float {
			return axis{}, invalidRange(name, limit, fmt.Sprintf("is no number: give values, each of them %s", limit))
		}
		whole = parameter.Type == recipe.Integer
	}
	shown := fmt.Sprintf("%s to %s", number(r.Minimum), number(r.Maximum))
	switch {
	case r.Minimum == 0 && r.Maximum == 0:
		return axis{}, invalidRange(name, limit, "has no values: give values, or minimum and maximum")
	case !finite(r.Minimum) || !finite(r.Maximum) || r.Minimum >= r.Maximum:
		return axis{}, invalidRange(name, limit, fmt.Sprintf("goes from %s: the minimum must be below the maximum; a single value belongs into training_job", shown))
	case parameter != nil && (r.Minimum < parameter.Min || r.Maximum > parameter.Max):
		return axis{}, invalidRange(name, limit, fmt.Sprintf("goes from %s, but it must be %s: narrow the range", shown, limit))
	case r.Logarithmic && r.Minimum <= 0:
		return axis{}, invalidRange(name, "a logarithmic range above 0", fmt.Sprintf(
			"goes from %s by powers, which begin above 0: raise the minimum, or leave logarithmic out", shown))
	case r.Steps < 0 || r.Steps == 1:
		return axis{}, invalidRange(name, "2 steps or more", "has 1 step: give 2 or more, or a single value in training_job")
	}
	if whole {
		r.Minimum, r.Maximum = math.Ceil(r.Minimum), math.Floor(r.Maximum)
		if r.Minimum > r.Maximum {
			return axis{}, invalidRange(name, limit, fmt.Sprintf("goes from %s, where there is no whole number: widen the range", shown))
		}
	}
	if p.strategy == Random {
		a := axis{name: name, draw: r.draw(whole), count: math.Inf(1)}
		if whole {
			a.count = r.Maximum - r.Minimum + 1
		}
		return a, nil
	}
	points := r.points(whole)
	return axis{name: name, values: points, count: float64(len(points))}, nil
}

// points are the values of a range that stand on a grid, in order; whole numbers that fall together are one.
func (r Range) points(whole bool) []any {
	steps := int(r.Steps)
	if steps == 0 {
		steps = gridSteps
	}
	var points []any
	for i := range steps {
		value := r.round(r.at(float64(i)/float64(steps-1)), whole)
		if len(points) == 0 || points[len(points)-1] != any(value) {
			points = append(points, value)
		}
	}
	return points
}

// draw gives a drawer of the range's values. Each whole number has its even share of the range: evenly or by powers.
func (r Range) draw(whole bool) func(*rand.Rand) float64 {
	drawn := r
	if whole {
		drawn.Minimum, drawn.Maximum = r.Minimum-0.5, r.Maximum+0.5
	}
	return func(random *rand.Rand) float64 { return r.round(drawn.at(random.Float64()), whole) }
}

// at gives the value at a share of the way from minimum to maximum.
func (r Range) at(share float64) float64 {
	if r.Logarithmic {
		low, high := math.Log(r.Minimum), math.Log(r.Maximum)
		return math.Exp(low + (high-low)*share)
	}
	return r.Minimum*(1-share) + r.Maximum*share // Not by the difference, which may overflow.
}

// round gives the whole number, or the fraction of 12 digits, that is nearest and in the range: what comes after is noise of
// the arithmetic, which differs between processors.
func (r Range) round(value float64, whole bool) float64 {
	if whole {
		value = math.Round(value)
	} else if short, err := strconv.ParseFloat(strconv.FormatFloat(value, 'g', 12, 64), 64); err == nil {
		value = short
	}
	return min(max(value, r.Minimum), r.Maximum)
}

// grid gives every combination; the last axis changes fastest.
func grid(axes []axis) []recipe.Values {
	trials := []recipe.Values{{}}
	for _, a := range axes {
		longer := make([]recipe.Values, 0, len(trials)*len(a.values))
		for _, trial := range trials {
			for _, value := range a.values {
				longer = append(longer, merge(trial, recipe.Values{a.name: value}))
			}
		}
		trials = longer
	}
	return trials
}

// random draws distinct combinations: as many as asked, or all if there aren't more.
func (p *planner) random(axes []axis, wanted int, combinations float64) []recipe.Values {
	random := rand.New(rand.NewPCG(uint64(p.seed), 0)) //nolint:gosec // Must be the same for the same seed.
	if combinations <= float64(wanted) {
		for i := range axes {
			axes[i].enumerate(p.ranges[axes[i].name])
		}
		all := grid(axes)
		random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		return all
	}
	var trials []recipe.Values
	seen := map[string]bool{}
	for range wanted * drawsPerTrial {
		trial := make(recipe.Values, len(axes))
		for _, a := range axes {
			if a.draw != nil {
				trial[a.name] = a.draw(random)
			} else {
				trial[a.name] = a.values[random.IntN(len(a.values))]
			}
		}
		if key := encode(trial); !seen[key] {
			seen[key] = true
			trials = append(trials, trial)
		}
		if len(trials) == wanted {
			break
		}
	}
	return trials
}

// enumerate lists the values of a range of few whole numbers.
func (a *axis) enumerate(r Range) {
	if a.draw == nil {
		return
	}
	for value := math.Ceil(r.Minimum); value <= r.Maximum; value++ {
		a.values = append(a.values, value)
	}
}

func invalidRange(name, limit, message string) error {
	name = shorten(name)
	return &ParameterError{
		Name: name, Reason: errorsv1.ErrorReason_PARAMETER_INVALID, Limit: limit, Message: fmt.Sprintf("Parameter %s %s.", name, message),
	}
}

// encode gives a value as JSON; its keys are sorted.
func encode(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprint(value) // NaN and infinities aren't JSON.
	}
	return string(text)
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

func finite(v float64) bool { return !math.IsInf(v, 0) && !math.IsNaN(v) }

func shorten(text string) string {
	if runes := []rune(strings.ToValidUTF8(text, "�")); len(runes) > 80 {
		return string(runes[:79]) + "…"
	}
	return text
}
