package sagemaker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"go.uber.org/zap"
)

// host is the one host of every job, named as SageMaker names the first.
const host = "algo-1"

// baseDir is what the container's /opt/ml is for a job here; the program finds it in SAGEMAKER_BASE_DIR.
func (s *Service) baseDir(name string) string { return filepath.Join(s.jobDir(name), "ml") }

// jobDir holds everything of a job in progress.
func (s *Service) jobDir(name string) string { return filepath.Join(s.cfg.Dir, "jobs", name) }

// prepareDir makes the job's folder as a new container would find it, except that checkpoints of an earlier attempt stay.
func (s *Service) prepareDir(in *sdk.CreateTrainingJobInput) error {
	base := s.baseDir(*in.TrainingJobName)
	checkpoints, _ := underOptML(checkpointPath(in))
	keep, kept := filepath.Join(base, checkpoints), filepath.Join(s.jobDir(*in.TrainingJobName), "checkpoints")
	// The checkpoints step aside while the rest goes. A crash in between leaves them in one of the two places.
	if _, err := os.Stat(kept); errors.Is(err, os.ErrNotExist) {
		if err := os.Rename(keep, kept); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	if err := os.RemoveAll(base); err != nil {
		return err
	}
	for _, dir := range []string{"input/config", "input/data", "model", "output/data", filepath.Dir(checkpoints)} {
		if err := os.MkdirAll(filepath.Join(base, dir), 0o750); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(s.tempDir(*in.TrainingJobName), 0o750); err != nil {
		return err
	}
	if err := os.Rename(kept, keep); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return os.MkdirAll(keep, 0o750)
}

func (s *Service) tempDir(name string) string { return filepath.Join(s.jobDir(name), "tmp") }

// writeConfig writes the files of /opt/ml/input/config.
//
// Format: https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-training-algo-running-container.html
func (s *Service) writeConfig(in *sdk.CreateTrainingJobInput) error {
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
	files := map[string]any{
		"hyperparameters.json": hyperParameters,
		"inputdataconfig.json": channels,
		"resourceconfig.json": map[string]any{
			"current_host": host, "hosts": []string{host}, "current_instance_type": instance, "current_group_name": group,
			"instance_groups":        []map[string]any{{"instance_group_name": group, "instance_type": instance, "hosts": []string{host}}},
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
		if err := os.WriteFile(filepath.Join(s.baseDir(*in.TrainingJobName), "input", "config", name), body, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// fetchInputs fills the channels' folders. A *clientError is the caller's to mend.
func (s *Service) fetchInputs(ctx context.Context, in *sdk.CreateTrainingJobInput) error {
	for i := range in.InputDataConfig {
		c := &in.InputDataConfig[i]
		dir := filepath.Join(s.baseDir(*in.TrainingJobName), "input", "data", *c.ChannelName)
		if fs := c.DataSource.FileSystemDataSource; fs != nil {
			target, err := s.mount(fs)
			if err != nil {
				return err
			}
			if err := os.Symlink(target, dir); err != nil {
				return err
			}
			continue
		}
		if err := s.fetchS3(ctx, in, c.DataSource.S3DataSource, dir); err != nil {
			if isAPIError(err) || errors.As(err, new(*clientError)) {
				return clientErrorf("ClientError: Data download failed:%v", err)
			}
			return err
		}
	}
	return nil
}

func (s *Service) fetchS3(ctx context.Context, in *sdk.CreateTrainingJobInput, d *types.S3DataSource, dir string) error {
	bucket, key, err := parseS3URI(*d.S3Uri)
	if err != nil {
		return err
	}
	if d.S3DataType == types.S3DataTypeManifestFile {
		return s.fetchManifest(ctx, in, *d.S3Uri, bucket, key, dir)
	}
	found, err := s.downloadPrefix(ctx, bucket, key, dir, false)
	if err == nil && found == 0 {
		return clientErrorf("%s", s.noObjects(in, *d.S3Uri, bucket))
	}
	return err
}

// maxManifest bounds a manifest in memory.
const maxManifest = 64 << 20

// fetchManifest copies the objects a manifest lists: a JSON array of {"prefix": "s3://bucket/some/"}, followed by the
// objects' names below it, which are their names in the channel too.
//
// Format: https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_S3DataSource.html
func (s *Service) fetchManifest(ctx context.Context, in *sdk.CreateTrainingJobInput, uri, bucket, key, dir string) error {
	work, err := openRoot(s.tempDir(*in.TrainingJobName))
	if err != nil {
		return err
	}
	defer func() { _ = work.Close() }()
	if err := s.downloadObject(ctx, work, bucket, key, "manifest"); err != nil {
		return err
	}
	if info, err := work.Stat("manifest"); err != nil || info.Size() > maxManifest {
		return errors.Join(err, clientErrorf("the manifest %s is larger than %d bytes", uri, maxManifest))
	}
	raw, err := work.ReadFile("manifest")
	if err != nil {
		return err
	}
	var entries []json.RawMessage
	var first struct {
		Prefix string `json:"prefix"`
	}
	if err := json.Unmarshal(raw, &entries); err != nil || len(entries) == 0 || json.Unmarshal(entries[0], &first) != nil {
		return clientErrorf("the manifest %s must be a JSON array that begins with {\"prefix\": \"s3://bucket/folder/\"}", uri)
	}
	from, prefix, err := parseS3URI(first.Prefix)
	if err != nil {
		return clientErrorf("the manifest %s has the prefix %q, which is no s3:// URI", uri, first.Prefix)
	}
	root, err := openRoot(dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	for _, entry := range entries[1:] {
		var name string
		if err := json.Unmarshal(entry, &name); err != nil {
			return clientErrorf("the manifest %s holds %s where an object's name was expected", uri, truncate(string(entry), 100))
		}
		if err := s.downloadObject(ctx, root, from, prefix+name, name); err != nil {
			return err
		}
	}
	return nil
}

// mount finds the folder of a file system channel. The rules are the file systems' own: an EFS path begins at the root, a
// Lustre path with the mount name, and both must exist. The texts are SageMaker's.
func (s *Service) mount(d *types.FileSystemDataSource) (string, error) {
	refused := func(why string) error {
		return clientErrorf("ClientError: Unable to mount file system: %s, directory path: %s. %s", *d.FileSystemId, *d.DirectoryPath, why)
	}
	fs, ok := s.cfg.FileSystems[*d.FileSystemId]
	if !ok || fs.Type != string(d.FileSystemType) {
		s.log.Warn("a training job asks for a file system that is not configured", zap.String("file_system", *d.FileSystemId), zap.String("type", string(d.FileSystemType)))
		return "", refused("File system connection timed out. Please ensure that mount target IP address of file system is reachable and the security groups you associate with file system must allow inbound access on NFS port.")
	}
	missing := refused(fmt.Sprintf("No such file or directory: %s.", *d.DirectoryPath))
	below, ok := strings.CutPrefix(*d.DirectoryPath, "/")
	if !ok {
		return "", missing
	}
	if d.FileSystemType == types.FileSystemTypeFsxlustre {
		mountName := fs.MountName
		if mountName == "" {
			mountName = "fsx"
		}
		var first string
		if first, below, _ = strings.Cut(below, "/"); first != mountName {
			return "", missing
		}
	}
	dir := filepath.Join(fs.Dir, filepath.FromSlash(path.Clean("/"+below)))
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return "", missing
	}
	return dir, nil
}

// restoreCheckpoints brings earlier checkpoints back. Those of an earlier attempt that are still here are newer.
func (s *Service) restoreCheckpoints(ctx context.Context, in *sdk.CreateTrainingJobInput) error {
	if in.CheckpointConfig == nil {
		return nil
	}
	bucket, prefix, err := checkpointPrefix(in)
	if err != nil {
		return err
	}
	below, _ := underOptML(checkpointPath(in))
	_, err = s.downloadPrefix(ctx, bucket, prefix, filepath.Join(s.baseDir(*in.TrainingJobName), below), true)
	if isAPIError(err) || errors.As(err, new(*clientError)) {
		return clientErrorf("ClientError: Checkpoint download failed:%v", err)
	}
	return err
}

// checkpointPrefix is the S3 folder of a job's checkpoints; its key ends in a slash unless it is the whole bucket.
func checkpointPrefix(in *sdk.CreateTrainingJobInput) (bucket, prefix string, err error) {
	bucket, prefix, err = parseS3URI(aws.ToString(in.CheckpointConfig.S3Uri))
	if prefix != "" && !strings.HasSuffix(prefix, "/") {
		prefix += "/"
	}
	return bucket, prefix, err
}
