package preflight

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/fsx"
	fsxtypes "github.com/aws/aws-sdk-go-v2/service/fsx/types"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
)

// unprovable is said with every path that looks right: no call of AWS tells what is inside a file system.
const unprovable = "that the folder exists can't be seen from outside; the trainer compares it with its manifest before it trains"

// fileSystemPathCheck looks whether the folders can be right by the rule of each type of file system.
func fileSystemPathCheck() Check {
	return Check{Name: "file-system-path", Title: "Folders on file systems", Run: runFileSystemPath}
}

func runFileSystemPath(ctx context.Context, c *Clients, s *Subject) (Result, error) {
	onLustre, onEFS := s.mounts(types.FileSystemTypeFsxlustre), s.mounts(types.FileSystemTypeEfs)
	all := slices.Concat(onLustre, onEFS)
	if len(all) == 0 {
		return skipped("the job uses no file system")
	}
	var f findings
	prevents := noSuchFolder(all[0])
	look := func(m mount, one func()) {
		before := f.status
		one()
		if f.status != before {
			prevents = noSuchFolder(m)
		}
	}
	for _, m := range onLustre {
		name, err := mountName(ctx, c, m.id)
		if err != nil {
			return f.result(prevents), err
		}
		look(m, func() { lustrePath(&f, m, name) })
	}
	if len(onEFS) > 0 {
		names, unknown := mountNames(ctx, c)
		for _, m := range onEFS {
			look(m, func() { efsPath(&f, m, names) })
		}
		if unknown != nil {
			f.ok("FSx wasn't asked for mount names that the paths could begin with: %s", skip(unknown, s.Region).Seen)
		}
	}
	f.ok(unprovable)
	return f.result(prevents), nil
}

func lustrePath(f *findings, m mount, mountName string) {
	at := fmt.Sprintf("channel %q: %s on Lustre %s", m.channel, m.path, m.id)
	switch {
	case mountName == "":
		f.warn(at+": FSx tells no mount name of it", "begin the path with the file system's MountName", "aws fsx describe-file-systems --file-system-ids "+m.id+" --query 'FileSystems[].LustreConfiguration.MountName'")
	case m.path == "/"+mountName || strings.HasPrefix(m.path, "/"+mountName+"/"):
		f.ok("%s begins with its mount name %s", at, mountName)
	default:
		right := "/" + mountName + "/" + strings.TrimLeft(m.path, "/")
		f.fail(fmt.Sprintf("%s doesn't begin with its mount name %s", at, mountName), "begin the path with the mount name: "+right, fmt.Sprintf("DirectoryPath = %q", right))
	}
}

// machinePaths are where file systems are usually mounted on machines; inside the file system these folders are rare.
var machinePaths = []string{"fsx", "efs", "mnt"}

func efsPath(f *findings, m mount, lustre map[string]string) {
	at := fmt.Sprintf("channel %q: %s on EFS %s", m.channel, m.path, m.id)
	first, rest, _ := strings.Cut(strings.TrimPrefix(m.path, "/"), "/")
	inside := "/" + rest
	switch {
	case !strings.HasPrefix(m.path, "/"):
		f.fail(at+" doesn't begin with /", "give the path from the file system's root", fmt.Sprintf("DirectoryPath = %q", "/"+m.path))
	case first != "" && lustre[first] != "":
		f.fail(fmt.Sprintf("%s begins with %s, the mount name of the Lustre file system %s; EFS has none, its root is /", at, first, lustre[first]),
			"leave the mount name out; should the folder really be called so, override this check", fmt.Sprintf("DirectoryPath = %q", inside))
	case slices.Contains(machinePaths, first):
		f.warn(fmt.Sprintf("%s begins with /%s, which looks like where Lustre or a machine has its mount point; EFS has none, its root is /", at, first),
			"give the path from the file system's root, unless the folder is really called so", fmt.Sprintf("DirectoryPath = %q", inside))
	default:
		f.ok("%s begins at the file system's root", at)
	}
}

// mountName is that of a Lustre file system, or "" where FSx doesn't tell.
func mountName(ctx context.Context, c *Clients, id string) (string, error) {
	client, err := c.fsx()
	if err != nil {
		return "", err
	}
	out, err := client.DescribeFileSystems(ctx, &fsx.DescribeFileSystemsInput{FileSystemIds: []string{id}})
	if err != nil || len(out.FileSystems) == 0 {
		return "", err
	}
	return lustreName(&out.FileSystems[0]), nil
}

// mountNames gives the ids of all Lustre file systems of the region by mount name.
func mountNames(ctx context.Context, c *Clients) (map[string]string, error) {
	client, err := c.fsx()
	if err != nil {
		return nil, err
	}
	names := map[string]string{}
	pages := fsx.NewDescribeFileSystemsPaginator(client, &fsx.DescribeFileSystemsInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for i := range page.FileSystems {
			if name := lustreName(&page.FileSystems[i]); name != "" {
				names[name] = aws.ToString(page.FileSystems[i].FileSystemId)
			}
		}
	}
	return names, nil
}

func lustreName(fs *fsxtypes.FileSystem) string {
	if fs.LustreConfiguration == nil {
		return ""
	}
	return aws.ToString(fs.LustreConfiguration.MountName)
}
