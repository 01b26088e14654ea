package price

import (
	"fmt"
	"slices"
	"strings"
)

// Times are seconds and throughputs to be expected of a job. MB are 10⁶ bytes.
type Times struct {
	// QueueSeconds and SpotQueueSeconds pass before a machine is there; they are not billed.
	QueueSeconds, SpotQueueSeconds Figure
	// FileMBPerSecond is how fast an instance copies a channel in File mode before training; FileSeconds is what each object adds to that.
	FileMBPerSecond, FileSeconds Figure
	// FastFileStartSeconds and PipeStartSeconds pass before the first bytes can be read.
	FastFileStartSeconds, PipeStartSeconds Figure
	// FastFileMBPerSecond and PipeMBPerSecond bound how fast training reads, and FastFileSeconds is the wait for the first byte of each object.
	FastFileMBPerSecond, PipeMBPerSecond, FastFileSeconds Figure
	// EFSStartSeconds and LustreStartSeconds is how long mounting takes.
	EFSStartSeconds, LustreStartSeconds Figure
	// EFSMBPerSecond bounds how fast training reads from EFS; LustreMBPerSecondPerTiB is multiplied by the file system's size in TiB.
	EFSMBPerSecond, LustreMBPerSecondPerTiB Figure
	// UploadMBPerSecond and UploadStartSeconds are for saving the model.
	UploadMBPerSecond, UploadStartSeconds Figure
}

const (
	documented = "built in, from AWS's documentation"
	assumed    = "built in, an assumption"
)

// timesOf gives the built-in times with what an operator's file overrides. The keys of the file are those below.
func timesOf(configured map[string]float64) (Times, error) {
	var t Times
	var known []string
	for _, f := range []struct {
		key    string
		field  *Figure
		value  float64
		source string
		text   string
	}{
		{"queue_seconds", &t.QueueSeconds, 150, assumed, "waiting for a machine: %g s"},
		{"spot_queue_seconds", &t.SpotQueueSeconds, 300, assumed, "waiting for a spot machine: %g s"},
		{"file_mb_per_second", &t.FileMBPerSecond, 170, documented, "File mode copies %g MB/s"},
		{"file_seconds_per_object", &t.FileSeconds, 0.01, assumed, "File mode spends %g s more on each object"},
		{"fast_file_start_seconds", &t.FastFileStartSeconds, 30, assumed, "FastFile mode starts in %g s"},
		{"fast_file_mb_per_second", &t.FastFileMBPerSecond, 170, assumed, "FastFile mode reads %g MB/s"},
		{"fast_file_seconds_per_object", &t.FastFileSeconds, 0.05, assumed, "FastFile mode waits %g s for each object"},
		{"pipe_start_seconds", &t.PipeStartSeconds, 30, assumed, "Pipe mode starts in %g s"},
		{"pipe_mb_per_second", &t.PipeMBPerSecond, 170, assumed, "Pipe mode reads %g MB/s"},
		{"efs_start_seconds", &t.EFSStartSeconds, 45, assumed, "mounting EFS takes %g s"},
		{"efs_mb_per_second", &t.EFSMBPerSecond, 100, assumed, "EFS reads %g MB/s"},
		{"fsx_lustre_start_seconds", &t.LustreStartSeconds, 45, assumed, "mounting FSx for Lustre takes %g s"},
		{"fsx_lustre_mb_per_second_per_tib", &t.LustreMBPerSecondPerTiB, 125, documented, "FSx for Lustre reads %g MB/s for each TiB of its size"},
		{"upload_start_seconds", &t.UploadStartSeconds, 10, assumed, "saving the model takes %g s"},
		{"upload_mb_per_second", &t.UploadMBPerSecond, 50, assumed, "saving the model uploads %g MB/s"},
	} {
		known = append(known, f.key)
		if value, ok := configured[f.key]; ok {
			if err := checkTime(f.key, value); err != nil {
				return Times{}, err
			}
			f.value, f.source = value, "configured"
		}
		*f.field = Figure{f.value, fmt.Sprintf(f.text+" (%s)", f.value, f.source)}
	}
	for key := range configured {
		if !slices.Contains(known, key) {
			return Times{}, fmt.Errorf("times.%s is unknown; there are %s", key, strings.Join(known, ", "))
		}
	}
	return t, nil
}
