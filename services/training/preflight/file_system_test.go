package preflight

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/trainyard/trainyard/services/training/region"
)

func TestFileSystemSupport(t *testing.T) {
	testNetwork(t, fileSystemSupportCheck(), []networkCase{
		{name: "EFS", want: Pass, seen: []string{"EFS in us-east-1, for $FS"}},
		{name: "EFS in China", region: china, want: Pass, seen: []string{"EFS in cn-north-1, for $FS"}},
		{name: "Lustre", breaks: func(_ testing.TB, w *networkWorld) { w.onLustre() }, want: Pass, seen: []string{"FSx for Lustre in us-east-1, for " + lustre}},
		{
			name: "Lustre in China", region: china, breaks: func(_ testing.TB, w *networkWorld) { w.onLustre() },
			want: Fail, seen: []string{"FSx for Lustre can't be used with SageMaker in cn-north-1, for " + lustre}, snippet: []string{`resource "aws_efs_file_system"`},
			prevents: "FSx for Lustre is currently not supported in the region cn-north-1 for SageMaker",
		},
	})
}

func TestFileSystemSupportByTheOperatorsTable(t *testing.T) {
	table, err := region.Parse([]byte("regions:\n  cn-north-1:\n    fsx_lustre: true\n    why: tried in May\n  us-east-1:\n    efs: false\n    why: forbidden here\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		inRegion string
		kind     types.FileSystemType
		want     Status
		seen     string
	}{
		{china, types.FileSystemTypeFsxlustre, Pass, "tried in May"},
		{global, types.FileSystemTypeEfs, Fail, "forbidden here"},
	} {
		w := newNetworkWorld(t, test.inRegion)
		w.base(test.kind, lustre, "/a1b2c3d4")
		subject := &Subject{Region: test.inRegion, Capabilities: table, Request: w.job}
		got, err := fileSystemSupportCheck().Run(t.Context(), &Clients{}, subject)
		if err != nil || got.Status != test.want || !strings.Contains(got.Seen, test.seen) {
			t.Errorf("%s in %s: %s (%s), %v, want %s with %q", test.kind, test.inRegion, got.Status, got.Seen, err, test.want, test.seen)
		}
	}
}

func TestFileSystemPath(t *testing.T) {
	onEFS := func(path string) func(testing.TB, *networkWorld) {
		return func(_ testing.TB, w *networkWorld) { w.base(types.FileSystemTypeEfs, w.FileSystem, path) }
	}
	onLustre := func(path string) func(testing.TB, *networkWorld) {
		return func(_ testing.TB, w *networkWorld) { w.base(types.FileSystemTypeFsxlustre, lustre, path) }
	}
	testNetwork(t, fileSystemPathCheck(), []networkCase{
		{name: "EFS", want: Pass, seen: []string{"/datasets/digits on EFS $FS begins at the file system's root", unprovable}},
		{name: "EFS's root", breaks: onEFS("/"), want: Pass},
		{name: "EFS, relative", breaks: onEFS("datasets/digits"), want: Fail, seen: []string{"doesn't begin with /"}, snippet: []string{`DirectoryPath = "/datasets/digits"`}},
		{
			name: "EFS, with Lustre's mount name", region: china, breaks: onEFS("/a1b2c3d4/datasets"), want: Fail,
			seen: []string{"begins with a1b2c3d4, the mount name of the Lustre file system " + lustre}, snippet: []string{`DirectoryPath = "/datasets"`},
		},
		{name: "EFS, with the first Lustre's mount name", breaks: onEFS("/fsx/datasets"), want: Warn, seen: []string{"begins with /fsx"}, snippet: []string{`DirectoryPath = "/datasets"`}},
		{
			name: "EFS, FSx not asked", want: Pass, seen: []string{"FSx wasn't asked", "fsx:DescribeFileSystems"},
			breaks: func(_ testing.TB, w *networkWorld) { w.fsx = deniedFSx{w.fsx} },
		},
		{
			name: "EFS where there is no FSx at all", want: Pass, seen: []string{"FSx wasn't asked"},
			breaks: func(_ testing.TB, w *networkWorld) { w.fsx = nil },
		},
		{name: "Lustre", breaks: onLustre("/a1b2c3d4/datasets"), want: Pass, seen: []string{"begins with its mount name a1b2c3d4", unprovable}},
		{name: "Lustre, all of it", breaks: onLustre("/a1b2c3d4"), want: Pass},
		{
			name: "Lustre without its mount name", breaks: onLustre("/datasets/digits"), want: Fail,
			seen: []string{"doesn't begin with its mount name a1b2c3d4"}, snippet: []string{`DirectoryPath = "/a1b2c3d4/datasets/digits"`},
			prevents: "ClientError: Unable to mount file system: " + lustre + ", directory path: /datasets/digits. No such file or directory: /datasets/digits.",
		},
		{name: "Lustre with a longer name", breaks: onLustre("/a1b2c3d4e/datasets"), want: Fail},
		{name: "Lustre by fsx", breaks: onLustre("/fsx/datasets"), want: Fail, seen: []string{"doesn't begin with its mount name a1b2c3d4"}},
	})
}
