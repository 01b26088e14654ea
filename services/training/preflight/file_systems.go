package preflight

import (
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
)

// mount is a folder of a file system that the job mounts for a channel.
type mount struct{ channel, id, path string }

// mounts are those of a type, a channel each.
func (s *Subject) mounts(kind types.FileSystemType) []mount {
	var all []mount
	for _, ch := range s.Request.InputDataConfig {
		if ch.DataSource == nil || ch.DataSource.FileSystemDataSource == nil || ch.DataSource.FileSystemDataSource.FileSystemType != kind {
			continue
		}
		source := ch.DataSource.FileSystemDataSource
		all = append(all, mount{aws.ToString(ch.ChannelName), aws.ToString(source.FileSystemId), aws.ToString(source.DirectoryPath)})
	}
	return all
}

// SageMaker's words when a folder can't be mounted.
func mountTimesOut(m mount) string {
	return fmt.Sprintf("ClientError: Unable to mount file system: %s, directory path: %s. File system connection timed out. Please ensure that mount target IP address of file system is reachable and the security groups you associate with file system must allow inbound access on NFS port.", m.id, m.path)
}

func noSuchFolder(m mount) string {
	return fmt.Sprintf("ClientError: Unable to mount file system: %s, directory path: %s. No such file or directory: %s.", m.id, m.path, m.path)
}
