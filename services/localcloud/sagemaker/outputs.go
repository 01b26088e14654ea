package sagemaker

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
	"github.com/klauspost/compress/gzip"
	"go.uber.org/zap"
)

// uploadOutputs puts the program's model and output data to S3 and returns the model's URI. It may be done again after a
// crash and then overwrites. A failed job has output data only.
func (s *Service) uploadOutputs(ctx context.Context, in *sdk.CreateTrainingJobInput, kind outcomeKind) (string, error) {
	bucket, prefix, err := parseS3URI(*in.OutputDataConfig.S3OutputPath)
	if err != nil {
		return "", err
	}
	if prefix = strings.TrimSuffix(prefix, "/"); prefix != "" {
		prefix += "/"
	}
	prefix += *in.TrainingJobName + "/output/"
	hosts := s.hosts(in)
	if _, err := s.uploadDirs(ctx, in, hosts, filepath.Join("output", "data"), bucket, prefix, "output"); err != nil {
		return "", err
	}
	if kind == failed {
		return "", nil
	}
	key, err := s.uploadDirs(ctx, in, hosts, "model", bucket, prefix, "model")
	return "s3://" + bucket + "/" + key, err
}

// uploadDirs puts a folder of all hosts to S3, as one NAME.tar.gz or, where the job asks for no compression, as files under
// NAME/, and returns the key. Of files of one name the first host's is taken. Empty folders make no object.
func (s *Service) uploadDirs(ctx context.Context, in *sdk.CreateTrainingJobInput, hosts []host, folder, bucket, prefix, name string) (string, error) {
	plain := in.OutputDataConfig.CompressionType == types.OutputCompressionTypeNone
	key := prefix + name + ".tar.gz"
	if plain {
		key = prefix + name + "/"
	}
	var dirs []string
	for i := range hosts {
		dir := filepath.Join(hosts[i].base(), folder)
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return key, err
		}
		if len(entries) > 0 {
			dirs = append(dirs, dir)
		}
	}
	if len(dirs) == 0 {
		return key, nil
	}
	if plain {
		taken := map[string]bool{}
		for _, dir := range dirs {
			if err := walkFiles(dir, func(path, rel string, _ fs.FileInfo) error {
				if taken[rel] {
					return nil
				}
				taken[rel] = true
				return s.upload(ctx, path, bucket, key+rel)
			}); err != nil {
				return key, err
			}
		}
		return key, nil
	}
	archive := filepath.Join(s.jobDir(*in.TrainingJobName), name+".tar.gz")
	if err := writeTarGz(archive, dirs); err != nil {
		return key, err
	}
	return key, s.upload(ctx, archive, bucket, key)
}

// walkFiles calls f for each regular file below dir with its path and its slash-separated name. Links are not followed,
// and a file that goes away meanwhile is passed over.
func walkFiles(dir string, f func(path, rel string, info fs.FileInfo) error) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil {
			err = f(path, filepath.ToSlash(rel), info)
		}
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return err
	})
}

// writeTarGz packs what lies below the folders: folders, files, and links as links. Of one name the first is taken.
func writeTarGz(archive string, dirs []string) (err error) {
	f, err := os.Create(archive) //nolint:gosec // The path is under the job's own folder.
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	zip := gzip.NewWriter(f)
	pack := tar.NewWriter(zip)
	taken := map[string]bool{}
	for _, dir := range dirs {
		err = errors.Join(err, packDir(pack, dir, taken))
	}
	return errors.Join(err, pack.Close(), zip.Close())
}

func packDir(pack *tar.Writer, dir string, taken map[string]bool) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		link := ""
		if info.Mode()&fs.ModeSymlink != 0 {
			if link, err = os.Readlink(path); err != nil {
				return err
			}
		} else if !info.IsDir() && !info.Mode().IsRegular() {
			return nil // Sockets and pipes are of no use elsewhere.
		}
		header, err := tar.FileInfoHeader(info, link)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		header.Name = filepath.ToSlash(rel)
		if taken[header.Name] {
			return nil
		}
		taken[header.Name] = true
		if info.IsDir() {
			header.Name += "/"
		}
		header.Uname, header.Gname = "", "" // The name of the account here is nobody's concern.
		if err := pack.WriteHeader(header); err != nil || !info.Mode().IsRegular() {
			return err
		}
		return copyFile(pack, path)
	})
}

func copyFile(w io.Writer, path string) error {
	f, err := os.Open(path) //nolint:gosec // The path is under the job's own folder.
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	_, err = io.Copy(w, f)
	return err
}

// checkpointSync copies a host's new and changed checkpoint files to S3. Files are never deleted there, as on SageMaker.
type checkpointSync struct {
	service        *Service
	dir            string
	bucket, prefix string
	sent           map[string]sentFile
}

type sentFile struct {
	size     int64
	modified time.Time
}

// newCheckpointSync returns nil if the job has no CheckpointConfig.
func (s *Service) newCheckpointSync(h *host, in *sdk.CreateTrainingJobInput) (*checkpointSync, error) {
	if in.CheckpointConfig == nil {
		return nil, nil //nolint:nilnil // No sync is a value of its own: its methods do nothing.
	}
	bucket, prefix, err := checkpointPrefix(in)
	if err != nil {
		return nil, err
	}
	return &checkpointSync{service: s, dir: h.checkpoints(in), bucket: bucket, prefix: prefix, sent: h.restored}, nil
}

func (c *checkpointSync) sync(ctx context.Context) error {
	if c == nil {
		return nil
	}
	return walkFiles(c.dir, func(path, rel string, info fs.FileInfo) error {
		now := sentFile{info.Size(), info.ModTime()}
		if c.sent[rel] == now {
			return nil
		}
		if err := c.service.upload(ctx, path, c.bucket, c.prefix+rel); err != nil {
			return err
		}
		c.sent[rel] = now
		return nil
	})
}

// run syncs until ctx ends. An S3 that is away for a while delays checkpoints; it must not end a training.
func (c *checkpointSync) run(ctx context.Context, every time.Duration) {
	if c == nil {
		return
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := c.sync(ctx); err != nil && ctx.Err() == nil {
				c.service.log.Warn("checkpoint sync", zap.String("dir", c.dir), zap.Error(err))
			}
		}
	}
}
