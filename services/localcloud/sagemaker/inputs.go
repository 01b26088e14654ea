package sagemaker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"go.uber.org/zap"
)

// fetchInputs fills the channels' folders, and lists what the pipes of those in Pipe mode are to carry. A *clientError is
// the caller's to mend.
func (s *Service) fetchInputs(ctx context.Context, h *host, in *sdk.CreateTrainingJobInput) error {
	for i := range in.InputDataConfig {
		c := &in.InputDataConfig[i]
		dir := filepath.Join(h.base(), "input", "data", *c.ChannelName)
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
		if err := s.fetchS3(ctx, h, in, c, dir); err != nil {
			if isAPIError(err) || errors.As(err, new(*clientError)) {
				return clientErrorf("ClientError: Data download failed:%v", err)
			}
			return err
		}
	}
	return nil
}

func (s *Service) fetchS3(ctx context.Context, h *host, in *sdk.CreateTrainingJobInput, c *types.Channel, dir string) error {
	d := c.DataSource.S3DataSource
	index, count := 0, 1
	if d.S3DataDistributionType == types.S3DataDistributionShardedByS3Key {
		index, count = h.index, h.count
	}
	found := 0
	if inputMode(in, c) == types.TrainingInputModePipe {
		p := &pipe{stem: dir, index: index, count: count, gzip: c.CompressionType == types.CompressionTypeGzip}
		if c.ShuffleConfig != nil {
			p.seed = c.ShuffleConfig.Seed
		}
		for o, err := range s.objects(ctx, d) {
			if err != nil {
				return err
			}
			p.objects = append(p.objects, o)
		}
		found = len(p.objects)
		h.pipes = append(h.pipes, p)
		// The first pipe is there before the program is.
		if err := p.make(0); err != nil {
			return err
		}
	} else {
		var err error
		if found, err = s.download(ctx, share(s.objects(ctx, d), index, count), dir, false); err != nil {
			return err
		}
	}
	if found == 0 && index == 0 {
		bucket, _, err := parseS3URI(*d.S3Uri)
		return errors.Join(err, clientErrorf("%s", s.noObjects(in, *d.S3Uri, bucket)))
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
func (s *Service) restoreCheckpoints(ctx context.Context, h *host, in *sdk.CreateTrainingJobInput) error {
	if in.CheckpointConfig == nil {
		return nil
	}
	bucket, prefix, err := checkpointPrefix(in)
	if err != nil {
		return err
	}
	dir, kept := h.checkpoints(in), map[string]sentFile{}
	if err := walkFiles(dir, func(_, rel string, info fs.FileInfo) error {
		kept[rel] = sentFile{}
		return nil
	}); err != nil {
		return err
	}
	_, err = s.download(ctx, s.list(ctx, bucket, prefix), dir, true)
	if isAPIError(err) || errors.As(err, new(*clientError)) {
		return clientErrorf("ClientError: Checkpoint download failed:%v", err)
	}
	if err != nil {
		return err
	}
	h.restored = map[string]sentFile{}
	return walkFiles(dir, func(_, rel string, info fs.FileInfo) error {
		if _, own := kept[rel]; !own {
			h.restored[rel] = sentFile{info.Size(), info.ModTime()}
		}
		return nil
	})
}

// checkpointPrefix is the S3 folder of a job's checkpoints; its key ends in a slash unless it is the whole bucket.
func checkpointPrefix(in *sdk.CreateTrainingJobInput) (bucket, prefix string, err error) {
	bucket, prefix, err = parseS3URI(aws.ToString(in.CheckpointConfig.S3Uri))
	if prefix != "" && !strings.HasSuffix(prefix, "/") {
		prefix += "/"
	}
	return bucket, prefix, err
}
