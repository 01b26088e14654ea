// Package failure says of SageMaker's error texts what they mean: the reason as the API names it, the cause and the mend.
//
// SageMaker's texts are no contract: they are matched by parts that have been the same for years, and a text that nothing matches is told as it is. The
// whole of it is always kept in the metadata.
package failure

import (
	"regexp"
	"strings"

	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	"github.com/trainyard/trainyard/services/training/internal/job"
)

// The metadata of a failure.
const (
	MetaReason   = "sagemaker_failure_reason" // SageMaker's text, whole.
	MetaCode     = "sagemaker_error_code"     // Of a request that was refused.
	MetaCause    = "cause"
	MetaMend     = "mend"
	MetaExitCode = "exit_code" // The training program's.
	MetaAction   = "action"    // The IAM action that was denied.
	MetaCheck    = "check"     // The preflight check that sees it beforehand.
)

// Of explains the FailureReason of a job that SageMaker ended as failed. That of a program is `AlgorithmError: {its failure file}, exit code: 1`,
// and its message is the program's own.
func Of(reason string) *job.Failure {
	text := strings.TrimSpace(reason)
	f := &job.Failure{Reason: errorsv1.ErrorReason_TRAINING_SERVICE_FAILED, Message: text, Metadata: map[string]string{MetaReason: reason}}
	if program, ok := strings.CutPrefix(text, "AlgorithmError:"); ok {
		ofProgram(f, program)
		return f
	}
	if text == "" {
		f.Message = "SageMaker ended the job as failed without saying why. Its log tells more."
		return f
	}
	if r := find(text); r != nil {
		r.explain(f, text)
		f.Message = join(r.what, r.cause, r.mend, "SageMaker says: "+sentence(text))
	}
	return f
}

// OfRefusal explains an error of CreateTrainingJob that will be the same next time. code and text are the API's.
func OfRefusal(code, text string) *job.Failure {
	f := &job.Failure{
		Reason:   errorsv1.ErrorReason_TRAINING_SERVICE_FAILED,
		Metadata: map[string]string{MetaReason: text, MetaCode: code},
	}
	said := "SageMaker refused the job: " + sentence(strings.TrimSpace(text)) + " (" + code + ")"
	const nothing = "Nothing was started and nothing is billed."
	r := find(code + ": " + text)
	if strings.HasPrefix(code, "AccessDenied") {
		r = &ownDenied
	}
	if r != nil {
		r.explain(f, text)
		f.Message = join(said, r.cause, r.mend, nothing)
	} else {
		f.Message = join(said, nothing)
	}
	return f
}

var (
	exitCode = regexp.MustCompile(`(?i),?\s*exit ?code:? (-?\d+)`)
	atTheEnd = regexp.MustCompile(`,?\s*exit code: -?\d+\s*$`)
	// memory is what programs and frameworks say when there is none left.
	memory = regexp.MustCompile(`(?i)out of memory|out-of-memory|OutOfMemory|OOM when allocating|RESOURCE_EXHAUSTED|ResourceExhaustedError|MemoryError|cannot allocate memory|bad_alloc|instance type with more memory`)
)

// ofProgram explains what a training program failed with. Only its own words count: a file that it misses is no failure of SageMaker's.
func ofProgram(f *job.Failure, text string) {
	f.Reason = errorsv1.ErrorReason_TRAINER_FAILED
	code := ""
	if codes := exitCode.FindAllStringSubmatch(text, -1); codes != nil {
		code = codes[len(codes)-1][1]
		f.Metadata[MetaExitCode] = code
	}
	f.Message = strings.TrimSpace(atTheEnd.ReplaceAllString(text, ""))
	if killed := code == "137"; killed || memory.MatchString(text) {
		r := outOfMemory
		if killed && f.Message == "" {
			r.cause = "It was killed (exit code 137), which the system does to a program that takes more memory than the instance has."
		}
		r.explain(f, text)
		said := ""
		if f.Message != "" {
			said = "It says: " + sentence(f.Message)
		}
		f.Message = join(r.what, r.cause, r.mend, said)
		return
	}
	switch {
	case f.Message == "" && code != "":
		f.Message = "The training program ended with exit code " + code + " without saying why. Its log tells more."
	case f.Message == "":
		f.Message = "The training program failed without saying why. Its log tells more."
	}
}

// rule is what an error text means.
type rule struct {
	pattern *regexp.Regexp
	reason  errorsv1.ErrorReason
	check   string // The preflight check that sees it beforehand; empty if none can.
	what    string // Sentences, as are cause and mend.
	cause   string
	mend    string
}

func (r *rule) explain(f *job.Failure, text string) {
	f.Reason = r.reason
	for key, value := range map[string]string{MetaCause: r.cause, MetaMend: r.mend, MetaCheck: r.check, MetaAction: deniedAction(text)} {
		if value != "" {
			f.Metadata[key] = value
		}
	}
}

// find gives the first rule whose pattern is in a text, or nil.
func find(text string) *rule {
	for i := range rules {
		if rules[i].pattern.MatchString(text) {
			return &rules[i]
		}
	}
	return nil
}

var action = regexp.MustCompile(`(?i)not authorized to perform:? ?\[?([a-z0-9-]+:[A-Za-z*]+)`)

// deniedAction is the IAM action that a text says was denied, or "".
func deniedAction(text string) string {
	if found := action.FindStringSubmatch(text); found != nil {
		return found[1]
	}
	return ""
}

func join(sentences ...string) string {
	var said []string
	for _, s := range sentences {
		if s != "" {
			said = append(said, s)
		}
	}
	return strings.Join(said, " ")
}

func sentence(text string) string {
	if text == "" || strings.HasSuffix(text, ".") {
		return text
	}
	return text + "."
}
