package sweep

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	"github.com/trainyard/trainyard/services/training/recipe"
)

func images() *recipe.Recipe { return recipe.All().Find("image-classification") }

func TestPlan(t *testing.T) {
	for name, test := range map[string]struct {
		ranges map[string]Range
		want   string // As JSON.
	}{
		"of two lists every combination, the last name changing fastest": {
			map[string]Range{"epochs": {Values: []any{1.0, 2.0}}, "augment": {Values: []any{true, false}}, "channels": {Values: []any{"rgb"}}},
			`[{"augment":true,"channels":"rgb","epochs":1},{"augment":true,"channels":"rgb","epochs":2},` +
				`{"augment":false,"channels":"rgb","epochs":1},{"augment":false,"channels":"rgb","epochs":2}]`,
		},
		"of a range three values": {
			map[string]Range{"mix": {Minimum: 0, Maximum: 1}}, `[{"mix":0},{"mix":0.5},{"mix":1}]`,
		},
		"of a range as many steps as asked, without the noise of arithmetic": {
			map[string]Range{"mix": {Minimum: 0.1, Maximum: 0.7, Steps: 4}}, `[{"mix":0.1},{"mix":0.3},{"mix":0.5},{"mix":0.7}]`,
		},
		"by powers": {
			map[string]Range{"learning_rate": {Minimum: 0.0001, Maximum: 0.1, Steps: 4, Logarithmic: true}},
			`[{"learning_rate":0.0001},{"learning_rate":0.001},{"learning_rate":0.01},{"learning_rate":0.1}]`,
		},
		"whole numbers that fall together are one": {
			map[string]Range{"epochs": {Minimum: 1, Maximum: 3, Steps: 7}}, `[{"epochs":1},{"epochs":2},{"epochs":3}]`,
		},
		"whole numbers stay inside a range of fractions": {
			map[string]Range{"epochs": {Minimum: 1.4, Maximum: 3.6, Steps: 3}}, `[{"epochs":2},{"epochs":3}]`,
		},
		"whole numbers by powers": {
			map[string]Range{"batch_size": {Minimum: 8, Maximum: 128, Steps: 5, Logarithmic: true}},
			`[{"batch_size":8},{"batch_size":16},{"batch_size":32},{"batch_size":64},{"batch_size":128}]`,
		},
		"a value that stands for something else": {
			map[string]Range{"image_size": {Values: []any{0.0, 32.0}}}, `[{"image_size":0},{"image_size":32}]`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := planner{recipe: images(), ranges: test.ranges, strategy: Grid}
			trials, err := p.plan()
			if err != nil {
				t.Fatal(err)
			}
			if got := encode(trials); got != test.want {
				t.Errorf("\n got %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestParametersThatCannotBeSweptOver(t *testing.T) {
	for name, test := range map[string]struct {
		parameter string
		r         Range
		says      string
	}{
		"unknown":                       {"epoch", Range{Values: []any{1.0}}, "no parameter epoch: remove it, or use one of epochs"},
		"no values":                     {"epochs", Range{}, "give values, or minimum and maximum"},
		"values and a range":            {"epochs", Range{Values: []any{1.0}, Maximum: 3}, "keep one of the two"},
		"a value twice":                 {"epochs", Range{Values: []any{1.0, 2.0, 1.0}}, "1 twice"},
		"a value out of range":          {"epochs", Range{Values: []any{1.0, 1001.0}}, "can't be 1001: each value must be a whole number from 1 to 1000"},
		"a value of the wrong type":     {"augment", Range{Values: []any{"yes"}}, "true or false"},
		"a value that is a list":        {"epochs", Range{Values: []any{[]any{1.0}}}, "can't be [1]"},
		"a value that is nothing":       {"epochs", Range{Values: []any{nil}}, "can't be null"},
		"a range of choices":            {"channels", Range{Minimum: 1, Maximum: 2}, "give values, each of them one of auto, grey, rgb"},
		"a range the wrong way round":   {"epochs", Range{Minimum: 3, Maximum: 1}, "from 3 to 1: the minimum must be below the maximum"},
		"a range of one value":          {"epochs", Range{Minimum: 3, Maximum: 3}, "a single value belongs into training_job"},
		"a range that begins too low":   {"batch_size", Range{Minimum: 0, Maximum: 8}, "from 0 to 8, but it must be a whole number from 1 to 4096"},
		"a range that ends too high":    {"mix", Range{Minimum: 0.5, Maximum: 1.5}, "must be a number from 0 to 1"},
		"a range without an end":        {"mix", Range{Minimum: 0.5, Maximum: math.Inf(1)}, "the minimum must be below the maximum"},
		"a range of what is no number":  {"mix", Range{Minimum: math.NaN(), Maximum: 1}, "the minimum must be below the maximum"},
		"a range without whole numbers": {"epochs", Range{Minimum: 1.2, Maximum: 1.8}, "no whole number"},
		"powers from 0":                 {"mix", Range{Maximum: 1, Logarithmic: true}, "begin above 0"},
		"one step":                      {"mix", Range{Maximum: 1, Steps: 1}, "give 2 or more"},
		"a name as long as a book":      {strings.Repeat("é", 5000), Range{Values: []any{1.0}}, "no parameter"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, strategy := range []Strategy{Grid, Random} {
				p := planner{recipe: images(), ranges: map[string]Range{test.parameter: test.r}, strategy: strategy}
				_, err := p.plan()
				var refused *ParameterError
				if !errors.As(err, &refused) || !strings.Contains(refused.Message, test.says) {
					t.Fatalf("%s: got %v; want it to say %q", strategy, err, test.says)
				}
				if !strings.HasPrefix(test.parameter, strings.TrimSuffix(refused.Name, "…")) || len(refused.Message) > 1000 {
					t.Errorf("%s: named %q: %s", strategy, refused.Name, refused.Message)
				}
				if unknown := refused.Reason == errorsv1.ErrorReason_PARAMETER_UNKNOWN; unknown != (refused.Limit == "") {
					t.Errorf("%s: %s with limit %q", strategy, refused.Reason, refused.Limit)
				}
			}
		})
	}
}

func TestCommonParametersAreCheckedToo(t *testing.T) {
	p := planner{recipe: images(), common: recipe.Values{"epochs": 0.0}, ranges: map[string]Range{"mix": {Maximum: 1}}, strategy: Grid}
	var invalid *recipe.InvalidParameterError
	if _, err := p.plan(); !errors.As(err, &invalid) || invalid.Name != "epochs" {
		t.Errorf("got %v", err)
	}
	p.common = recipe.Values{"mix": 0.5}
	var refused *ParameterError
	if _, err := p.plan(); !errors.As(err, &refused) || refused.Reason != errorsv1.ErrorReason_PARAMETER_INVALID {
		t.Errorf("a parameter that is the same and differs: got %v", err)
	}
}

func TestImagesOfOnesOwnTakeTextNumbersAndBooleans(t *testing.T) {
	p := planner{ranges: map[string]Range{"optimizer": {Values: []any{"adam", 2.0, true}}, "rate": {Minimum: 0.5, Maximum: 1, Steps: 2}}, strategy: Grid}
	if trials, err := p.plan(); err != nil || len(trials) != 6 {
		t.Errorf("%v, %v", trials, err)
	}
	for _, value := range []any{nil, []any{}, "two\nlines", strings.Repeat("x", 2501)} {
		p.ranges = map[string]Range{"optimizer": {Values: []any{value}}}
		var refused *ParameterError
		if _, err := p.plan(); !errors.As(err, &refused) || !strings.Contains(refused.Message, "one line and up to 2500 characters") || len(refused.Message) > 1000 {
			t.Errorf("%.20v: %v", value, err)
		}
	}
}

func TestGridThatIsTooLarge(t *testing.T) {
	ten := Range{Minimum: 1, Maximum: 10, Steps: 10}
	for name, test := range map[string]struct {
		ranges    map[string]Range
		maxTrials int64
		says      string
	}{
		"larger than a sweep": {
			map[string]Range{"epochs": ten, "batch_size": ten, "patience": ten, "mix": {Maximum: 1, Steps: 2}}, 0, "2000 combinations, but the sweep may have 1000",
		},
		"larger than asked":       {map[string]Range{"epochs": ten, "batch_size": ten}, 99, "100 combinations, but the sweep may have 99"},
		"too large to be counted": {manyAxes(), 0, "combinations"},
	} {
		t.Run(name, func(t *testing.T) {
			p := planner{ranges: test.ranges, strategy: Grid, maxTrials: test.maxTrials}
			_, err := p.plan()
			var refused *FieldError
			if !errors.As(err, &refused) || refused.Field != "sweep.max_trials" || !strings.Contains(refused.Message, test.says) {
				t.Errorf("got %v", err)
			}
		})
	}
	p := planner{ranges: map[string]Range{"epochs": ten, "batch_size": ten}, strategy: Grid, maxTrials: 100}
	if trials, err := p.plan(); err != nil || len(trials) != 100 {
		t.Errorf("a grid as large as asked: %d trials, %v", len(trials), err)
	}
}

func manyAxes() map[string]Range {
	ranges := map[string]Range{}
	for i := range 400 { // 100^400 is more than a float64 holds.
		ranges[fmt.Sprint("p", i)] = Range{Minimum: 1, Maximum: 2, Steps: 100}
	}
	return ranges
}

func TestRandomDrawsAllThereAre(t *testing.T) {
	p := planner{
		recipe: images(), strategy: Random, maxTrials: 100,
		ranges: map[string]Range{"epochs": {Minimum: 1, Maximum: 4, Logarithmic: true}, "augment": {Values: []any{true, false}}},
	}
	trials, err := p.plan()
	if err != nil || len(trials) != 8 {
		t.Fatalf("%d trials (%v); want all 8", len(trials), err)
	}
	p.maxTrials = 7 // Almost all: the last is hard to meet.
	if trials, err := p.plan(); err != nil || len(trials) != 7 {
		t.Fatalf("%d trials (%v); want 7", len(trials), err)
	}
	p.maxTrials, p.ranges = 0, map[string]Range{"mix": {Maximum: 1}}
	if trials, err := p.plan(); err != nil || len(trials) != 20 {
		t.Errorf("%d trials (%v); want 20 where the request doesn't say", len(trials), err)
	}
}

func TestRandomSpreadsByPowers(t *testing.T) {
	p := planner{
		recipe: images(), strategy: Random, maxTrials: 1000,
		ranges: map[string]Range{"learning_rate": {Minimum: 1e-6, Maximum: 1, Logarithmic: true}},
	}
	trials, err := p.plan()
	if err != nil {
		t.Fatal(err)
	}
	below := 0
	for _, trial := range trials {
		if trial["learning_rate"].(float64) < 1e-3 { //nolint:errcheck // It fails the test.
			below++
		}
	}
	if below < 400 || below > 600 {
		t.Errorf("%d of %d rates are below the middle power; want about half", below, len(trials))
	}
}

// TestPlanHolds checks what every plan must be: as many trials as can be, all different, each valid and within its ranges,
// and the same for the same seed.
func TestPlanHolds(t *testing.T) {
	image := images()
	rapid.Check(t, func(t *rapid.T) {
		p := planner{
			recipe: image, ranges: map[string]Range{}, strategy: rapid.SampledFrom([]Strategy{Grid, Random}).Draw(t, "strategy"),
			maxTrials: rapid.Int64Range(0, 60).Draw(t, "max_trials"), seed: rapid.Int64().Draw(t, "seed"),
		}
		for _, parameter := range rapid.SliceOfNDistinct(rapid.SampledFrom(image.Parameters), 1, 3, func(p recipe.Parameter) string { return p.Name }).Draw(t, "parameters") {
			p.ranges[parameter.Name] = drawRange(t, parameter)
		}
		trials, err := p.plan()
		var tooLarge *FieldError
		var noWhole *ParameterError
		if errors.As(err, &tooLarge) && p.strategy == Grid || errors.As(err, &noWhole) && strings.Contains(noWhole.Message, "no whole number") {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(trials) == 0 || int64(len(trials)) > p.limit() {
			t.Fatalf("%d trials of %d", len(trials), p.limit())
		}
		seen := map[string]bool{}
		for _, trial := range trials {
			if seen[encode(trial)] {
				t.Fatalf("twice: %v", trial)
			}
			seen[encode(trial)] = true
			if len(trial) != len(p.ranges) {
				t.Fatalf("%v", trial)
			}
			if _, err := image.Resolve(trial); err != nil {
				t.Fatal(err)
			}
			for name, value := range trial {
				figure, ok := value.(float64)
				if r := p.ranges[name]; ok && r.Values == nil && (figure < r.Minimum || figure > r.Maximum) {
					t.Fatalf("%s is %v", name, value)
				}
			}
		}
		again, err := p.plan()
		if err != nil || !reflect.DeepEqual(again, trials) {
			t.Fatalf("planned again (%v):\n%v\n%v", err, trials, again)
		}
	})
}

func drawRange(t *rapid.T, p recipe.Parameter) Range {
	switch p.Type {
	case recipe.Boolean:
		return Range{Values: []any{true, false}}
	case recipe.Choice:
		return Range{Values: []any{p.Choices[0], p.Choices[1]}}
	}
	a, b := rapid.Float64Range(p.Min, p.Max).Draw(t, "end"), rapid.Float64Range(p.Min, p.Max).Draw(t, "end")
	r := Range{Minimum: min(a, b), Maximum: max(a, b), Steps: rapid.SampledFrom([]int32{0, 2, 3, 7}).Draw(t, "steps")}
	if r.Minimum == r.Maximum {
		r.Minimum, r.Maximum = p.Min, p.Max
	}
	r.Logarithmic = r.Minimum > 0 && rapid.Bool().Draw(t, "logarithmic")
	return r
}

func TestUsualGoal(t *testing.T) {
	for metric, want := range map[string]Goal{
		"validation:accuracy": Maximize, "validation:loss": Minimize, "val_rmse": Minimize, "word error": Minimize, "logloss": Minimize,
		"f1": Maximize, "perplexity": Minimize, "AUC": Maximize, "validation:WER": Minimize, "power": Maximize, "examples_per_second": Maximize,
	} {
		if got := usualGoal(metric); got != want {
			t.Errorf("%s: %s", metric, got)
		}
	}
}
