// Package recipe is the catalogue of what can be trained: parameters as data with typed ranges, metric definitions, and how
// a job's parameters are rendered as SageMaker hyperparameters.
//
// A recipe's twin is a Python module of services/trainer/trainyard_trainer/recipes, which checks the same ranges again; a
// test holds the two together.
package recipe

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Type is what values a parameter takes.
type Type int

// The types of parameters.
const (
	Integer Type = iota + 1
	Float
	Boolean
	Choice
)

// Parameter is one parameter of a recipe.
type Parameter struct {
	Name        string
	DisplayName string
	Description string
	Type        Type
	// Min and Max bound a number; both are allowed.
	Min, Max float64
	// ZeroMeans says what 0 stands for where it lies outside of Min and Max; empty when 0 is not allowed.
	ZeroMeans string
	Choices   []string
	// Default is a float64, bool or string, by the type.
	Default any
	// MayChange tells that a job which goes on from another's checkpoints may have another value.
	MayChange bool
}

// Metric is a metric that the training program prints, and how to read it: group 1 of the expression is the value.
type Metric struct {
	Name  string
	Regex string
}

// Input is a feature of the examples that a recipe reads.
type Input struct {
	// Parameter is the hyperparameter that names the feature; users don't set it.
	Parameter string
	// Class is the feature's class in TensorFlow Datasets, such as Image.
	Class string
	// Default is the feature's name where it has the usual one, and the input's in messages.
	Default string
}

// InputMode is how the bytes of a channel reach the training program; the values are SageMaker's.
type InputMode string

// The input modes.
const (
	// File copies all of it to the disk before training begins.
	File InputMode = "File"
	// FastFile shows files that are fetched from S3 as they are read.
	FastFile InputMode = "FastFile"
	// Pipe is a pipe an epoch that is read once, in order.
	Pipe InputMode = "Pipe"
)

// Recipe is a way to train.
type Recipe struct {
	ID          string
	DisplayName string
	Description string
	// Parameters stand in the order a form should show them.
	Parameters []Parameter
	Metrics    []Metric
	// EpochMetric is the metric whose value is the epoch of its log line.
	EpochMetric string
	// Objective is the metric that tells which model is best.
	Objective string
	// Formats are the converter's formats whose examples can have what the recipe reads.
	Formats []string
	// Inputs are what the recipe reads of an example.
	Inputs []Input
	// InputModes are those that its program can read.
	InputModes []InputMode
	// Distributed tells whether its program trains on several instances together.
	Distributed bool
	// DefaultInstanceType is SageMaker's name of the machine for a job that names none.
	DefaultInstanceType string
}

// Catalogue is a list of recipes.
type Catalogue []*Recipe

// All gives the recipes there are. A new one gets a file of its own and a line here.
func All() Catalogue {
	return Catalogue{
		imageClassification(),
	}
}

// Find gives the recipe of an id, or nil.
func (c Catalogue) Find(id string) *Recipe {
	for _, r := range c {
		if r.ID == id {
			return r
		}
	}
	return nil
}

// IDs lists the recipes' ids.
func (c Catalogue) IDs() []string {
	ids := make([]string, len(c))
	for i, r := range c {
		ids[i] = r.ID
	}
	return ids
}

// Values are parameters by name. Numbers are float64, as in JSON.
type Values map[string]any

// UnknownParameterError tells of a name that no parameter of the recipe has.
type UnknownParameterError struct {
	Recipe string
	Name   string
	Known  []string
}

func (e *UnknownParameterError) Error() string {
	return fmt.Sprintf("Recipe %s has no parameter %s: remove it, or use one of %s.", e.Recipe, e.Name, strings.Join(e.Known, ", "))
}

// InvalidParameterError tells of a value of the wrong type or out of range.
type InvalidParameterError struct {
	Name string
	// Value is the value as JSON, cut to 80 characters.
	Value string
	// Limit says what it must be, such as `a whole number from 1 to 1000`.
	Limit string
}

func (e *InvalidParameterError) Error() string {
	return fmt.Sprintf("Parameter %s is %s, but it must be %s: set it to that, or leave it out for its default.", e.Name, e.Value, e.Limit)
}

// Resolve checks the given values and adds the defaults of the others. It fails with an UnknownParameterError or an
// InvalidParameterError.
func (r *Recipe) Resolve(given Values) (Values, error) {
	known := make([]string, len(r.Parameters))
	for i, p := range r.Parameters {
		known[i] = p.Name
	}
	names := make([]string, 0, len(given))
	for name := range given {
		names = append(names, name)
	}
	slices.Sort(names) // So that of several mistakes the same one is always told.
	for _, name := range names {
		if !slices.Contains(known, name) {
			return nil, &UnknownParameterError{Recipe: r.ID, Name: shorten(name), Known: known}
		}
	}
	resolved := make(Values, len(r.Parameters))
	for _, p := range r.Parameters {
		value, ok := given[p.Name]
		if !ok {
			resolved[p.Name] = p.Default
			continue
		}
		if !p.accepts(value) {
			shown, err := json.Marshal(value)
			if err != nil {
				shown = fmt.Append(nil, value) // NaN and infinities aren't JSON.
			}
			return nil, &InvalidParameterError{Name: p.Name, Value: shorten(string(shown)), Limit: p.Limit()}
		}
		resolved[p.Name] = value
	}
	return resolved, nil
}

func (p *Parameter) accepts(value any) bool {
	switch p.Type {
	case Integer, Float:
		number, ok := value.(float64)
		if !ok || p.Type == Integer && number != math.Trunc(number) {
			return false
		}
		return number >= p.Min && number <= p.Max || p.ZeroMeans != "" && number == 0
	case Boolean:
		_, ok := value.(bool)
		return ok
	case Choice:
		word, ok := value.(string)
		return ok && slices.Contains(p.Choices, word)
	}
	return false
}

// Limit says what the parameter may be, for people.
func (p *Parameter) Limit() string {
	switch p.Type {
	case Integer, Float:
		kind := "a number"
		if p.Type == Integer {
			kind = "a whole number"
		}
		limit := fmt.Sprintf("%s from %s to %s", kind, formatNumber(p.Min), formatNumber(p.Max))
		if p.ZeroMeans != "" {
			limit += ", or 0 for " + p.ZeroMeans
		}
		return limit
	case Boolean:
		return "true or false"
	case Choice:
		return "one of " + strings.Join(p.Choices, ", ")
	}
	return "absent"
}

// Hyperparameters renders resolved values as SageMaker takes them: text by name, with the recipe's id under `recipe`, by
// which the training program finds its module.
func (r *Recipe) Hyperparameters(values Values) map[string]string {
	rendered := map[string]string{"recipe": r.ID}
	for _, p := range r.Parameters {
		switch value := values[p.Name].(type) {
		case float64:
			rendered[p.Name] = formatNumber(value)
		case bool:
			rendered[p.Name] = strconv.FormatBool(value)
		case string:
			rendered[p.Name] = value
		}
	}
	return rendered
}

// formatNumber gives the shortest text that is the same number; whole ones have neither point nor exponent.
func formatNumber(v float64) string {
	if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

func shorten(text string) string {
	runes := []rune(text)
	if len(runes) > 80 {
		return string(runes[:79]) + "…"
	}
	return text
}
