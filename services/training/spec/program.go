package spec

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/trainyard/trainyard/services/training/recipe"
)

// program is what runs on the machine: a recipe's or the user's own.
type program struct {
	algorithm       *types.AlgorithmSpecification
	environment     map[string]string
	hyperparameters map[string]string
	// name is what errors call it.
	name        string
	modes       []Mode
	distributed bool
	custom      bool
}

func (job *Job) program() (*program, error) {
	switch {
	case job.Recipe != nil && job.Custom != nil:
		return nil, fail("custom_image", "A job has a recipe or an image of your own, not both: leave one out.")
	case job.Custom != nil:
		return job.customProgram()
	case job.Recipe == nil:
		return nil, fail("recipe", "A job needs a recipe, or an image of your own in custom_image: give one of them.")
	}
	if n := characters(job.Image); n == 0 || n > maxImage {
		return nil, fail("", "The training image's name has %d characters; SageMaker takes 1 to %d.", n, maxImage)
	}
	if err := checkImageRegion("", job.Image, job.Region); err != nil {
		return nil, err
	}
	hyperparameters := job.Recipe.Hyperparameters(job.Parameters)
	maps.Copy(hyperparameters, job.Dataset.Inputs)
	return &program{
		name: "recipes/" + job.Recipe.ID, modes: job.Recipe.InputModes, distributed: job.Recipe.Distributed,
		hyperparameters: hyperparameters,
		algorithm: &types.AlgorithmSpecification{
			TrainingImage:     aws.String(job.Image),
			TrainingInputMode: types.TrainingInputModeFile,
			MetricDefinitions: metricDefinitions(job.Recipe.Metrics),
		},
	}, nil
}

func (job *Job) customProgram() (*program, error) {
	c := job.Custom
	allowed := job.Registries
	if len(allowed) == 0 {
		allowed = DefaultRegistries(job.account(), job.Region)
	}
	if err := CheckImage(c.Image, job.Region, allowed); err != nil {
		return nil, err
	}
	if err := checkArguments("custom_image.entrypoint", c.Entrypoint); err != nil {
		return nil, err
	}
	if err := checkArguments("custom_image.arguments", c.Arguments); err != nil {
		return nil, err
	}
	if err := checkEnvironment(c.Environment); err != nil {
		return nil, err
	}
	if err := checkMetrics(c.Metrics); err != nil {
		return nil, err
	}
	return &program{
		name: "the image", modes: []Mode{File, FastFile, Pipe}, distributed: true, custom: true,
		environment: maps.Clone(c.Environment), hyperparameters: maps.Clone(c.Hyperparameters),
		algorithm: &types.AlgorithmSpecification{
			TrainingImage:       aws.String(c.Image),
			TrainingInputMode:   types.TrainingInputModeFile,
			MetricDefinitions:   metricDefinitions(c.Metrics),
			ContainerEntrypoint: slices.Clone(c.Entrypoint),
			ContainerArguments:  slices.Clone(c.Arguments),
		},
	}, nil
}

// checkHyperparameters checks the user's own, and that all of them together are not too many.
func (p *program) checkHyperparameters() error {
	field := "parameters"
	if p.custom {
		field = "custom_image.hyperparameters"
	}
	if n := len(p.hyperparameters); n > maxHyperparameters {
		return fail(field, "The job has %d hyperparameters; SageMaker takes %d. Leave out %d.", n, maxHyperparameters, n-maxHyperparameters)
	}
	for _, key := range sortedKeys(p.hyperparameters) {
		at := field + "." + shorten(key)
		if n := characters(key); n == 0 || n > maxHyperparameterKey || !oneLine(key) {
			return fail(at, "The hyperparameter's name %q must be 1 to %d characters of one line: rename it.", shorten(key), maxHyperparameterKey)
		}
		if n := characters(p.hyperparameters[key]); n > maxHyperparameterValue {
			return fail(at, "Hyperparameter %s has %d characters; SageMaker takes %d. Shorten it, or put it into a file of the dataset or the image.", shorten(key), n, maxHyperparameterValue)
		}
		if !oneLine(p.hyperparameters[key]) {
			return fail(at, "Hyperparameter %s has several lines, of which SageMaker takes one: write it as JSON, or put it into the environment or a file of the image.", shorten(key))
		}
	}
	return nil
}

func (p *program) reads(mode Mode) bool { return slices.Contains(p.modes, mode) }

func checkArguments(field string, list []string) error {
	if n := len(list); n > maxArguments {
		return fail(field, "%s has %d entries; SageMaker takes %d. Leave out %d, or put them into a file of the image.", field, n, maxArguments, n-maxArguments)
	}
	for i, text := range list {
		if n := characters(text); n > maxArgument {
			return fail(fmt.Sprintf("%s[%d]", field, i), "%s[%d] has %d characters; SageMaker takes %d. Shorten it, or put it into a file of the image.", field, i, n, maxArgument)
		}
		if !oneLine(text) {
			return fail(fmt.Sprintf("%s[%d]", field, i), "%s[%d] has several lines, of which SageMaker takes one: put it into a file of the image.", field, i)
		}
	}
	return nil
}

var environmentKey = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

func checkEnvironment(environment map[string]string) error {
	const field = "custom_image.environment"
	if n := len(environment); n > maxEnvironment {
		return fail(field, "The job has %d environment variables; SageMaker takes %d. Leave out %d.", n, maxEnvironment, n-maxEnvironment)
	}
	for _, key := range sortedKeys(environment) {
		at := field + "." + shorten(key)
		if !environmentKey.MatchString(key) || characters(key) > maxEnvironmentText {
			return fail(at, "The environment variable %q must be 1 to %d letters, digits and _, and not begin with a digit: rename it.", shorten(key), maxEnvironmentText)
		}
		if n := characters(environment[key]); n > maxEnvironmentText {
			return fail(at, "The environment variable %s has %d characters; SageMaker takes %d. Shorten it, or make it a hyperparameter, which may have %d.", shorten(key), n, maxEnvironmentText, maxHyperparameterValue)
		}
	}
	return nil
}

func checkMetrics(metrics []recipe.Metric) error {
	const field = "custom_image.metric_definitions"
	if n := len(metrics); n > maxMetrics {
		return fail(field, "The job has %d metric definitions; SageMaker takes %d. Leave out %d.", n, maxMetrics, n-maxMetrics)
	}
	seen := map[string]bool{}
	for i, m := range metrics {
		at := fmt.Sprintf("%s[%d]", field, i)
		if n := characters(m.Name); n == 0 || n > maxMetricName || !oneLine(m.Name) {
			return fail(at+".name", "The metric's name %q must be 1 to %d characters of one line: rename it.", shorten(m.Name), maxMetricName)
		}
		if seen[m.Name] {
			return fail(at+".name", "The metric %s is defined twice: rename one, or leave it out.", shorten(m.Name))
		}
		seen[m.Name] = true
		if n := characters(m.Regex); n == 0 || n > maxMetricRegex || !oneLine(m.Regex) {
			return fail(at+".regex", "The expression of metric %s must be 1 to %d characters of one line and has %d: shorten it.", shorten(m.Name), maxMetricRegex, n)
		}
		expression, err := regexp.Compile(m.Regex)
		if err != nil {
			return fail(at+".regex", "The expression of metric %s can't be read: %s. Write it in the syntax of RE2, without look-around and back references.", shorten(m.Name), strings.TrimPrefix(err.Error(), "error parsing regexp: "))
		}
		if expression.NumSubexp() == 0 {
			return fail(at+".regex", "The expression of metric %s has no group around the value: put it into brackets, such as loss=([0-9.]+).", shorten(m.Name))
		}
	}
	return nil
}

func metricDefinitions(metrics []recipe.Metric) []types.MetricDefinition {
	definitions := make([]types.MetricDefinition, len(metrics))
	for i, m := range metrics {
		definitions[i] = types.MetricDefinition{Name: aws.String(m.Name), Regex: aws.String(m.Regex)}
	}
	return definitions
}
