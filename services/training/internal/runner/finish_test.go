package runner

import (
	"testing"

	"github.com/trainyard/trainyard/services/training/internal/failure"
	"github.com/trainyard/trainyard/services/training/internal/job"
)

// SageMaker's text doesn't tell which kind of file system didn't answer.
func TestTheCheckIsThatOfTheJobsFileSystem(t *testing.T) {
	const reason = "ClientError: Data download failed:File system connection timed out, fs-0123456789abcdef0"
	efs, lustre, s3 := job.ResolvedBase{Storage: "efs"}, job.ResolvedBase{Storage: "fsx-lustre"}, job.ResolvedBase{Storage: "s3"}
	for want, bases := range map[string][][]job.ResolvedBase{
		"efs-security":    {{efs}, {efs, lustre}, {s3, efs}, nil},
		"lustre-security": {{lustre}, {s3, lustre}},
	} {
		for _, resolved := range bases {
			if got := failureOf(&job.Job{ResolvedBases: resolved}, reason).Metadata[failure.MetaCheck]; got != want {
				t.Errorf("of %v the check is %s, want %s", resolved, got, want)
			}
		}
	}
}
