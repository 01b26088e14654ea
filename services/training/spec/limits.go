package spec

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// Limits of CreateTrainingJob, from the API's model (sagemaker-2017-07-24).
const (
	maxChannels            = 20
	maxHyperparameters     = 100
	maxHyperparameterKey   = 256
	maxHyperparameterValue = 2500
	maxEnvironment         = 100
	maxEnvironmentText     = 512 // Of key and value alike.
	maxArguments           = 100 // Of entry point and arguments alike.
	maxArgument            = 256
	maxMetrics             = 40
	maxMetricName          = 255
	maxMetricRegex         = 500
	maxTags                = 50
	maxTagKey              = 128
	maxTagValue            = 256
	maxImage               = 255
	maxURI                 = 1024
	maxDirectory           = 4096
	maxKey                 = 2048
	maxRole                = 2048
	maxSubnets             = 16
	maxSecurityGroups      = 5
	maxKeepAliveSeconds    = 21600
	maxRetries             = 30
	// MaxRuntimeSeconds is 28 days, of MaxRuntime and MaxWait alike.
	MaxRuntimeSeconds = 28 * 24 * 3600
	// MaxVolumeGB is the largest disk.
	MaxVolumeGB = 16384
)

// What the text of the documentation says where the model says more.
const (
	documentedHyperparameterValue = 256
	documentedKeepAliveSeconds    = 3600
)

// Error tells that a job can't be described within SageMaker's limits.
type Error struct {
	// Field is the field of TrainingJob that breaks the limit; empty when the operator's configuration does.
	Field   string
	Message string
}

func (e *Error) Error() string { return e.Message }

func fail(field, format string, args ...any) error {
	return &Error{Field: field, Message: fmt.Sprintf(format, args...)}
}

// sortedKeys gives an order to maps, so that of several mistakes the same one is always told.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// characters counts as SageMaker does.
func characters(text string) int { return utf8.RuneCountInString(text) }

// oneLine tells whether the pattern `.*` of the API's model takes a text.
func oneLine(text string) bool { return !strings.ContainsAny(text, "\n\r\u0085\u2028\u2029") }

// shorten keeps what a user sent from filling an error.
func shorten(text string) string {
	if runes := []rune(text); len(runes) > 80 {
		return string(runes[:79]) + "…"
	}
	return text
}
