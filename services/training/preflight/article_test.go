package preflight

import (
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/trainyard/trainyard/services/training/preflight/mototest"
)

// The failures that a team met one after the other, each after it had cost, when it moved its training from a global region to China. Each
// must be seen beforehand, by its check alone, with SageMaker's own words; and gone when it is mended as told.

type articleFailure struct {
	check    string
	breaks   func(t testing.TB, w *networkWorld)
	status   Status // Fail if empty.
	prevents string // $NAME is an id of the world.
	mend     func(t testing.TB, w *networkWorld)
}

func testArticle(t *testing.T, a articleFailure) {
	t.Helper()
	t.Parallel()
	w := newNetworkWorld(t, china)
	a.breaks(t, w)
	want := a.status
	if want == "" {
		want = Fail
	}
	for _, c := range networkChecks() {
		got := w.run(t, c)
		switch {
		case c.Name != a.check && (got.Status == Fail || got.Status == Warn):
			t.Errorf("%s: %s, though nothing is wrong there: %s", c.Name, got.Status, got.Seen)
		case c.Name == a.check && got.Status != want:
			t.Errorf("%s: %s, want %s; seen: %s", c.Name, got.Status, want, got.Seen)
		case c.Name == a.check:
			if prevents := w.names().Replace(a.prevents); got.Prevents != prevents {
				t.Errorf("it prevents %q, want %q", got.Prevents, prevents)
			}
			if got.Mend == "" || got.Snippet == "" {
				t.Errorf("it has no mend (%q) or no snippet (%q)", got.Mend, got.Snippet)
			}
		}
	}

	a.mend(t, w)

	mended := w.run(t, networkCheck(a.check))
	if mended.Status != Pass {
		t.Errorf("mended, %s: %s", mended.Status, mended.Seen)
	}
}

func networkCheck(name string) Check {
	all := networkChecks()
	return all[slices.IndexFunc(all, func(c Check) bool { return c.Name == name })]
}

const articleMountTimesOut = "ClientError: Unable to mount file system: $FS, directory path: /datasets/digits. File system connection timed out. " +
	"Please ensure that mount target IP address of file system is reachable and the security groups you associate with file system must allow inbound access on NFS port."

func TestArticleFSxUnsupportedInTheRegion(t *testing.T) {
	testArticle(t, articleFailure{
		check: "file-system-support",
		breaks: func(t testing.TB, w *networkWorld) {
			w.onLustre()
			w.trustLustre(t)
		},
		prevents: "FSx for Lustre is currently not supported in the region cn-north-1 for SageMaker",
		mend:     func(_ testing.TB, w *networkWorld) { w.base(types.FileSystemTypeEfs, w.FileSystem, "/datasets/digits") },
	})
}

func TestArticleEFSPort2049Shut(t *testing.T) {
	testArticle(t, articleFailure{
		check: "efs-security",
		breaks: func(t testing.TB, w *networkWorld) {
			w.Forbid(t, w.FileSystemGroup, mototest.FromGroup("tcp", 2049, 2049, w.JobGroup))
		},
		prevents: articleMountTimesOut,
		mend: func(t testing.TB, w *networkWorld) {
			w.Allow(t, w.FileSystemGroup, mototest.FromGroup("tcp", 2049, 2049, w.JobGroup))
		},
	})
}

// The team's path was /efs/mtk: it had been right where Lustre's mount name was efs. On EFS there is no such folder, which nothing but a look
// inside can prove; so it is a warning.
func TestArticleEFSDirectoryMissingByLustresPath(t *testing.T) {
	testArticle(t, articleFailure{
		check:    "file-system-path",
		breaks:   func(_ testing.TB, w *networkWorld) { w.base(types.FileSystemTypeEfs, w.FileSystem, "/efs/mtk") },
		status:   Warn,
		prevents: "ClientError: Unable to mount file system: $FS, directory path: /efs/mtk. No such file or directory: /efs/mtk.",
		mend:     func(_ testing.TB, w *networkWorld) { w.base(types.FileSystemTypeEfs, w.FileSystem, "/mtk") },
	})
}

// A folder that may be there or not passes, and the result says that it isn't proven.
func TestArticleEFSDirectoryMissingIsNotClaimedToExist(t *testing.T) {
	w := newNetworkWorld(t, china)
	w.base(types.FileSystemTypeEfs, w.FileSystem, "/nobody/made/this")
	got := w.run(t, fileSystemPathCheck())
	if got.Status != Pass || !strings.Contains(got.Seen, unprovable) {
		t.Errorf("%s (%s), want PASS that says %q", got.Status, got.Seen, unprovable)
	}
}

func TestArticlePrivateSubnetWithNoS3Route(t *testing.T) {
	testArticle(t, articleFailure{
		check:    "s3-route",
		breaks:   func(t testing.TB, w *networkWorld) { w.RemoveS3Endpoint(t) },
		prevents: noWayToS3,
		mend: func(t testing.TB, w *networkWorld) {
			service := "com.amazonaws.cn-north-1.s3"
			mustDo(w.EC2.CreateVpcEndpoint(t.Context(), &ec2.CreateVpcEndpointInput{
				VpcId: &w.VPC, ServiceName: &service, VpcEndpointType: ec2types.VpcEndpointTypeGateway, RouteTableIds: []string{w.PrivateTable},
			}))(t)
		},
	})
}

func TestArticleS3EgressShut(t *testing.T) {
	testArticle(t, articleFailure{
		check: "s3-egress",
		breaks: func(t testing.TB, w *networkWorld) {
			w.OnlyOut(t, w.JobGroup, mototest.FromGroup("tcp", 2049, 2049, w.FileSystemGroup))
		},
		prevents: noWayToS3,
		mend: func(t testing.TB, w *networkWorld) {
			mustDo(w.EC2.AuthorizeSecurityGroupEgress(t.Context(), &ec2.AuthorizeSecurityGroupEgressInput{
				GroupId: &w.JobGroup, IpPermissions: []ec2types.IpPermission{mototest.FromPrefixList("tcp", 443, 443, w.S3PrefixList)},
			}))(t)
		},
	})
}
