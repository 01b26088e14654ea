package sagemaker_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/trainyard/trainyard/services/localcloud/sagemaker"
)

func TestFileSystems(t *testing.T) {
	t.Parallel()
	efs, lustre := t.TempDir(), t.TempDir()
	for _, dir := range []string{filepath.Join(efs, "base", "digits"), filepath.Join(lustre, "digits")} {
		must(t, os.MkdirAll(dir, 0o750))
		must(t, os.WriteFile(filepath.Join(dir, "shard"), []byte(dir), 0o600))
	}
	c := start(t, sagemaker.Config{MaxConcurrentJobs: 4, FileSystems: map[string]sagemaker.FileSystem{
		"fs-0123456789abcdef0": {Type: "EFS", Dir: efs},
		"fs-0123456789abcdef1": {Type: "FSxLustre", Dir: lustre, MountName: "abcdevmv"},
		"fs-0123456789abcdef2": {Type: "FSxLustre", Dir: lustre},
	}}, `cat input/data/base/shard > model/shard`)
	missing := "No such file or directory: PATH."
	timeout := "File system connection timed out. Please ensure that mount target IP address of file system is reachable and the security groups you associate with file system must allow inbound access on NFS port."
	for i, tc := range []struct {
		id, path string
		typ      types.FileSystemType
		want     string // the folder, or the reason after "directory path: PATH. "
	}{
		{"fs-0123456789abcdef0", "/base/digits", types.FileSystemTypeEfs, filepath.Join(efs, "base", "digits")},
		{"fs-0123456789abcdef0", "/base/digits/", types.FileSystemTypeEfs, filepath.Join(efs, "base", "digits")},
		{"fs-0123456789abcdef0", "/fsx/digits", types.FileSystemTypeEfs, missing},
		{"fs-0123456789abcdef0", "base/digits", types.FileSystemTypeEfs, missing},
		{"fs-0123456789abcdef0", "/base/digits/shard", types.FileSystemTypeEfs, missing},
		{"fs-0123456789abcdef0", "/../../../../../../etc", types.FileSystemTypeEfs, missing},
		{"fs-0123456789abcdef0", "/base/digits", types.FileSystemTypeFsxlustre, timeout},
		{"fs-0123456789abcdef9", "/base/digits", types.FileSystemTypeEfs, timeout},
		{"fs-0123456789abcdef1", "/abcdevmv/digits", types.FileSystemTypeFsxlustre, filepath.Join(lustre, "digits")},
		{"fs-0123456789abcdef1", "/fsx/digits", types.FileSystemTypeFsxlustre, missing},
		{"fs-0123456789abcdef1", "/digits", types.FileSystemTypeFsxlustre, missing},
		{"fs-0123456789abcdef1", "/abcdevmv/../digits", types.FileSystemTypeFsxlustre, filepath.Join(lustre, "digits")},
		{"fs-0123456789abcdef2", "/fsx/digits", types.FileSystemTypeFsxlustre, filepath.Join(lustre, "digits")},
	} {
		t.Run(string(tc.typ)+tc.path, func(t *testing.T) {
			name := "mount-" + string(rune('a'+i))
			in := request(name)
			in.VpcConfig = &types.VpcConfig{SecurityGroupIds: []string{"sg-1"}, Subnets: []string{"subnet-1"}}
			in.InputDataConfig = []types.Channel{fileSystemChannel(tc.id, tc.path, tc.typ)}
			c.create(in)
			d := c.awaitEnd(name)
			if filepath.IsAbs(tc.want) {
				same(t, "failure", aws.ToString(d.FailureReason), "")
				same(t, "folder", c.untar("models/" + name + "/output/model.tar.gz")["shard"], tc.want)
				return
			}
			want := "ClientError: Unable to mount file system: " + tc.id + ", directory path: " + tc.path + ". " + strings.ReplaceAll(tc.want, "PATH", tc.path)
			same(t, "failure", aws.ToString(d.FailureReason), want)
		})
	}
	if _, err := os.Stat(filepath.Join(efs, "base", "digits", "shard")); err != nil {
		t.Errorf("the file system lost its files with the job: %v", err)
	}
}

func fileSystemChannel(id, path string, typ types.FileSystemType) types.Channel {
	return types.Channel{ChannelName: aws.String("base"), DataSource: &types.DataSource{FileSystemDataSource: &types.FileSystemDataSource{
		FileSystemId: &id, DirectoryPath: &path, FileSystemType: typ, FileSystemAccessMode: types.FileSystemAccessModeRo,
	}}}
}

func TestInputs(t *testing.T) {
	t.Parallel()
	c := start(t, sagemaker.Config{}, `cd input/data/train; for f in $(find . -type f | sort); do echo "$f=$(cat $f)"; done > ../../../model/list`)
	for key, body := range map[string]string{
		"in/d-train.tfrecord-00000-of-00002": "a", "in/d-train.tfrecord-00001-of-00002": "b", "in/d-test.tfrecord-00000-of-00001": "c",
		"in/manifest": `[{"prefix": "s3://trainyard/in/"}, "d-test.tfrecord-00000-of-00001", "deep/x"]`, "in/deep/x": "d",
		"in/escape": `[{"prefix": "s3://trainyard/in/"}, "../d-test"]`, "in/broken": `{"prefix": 1}`,
		"in/lost": `[{"prefix": "s3://trainyard/in/"}, "gone"]`,
	} {
		c.put(key, body)
	}
	for _, tc := range []struct {
		name, uri string
		typ       types.S3DataType
		want      string // the list, or the beginning of the reason
	}{
		{"shards-of-a-split", "in/d-train.tfrecord", types.S3DataTypeS3Prefix, "./d-train.tfrecord-00000-of-00002=a\n./d-train.tfrecord-00001-of-00002=b\n"},
		{"one-object", "in/deep/x", types.S3DataTypeS3Prefix, "./x=d\n"},
		{"manifest", "in/manifest", types.S3DataTypeManifestFile, "./d-test.tfrecord-00000-of-00001=c\n./deep/x=d\n"},
		{"escaping-manifest", "in/escape", types.S3DataTypeManifestFile, "ClientError: Data download failed:the key"},
		{"broken-manifest", "in/broken", types.S3DataTypeManifestFile, "ClientError: Data download failed:the manifest"},
		{"lost-object", "in/lost", types.S3DataTypeManifestFile, "ClientError: Data download failed:s3://trainyard/in/gone: operation error S3: GetObject"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			in := request("in-" + tc.name)
			in.InputDataConfig = []types.Channel{s3Channel("train", "s3://trainyard/"+tc.uri)}
			in.InputDataConfig[0].DataSource.S3DataSource.S3DataType = tc.typ
			c.create(in)
			d := c.awaitEnd(*in.TrainingJobName)
			if strings.HasPrefix(tc.want, "ClientError") {
				if !strings.HasPrefix(aws.ToString(d.FailureReason), tc.want) {
					t.Errorf("reason %q, want %q", aws.ToString(d.FailureReason), tc.want)
				}
				return
			}
			same(t, "failure", aws.ToString(d.FailureReason), "")
			same(t, "files", c.untar("models/in-" + tc.name + "/output/model.tar.gz")["list"], tc.want)
		})
	}
}

func TestCheckpointsAreSyncedAndRestored(t *testing.T) {
	t.Parallel()
	c := start(t, sagemaker.Config{CheckpointInterval: 10 * time.Millisecond}, `
		cd checkpoints
		echo "found $(cat epoch-1/weights 2>/dev/null)"
		mkdir -p epoch-1
		echo "$TRAINING_JOB_NAME" > epoch-1/weights
		echo written
		while [ ! -e "$GO" ]; do sleep 0.01; done
		echo last > last`)
	gate := filepath.Join(t.TempDir(), "go")
	in := request("checkpoint-1")
	in.Environment = map[string]string{"GO": gate}
	in.CheckpointConfig = &types.CheckpointConfig{S3Uri: aws.String("s3://trainyard/sync/checkpoints")}
	in.OutputDataConfig.CompressionType = types.OutputCompressionTypeNone
	c.create(in)
	c.awaitLog("checkpoint-1", "written")
	// While the job still trains, its checkpoint is safe.
	for deadline := time.Now().Add(patience); len(c.keys("sync/")) == 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no checkpoint came to S3")
		}
	}
	must(t, os.WriteFile(gate, nil, 0o600))
	c.awaitEnd("checkpoint-1")
	same(t, "keys", c.keys("sync/checkpoints/"), []string{"epoch-1/weights", "last"})

	in.TrainingJobName = aws.String("checkpoint-2")
	c.create(in)
	c.awaitEnd("checkpoint-2")
	same(t, "log", c.log("checkpoint-2")[0], "found checkpoint-1")
	same(t, "last", string(c.get("sync/checkpoints/epoch-1/weights")), "checkpoint-2\n")
}

func TestUncompressedOutput(t *testing.T) {
	t.Parallel()
	c := start(t, sagemaker.Config{}, `mkdir model/1; echo a > model/1/a; echo b > model/b; ln -s b model/link`)
	in := request("plain")
	in.OutputDataConfig.CompressionType = types.OutputCompressionTypeNone
	c.create(in)
	d := c.awaitEnd("plain")
	same(t, "artifacts", aws.ToString(d.ModelArtifacts.S3ModelArtifacts), "s3://trainyard/models/plain/output/model/")
	same(t, "keys", c.keys("models/plain/output/"), []string{"model/1/a", "model/b"})
}

func TestLargeModelGoesUpInParts(t *testing.T) {
	t.Parallel()
	c := start(t, sagemaker.Config{}, `head -c 70000001 /dev/urandom > model/big; sha256sum < model/big`)
	in := request("large")
	in.OutputDataConfig.CompressionType = types.OutputCompressionTypeNone
	c.create(in)
	same(t, "failure", aws.ToString(c.awaitEnd("large").FailureReason), "")
	sum, _, _ := strings.Cut(c.log("large")[0], " ")
	same(t, "digest", fmt.Sprintf("%x", sha256.Sum256(c.get("models/large/output/model/big"))), sum)
}
