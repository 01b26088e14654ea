package spec

import (
	"cmp"
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
)

// Source is where a channel's bytes lie. It can only be made by S3Prefix, EFSDirectory and LustreDirectory, each of which
// knows the rule of its paths, so that a channel with a wrong one can't be written.
type Source struct {
	data  types.DataSource
	inVPC bool
}

var (
	s3URI        = regexp.MustCompile(`^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/.*$`)
	fileSystemID = regexp.MustCompile(`^fs-[0-9a-f]{8,17}$`)
	mountName    = regexp.MustCompile(`^[A-Za-z0-9_-]{1,8}$`)
)

// S3Prefix is every object whose key begins with the URI's key. A URI that ends in `/` is a folder.
func S3Prefix(uri string) (Source, error) {
	if !s3URI.MatchString(uri) || characters(uri) > maxURI || !oneLine(uri) {
		return Source{}, fmt.Errorf("S3 URI %q must be of the form s3://bucket/prefix, at most %d characters", shorten(uri), maxURI)
	}
	return Source{data: types.DataSource{S3DataSource: &types.S3DataSource{
		S3DataType:             types.S3DataTypeS3Prefix,
		S3Uri:                  aws.String(uri),
		S3DataDistributionType: types.S3DataDistributionFullyReplicated,
	}}}, nil
}

// EFSDirectory is a directory of an EFS file system. SageMaker counts its path from the file system's root, `/`. A path of FSx for Lustre,
// as documentation shows them with the mount name fsx, is refused: it is what stays behind when a dataset moves from Lustre to EFS.
func EFSDirectory(id, directory string) (Source, error) {
	if directory == "/fsx" || strings.HasPrefix(directory, "/fsx/") {
		return Source{}, fmt.Errorf(
			"path %q begins with fsx, the mount name of FSx for Lustre, which EFS has not: give the path from the file system's root, such as %q (a directory of that name must be renamed)",
			shorten(directory), cmp.Or(strings.TrimPrefix(directory, "/fsx"), "/"))
	}
	return fileSystem(types.FileSystemTypeEfs, id, directory, "")
}

// LustreDirectory is a directory of an FSx for Lustre file system, counted from its root. SageMaker wants the mount name as
// the path's first element; it is put there here and nowhere else.
func LustreDirectory(id, mount, directory string) (Source, error) {
	if !mountName.MatchString(mount) {
		return Source{}, fmt.Errorf(
			"mount_name %q must be the Lustre file system's MountName, 1 to 8 letters, digits, - or _, as `aws fsx describe-file-systems` shows it (it is fsx only on SCRATCH_1)", mount)
	}
	return fileSystem(types.FileSystemTypeFsxlustre, id, directory, mount)
}

func fileSystem(kind types.FileSystemType, id, directory, mount string) (Source, error) {
	if !fileSystemID.MatchString(id) {
		return Source{}, fmt.Errorf("file_system_id %q must look like fs-0123456789abcdef0", id)
	}
	if !strings.HasPrefix(directory, "/") || path.Clean(directory) != directory {
		return Source{}, fmt.Errorf("path %q must be the dataset's directory from the file system's root, such as /datasets/digits, without .. or a / at its end", directory)
	}
	if mount != "" {
		if directory == "/"+mount || strings.HasPrefix(directory, "/"+mount+"/") {
			return Source{}, fmt.Errorf("path %q begins with the mount name %s, which is added by itself; give the path within the file system", directory, mount)
		}
		directory = strings.TrimSuffix("/"+mount+directory, "/")
	}
	if n := characters(directory); n > maxDirectory || !oneLine(directory) {
		return Source{}, fmt.Errorf("path of %d characters must be of one line, at most the %d that SageMaker takes", n, maxDirectory)
	}
	return Source{inVPC: true, data: types.DataSource{FileSystemDataSource: &types.FileSystemDataSource{
		FileSystemType:       kind,
		FileSystemId:         aws.String(id),
		FileSystemAccessMode: types.FileSystemAccessModeRo,
		DirectoryPath:        aws.String(directory),
	}}}, nil
}
