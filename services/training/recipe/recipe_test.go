package recipe_test

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/trainyard/trainyard/services/training/recipe"
)

func TestResolveChecksTypesAndRanges(t *testing.T) {
	chosen := recipe.All().Find("image-classification")
	tests := map[string]struct {
		name  string
		value any
		limit string // Empty when the value is good.
	}{
		"least":               {"epochs", 1.0, ""},
		"greatest":            {"epochs", 1000.0, ""},
		"below":               {"epochs", 0.0, "a whole number from 1 to 1000"},
		"above":               {"epochs", 1001.0, "a whole number from 1 to 1000"},
		"negative":            {"epochs", -3.0, "a whole number from 1 to 1000"},
		"not whole":           {"epochs", 2.5, "a whole number from 1 to 1000"},
		"text for a number":   {"epochs", "3", "a whole number from 1 to 1000"},
		"null for a number":   {"epochs", nil, "a whole number from 1 to 1000"},
		"list for a number":   {"epochs", []any{3.0}, "a whole number from 1 to 1000"},
		"not a number":        {"learning_rate", math.NaN(), "a number from 1e-06 to 1"},
		"infinite":            {"learning_rate", math.Inf(1), "a number from 1e-06 to 1"},
		"fraction":            {"learning_rate", 0.01, ""},
		"zero of a rate":      {"learning_rate", 0.0, "a number from 1e-06 to 1"},
		"zero with a meaning": {"image_size", 0.0, ""},
		"below but not zero":  {"image_size", 7.0, "a whole number from 8 to 512, or 0 for the size of the images"},
		"truth":               {"augment", false, ""},
		"number for truth":    {"augment", 1.0, "true or false"},
		"word":                {"channels", "rgb", ""},
		"other word":          {"channels", "cmyk", "one of auto, grey, rgb"},
		"number for a word":   {"channels", 3.0, "one of auto, grey, rgb"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			resolved, err := chosen.Resolve(recipe.Values{test.name: test.value})
			if test.limit == "" {
				if err != nil || resolved[test.name] != test.value {
					t.Fatalf("got %v, %v; want the value kept", resolved[test.name], err)
				}
				return
			}
			var invalid *recipe.InvalidParameterError
			if !errors.As(err, &invalid) || invalid.Name != test.name || invalid.Limit != test.limit {
				t.Fatalf("got %v; want %s refused with the limit %q", err, test.name, test.limit)
			}
			if !strings.Contains(err.Error(), test.name) || !strings.Contains(err.Error(), test.limit) {
				t.Fatalf("%q names neither parameter nor limit", err)
			}
		})
	}
}

func TestResolveRefusesUnknownNames(t *testing.T) {
	chosen := recipe.All().Find("image-classification")
	for _, name := range []string{"epoch", "labels", "recipe", "LD_PRELOAD", "sagemaker_program", ""} {
		_, err := chosen.Resolve(recipe.Values{name: 3.0})
		var unknown *recipe.UnknownParameterError
		if !errors.As(err, &unknown) || unknown.Name != name || !slices.Contains(unknown.Known, "epochs") {
			t.Errorf("%q: got %v; want it unknown, with the known names", name, err)
		}
	}
}

func TestEveryDefaultIsWithinItsRange(t *testing.T) {
	for _, r := range recipe.All() {
		byDefault, err := r.Resolve(nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Resolve(byDefault); err != nil {
			t.Errorf("%s: %v", r.ID, err)
		}
		if len(byDefault) != len(r.Parameters) {
			t.Errorf("%s: %d of %d parameters have a default", r.ID, len(byDefault), len(r.Parameters))
		}
	}
}

func TestHyperparametersAreTextThatPythonReads(t *testing.T) {
	chosen := recipe.All().Find("image-classification")
	values, err := chosen.Resolve(recipe.Values{"seed": float64(math.MaxInt32), "learning_rate": 1e-6, "mix": 1.0, "augment": false})
	if err != nil {
		t.Fatal(err)
	}
	rendered := chosen.Hyperparameters(values)
	for name, want := range map[string]string{
		"recipe": "image-classification", "seed": "2147483647", "learning_rate": "1e-06", "mix": "1", "augment": "false", "channels": "auto",
	} {
		if rendered[name] != want {
			t.Errorf("%s: got %q, want %q", name, rendered[name], want)
		}
	}
}

func TestReaderReadsTheTrainersLines(t *testing.T) {
	reader, err := recipe.All().Find("image-classification").Reader()
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		line  string
		epoch float64 // Of the line before.
		want  []recipe.Point
	}{
		"training": {
			"[metric] epoch=1 step=7 train:loss=0.6931 train:accuracy=0.5 progress:epoch=0.35", 0,
			[]recipe.Point{{"train:loss", 0.6931, 0.35, 7}, {"train:accuracy", 0.5, 0.35, 7}, {"progress:epoch", 0.35, 0.35, 7}},
		},
		"exponent": {"[metric] epoch=2 step=8 train:loss=1.5e-05 progress:epoch=2", 1.9, []recipe.Point{{"train:loss", 1.5e-5, 2, 8}, {"progress:epoch", 2, 2, 8}}},
		"no epoch": {"[metric] validation:loss=0.25", 3, []recipe.Point{{"validation:loss", 0.25, 3, 0}}},
		"chatter":  {"epoch 1 of 3: training loss 0.5, accuracy 0.8", 1, nil},
		"no value": {"[metric] train:loss=nan train:accuracy=-", 1, nil},
		"too big":  {"[metric] train:loss=1e999", 1, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, _ := reader.Read(test.line, test.epoch)
			if !slices.Equal(got, test.want) {
				t.Fatalf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestReaderOfOnesOwnMetrics(t *testing.T) {
	reader, err := recipe.NewReader([]recipe.Metric{{Name: "loss", Regex: `loss: ([0-9.]+)`}, {Name: "acc", Regex: `acc: ([0-9.]+)`}}, "")
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		line string
		want []recipe.Point
	}{
		"epoch and step of the line": {"Epoch 3, step: 120, loss: 0.5", []recipe.Point{{"loss", 0.5, 3, 120}}},
		"global step":                {"global_step=7 loss: 0.5 acc: 0.25", []recipe.Point{{"loss", 0.5, 1, 7}, {"acc", 0.25, 1, 7}}},
		"a word that ends alike":     {"footstep=7 loss: 0.5", []recipe.Point{{"loss", 0.5, 1, 0}}},
		"too many steps":             {"step=99999999999999999999 loss: 0.5", []recipe.Point{{"loss", 0.5, 1, 0}}},
	} {
		t.Run(name, func(t *testing.T) {
			if got, _ := reader.Read(test.line, 1); !slices.Equal(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
	for _, regex := range []string{"(", "loss"} {
		if _, err := recipe.NewReader([]recipe.Metric{{Name: "loss", Regex: regex}}, ""); err == nil {
			t.Errorf("%q was taken", regex)
		}
	}
}

// The catalogue and the Python modules say the same: this reads the trainer's sources.
func TestCatalogueMatchesTheTrainer(t *testing.T) {
	trainer := filepath.Join("..", "..", "trainer", "trainyard_trainer")
	for _, r := range recipe.All() {
		t.Run(r.ID, func(t *testing.T) {
			module := source(t, filepath.Join(trainer, "recipes", strings.ReplaceAll(r.ID, "-", "_")+".py"))
			declared := pythonParameters(t, module)
			for _, p := range r.Parameters {
				want, ok := declared[p.Name]
				if !ok {
					t.Errorf("the trainer has no parameter %s", p.Name)
					continue
				}
				if got := goParameter(p); !slices.Equal(got, want) {
					t.Errorf("%s: the catalogue says %q, the trainer %q", p.Name, got, want)
				}
				delete(declared, p.Name)
			}
			delete(declared, "labels") // Given by the job, not by the user.
			for name := range declared {
				t.Errorf("the catalogue has no parameter %s", name)
			}
			printed := source(t, filepath.Join(trainer, "metrics.py"))
			for _, m := range r.Metrics {
				if !strings.Contains(printed, strconv.Quote(m.Name)) {
					t.Errorf("the trainer prints no metric %s", m.Name)
				}
			}
		})
	}
}

func source(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var declaration = regexp.MustCompile(`(?m)^    (Whole|Number|Switch|Choice|Names)\("(\w+)"(?:, (.*))?\),$`)

// pythonParameters reads lines like `Whole("epochs", 5, 1, 1000),` as kind, default, and the numbers or words that follow.
func pythonParameters(t *testing.T, module string) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	for _, match := range declaration.FindAllStringSubmatch(module, -1) {
		arguments := strings.NewReplacer("2**31 - 1", "2147483647", "zero_means=", "", "(", "", ")", "", `"`, "").Replace(match[3])
		parts := append([]string{match[1]}, strings.Split(arguments, ", ")...)
		for i, part := range parts {
			if number, err := strconv.ParseFloat(part, 64); err == nil {
				parts[i] = strconv.FormatFloat(number, 'g', -1, 64)
			}
		}
		found[match[2]] = parts
	}
	if len(found) == 0 {
		t.Fatal("found no parameters in the trainer's module")
	}
	return found
}

func goParameter(p recipe.Parameter) []string {
	number := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	switch p.Type {
	case recipe.Integer, recipe.Float:
		kind := map[recipe.Type]string{recipe.Integer: "Whole", recipe.Float: "Number"}[p.Type]
		parts := []string{kind, number(p.Default.(float64)), number(p.Min), number(p.Max)}
		if p.ZeroMeans != "" {
			parts = append(parts, p.ZeroMeans)
		}
		return parts
	case recipe.Boolean:
		return []string{"Switch", map[bool]string{true: "True", false: "False"}[p.Default.(bool)]}
	default:
		return append([]string{"Choice", p.Default.(string)}, p.Choices...)
	}
}
