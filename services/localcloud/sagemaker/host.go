package sagemaker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"go.uber.org/zap"

	"github.com/trainyard/trainyard/services/localcloud/awsjson"
	"github.com/trainyard/trainyard/services/localcloud/logs"
)

// host is one instance of a job: a process with a base directory of its own.
type host struct {
	name         string // algo-1, as SageMaker names them
	index, count int    // from 0, and of how many
	dir          string
	pipes        []*pipe
	// restored holds the checkpoint files that came from S3.
	restored map[string]sentFile
}

// jobDir holds everything of a job in progress.
func (s *Service) jobDir(name string) string { return filepath.Join(s.cfg.Dir, "jobs", name) }

// hosts are the instances of a job.
func (s *Service) hosts(in *sdk.CreateTrainingJobInput) []host {
	list := make([]host, *in.ResourceConfig.InstanceCount)
	for i := range list {
		name := fmt.Sprintf("algo-%d", i+1)
		list[i] = host{name: name, index: i, count: len(list), dir: filepath.Join(s.jobDir(*in.TrainingJobName), name)}
	}
	return list
}

// base is what /opt/ml is in a container; the program finds it in SAGEMAKER_BASE_DIR.
func (h *host) base() string { return filepath.Join(h.dir, "ml") }

func (h *host) temp() string { return filepath.Join(h.dir, "tmp") }

// checkpoints is the folder of the program's checkpoints.
func (h *host) checkpoints(in *sdk.CreateTrainingJobInput) string {
	below, _ := underOptML(checkpointPath(in))
	return filepath.Join(h.base(), below)
}

// prepareDir makes the host's folder as a new container would find it, except that checkpoints of an earlier attempt stay.
func (h *host) prepareDir(in *sdk.CreateTrainingJobInput) error {
	keep, kept := h.checkpoints(in), filepath.Join(h.dir, "checkpoints")
	// The checkpoints step aside while the rest goes. A crash in between leaves them in one of the two places.
	if _, err := os.Stat(kept); errors.Is(err, os.ErrNotExist) {
		if err := os.Rename(keep, kept); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if err := os.RemoveAll(h.base()); err != nil {
		return err
	}
	for _, dir := range []string{
		filepath.Join(h.base(), "input", "config"), filepath.Join(h.base(), "input", "data"), filepath.Join(h.base(), "model"),
		filepath.Join(h.base(), "output", "data"), filepath.Dir(keep), h.temp(),
	} {
		if err := os.MkdirAll(dir, 0o750); err != nil {
			return err
		}
	}
	if err := os.Rename(kept, keep); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.MkdirAll(keep, 0o750)
}

// writeConfig writes the files of /opt/ml/input/config.
//
// Format: https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html
func (h *host) writeConfig(in *sdk.CreateTrainingJobInput) error {
	hyperParameters := in.HyperParameters
	if hyperParameters == nil {
		hyperParameters = map[string]string{}
	}
	channels := map[string]map[string]string{}
	for i := range in.InputDataConfig {
		c := &in.InputDataConfig[i]
		channel := map[string]string{"TrainingInputMode": string(inputMode(in, c)), "RecordWrapperType": "None"}
		if c.RecordWrapperType != "" {
			channel["RecordWrapperType"] = string(c.RecordWrapperType)
		}
		if c.ContentType != nil {
			channel["ContentType"] = *c.ContentType
		}
		if d := c.DataSource.S3DataSource; d != nil {
			channel["S3DistributionType"] = string(types.S3DataDistributionFullyReplicated)
			if d.S3DataDistributionType != "" {
				channel["S3DistributionType"] = string(d.S3DataDistributionType)
			}
		}
		channels[*c.ChannelName] = channel
	}
	const group = "homogeneousCluster"
	instance := string(in.ResourceConfig.InstanceType)
	hosts := make([]string, h.count)
	for i := range hosts {
		hosts[i] = fmt.Sprintf("algo-%d", i+1)
	}
	files := map[string]any{
		"hyperparameters.json": hyperParameters,
		"inputdataconfig.json": channels,
		"resourceconfig.json": map[string]any{
			"current_host": h.name, "hosts": hosts, "current_instance_type": instance, "current_group_name": group,
			"instance_groups":        []map[string]any{{"instance_group_name": group, "instance_type": instance, "hosts": hosts}},
			"network_interface_name": "lo", // eth0 in a container; here the one interface that is surely there.
		},
	}
	if c := in.CheckpointConfig; c != nil {
		files["checkpointconfig.json"] = map[string]string{"S3Uri": *c.S3Uri, "LocalPath": checkpointPath(in)}
	}
	for name, v := range files {
		body, err := json.Marshal(v)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(h.base(), "input", "config", name), body, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) newLogPump(h *host, in *sdk.CreateTrainingJobInput) (*logPump, error) {
	name := *in.TrainingJobName
	readers, err := metricReaders(in.AlgorithmSpecification.MetricDefinitions)
	if err != nil {
		return nil, err
	}
	stream := fmt.Sprintf("%s/%s-%d", name, h.name, time.Now().Unix())
	return &logPump{
		metrics: readers,
		write: func(events []logs.Event) error {
			return s.deps.Logs.Append(context.Background(), LogGroup, stream, events)
		},
		changed: func(values []metric) {
			if _, err := s.store.update(context.Background(), name, func(j *job) error {
				j.Metrics = mergeMetrics(j.Metrics, values)
				return nil
			}); err != nil && !errors.As(err, new(*awsjson.Error)) {
				s.log.Error("store metrics", zap.String("job", name), zap.Error(err))
			}
		},
	}, nil
}

// argv is the command of a job: the image's, or its own entrypoint, with its own arguments behind.
func argv(program Program, a *types.AlgorithmSpecification) []string {
	command := program.Argv
	if len(a.ContainerEntrypoint) > 0 {
		command = a.ContainerEntrypoint
	}
	return slices.Concat(command, a.ContainerArguments)
}

// environment is all that a program gets: the little that any program needs, what the image sets, what the job sets, and
// the contract's own variables, which nobody overrides.
func (s *Service) environment(j *job, h *host, in *sdk.CreateTrainingJobInput, program Program) []string {
	vars := map[string]string{"TMPDIR": h.temp(), "PYTHONUNBUFFERED": "1"}
	for _, inherited := range []string{"PATH", "HOME", "LANG", "TZ"} {
		if v, ok := os.LookupEnv(inherited); ok {
			vars[inherited] = v
		}
	}
	for _, set := range []map[string]string{program.Env, in.Environment, {
		"TRAINING_JOB_NAME": j.Name, "TRAINING_JOB_ARN": j.ARN, "AWS_REGION": s.cfg.Region, "SAGEMAKER_BASE_DIR": h.base(),
	}} {
		for k, v := range set {
			vars[k] = v
		}
	}
	list := make([]string, 0, len(vars))
	for k, v := range vars {
		list = append(list, k+"="+v)
	}
	slices.Sort(list)
	return list
}
