package preflight

import (
	"testing"

	fsxtypes "github.com/aws/aws-sdk-go-v2/service/fsx/types"

	"github.com/trainyard/trainyard/services/training/preflight/mototest"
)

// trustLustre lets Lustre through between the job, the file system and itself.
func (w *networkWorld) trustLustre(t testing.TB) {
	t.Helper()
	for group, others := range map[string][]string{w.lustreGroup: {w.lustreGroup, w.JobGroup}, w.JobGroup: {w.lustreGroup}} {
		for _, other := range others {
			w.Allow(t, group, mototest.FromGroup("tcp", 988, 988, other), mototest.FromGroup("tcp", 1018, 1023, other))
		}
	}
}

func TestLustreSecurity(t *testing.T) {
	testNetwork(t, lustreSecurityCheck(), []networkCase{
		{
			name: "groups that trust each other",
			breaks: func(t testing.TB, w *networkWorld) {
				w.onLustre()
				w.trustLustre(t)
			},
			want: Pass, seen: []string{"988/tcp", "1018-1023/tcp", "$LUSTREGROUP", "$JOB"},
		},
		{
			name: "the job has the file system's group",
			breaks: func(t testing.TB, w *networkWorld) {
				w.onLustre()
				w.job.VpcConfig.SecurityGroupIds = []string{w.lustreGroup}
				w.Allow(t, w.lustreGroup, mototest.FromGroup("tcp", 0, 65535, w.lustreGroup))
			},
			want: Pass,
		},
		{
			name:     "nothing let in",
			breaks:   func(_ testing.TB, w *networkWorld) { w.onLustre() },
			want:     Fail,
			seen:     []string{"groups of fs-0123456789abcdef0 ($LUSTREGROUP) don't let 988/tcp in from subnet $A", "don't let 1018-1023/tcp in from"},
			snippet:  []string{`security_group_id            = "$LUSTREGROUP"`, `referenced_security_group_id = "$JOB"`, "from_port                    = 1018"},
			prevents: "ClientError: Unable to mount file system: fs-0123456789abcdef0, directory path: /a1b2c3d4/datasets/digits. File system connection timed out. Please ensure that mount target IP address of file system is reachable and the security groups you associate with file system must allow inbound access on NFS port.",
		},
		{
			name: "the servers can't reach each other",
			breaks: func(t testing.TB, w *networkWorld) {
				w.onLustre()
				w.trustLustre(t)
				w.Forbid(t, w.lustreGroup, mototest.FromGroup("tcp", 988, 988, w.lustreGroup))
			},
			want: Fail, seen: []string{"($LUSTREGROUP) don't let 988/tcp in from fs-0123456789abcdef0"}, snippet: []string{`referenced_security_group_id = "$LUSTREGROUP"`},
		},
		{
			name: "one port of the range is shut",
			breaks: func(t testing.TB, w *networkWorld) {
				w.onLustre()
				w.trustLustre(t)
				w.Forbid(t, w.lustreGroup, mototest.FromGroup("tcp", 1018, 1023, w.JobGroup))
				w.Allow(t, w.lustreGroup, mototest.FromGroup("tcp", 1018, 1020, w.JobGroup), mototest.FromGroup("tcp", 1022, 1023, w.JobGroup))
			},
			want: Fail, seen: []string{"don't let 1021/tcp in from"},
		},
		{
			name: "the job lets the servers in nowhere",
			breaks: func(t testing.TB, w *networkWorld) {
				w.onLustre()
				w.trustLustre(t)
				w.Forbid(t, w.JobGroup, mototest.FromGroup("tcp", 988, 988, w.lustreGroup))
			},
			want: Fail, seen: []string{"groups of the job ($JOB) don't let 988/tcp in from fs-0123456789abcdef0"},
		},
		{
			name: "the job may send nothing", region: china,
			breaks: func(t testing.TB, w *networkWorld) {
				w.onLustre()
				w.trustLustre(t)
				w.OnlyOut(t, w.JobGroup, mototest.FromCIDR("tcp", 443, 443, "0.0.0.0/0"))
			},
			want: Fail, seen: []string{"groups of the job ($JOB) don't let 988/tcp out to fs-0123456789abcdef0"}, snippet: []string{"aws_vpc_security_group_egress_rule"},
		},
		{
			name: "the file system may send nothing",
			breaks: func(t testing.TB, w *networkWorld) {
				w.onLustre()
				w.trustLustre(t)
				w.OnlyOut(t, w.lustreGroup)
			},
			want: Fail, seen: []string{"($LUSTREGROUP) don't let 988/tcp out to"},
		},
		{
			name: "the world is let in",
			breaks: func(t testing.TB, w *networkWorld) {
				w.onLustre()
				for _, group := range []string{w.lustreGroup, w.JobGroup} {
					w.Allow(t, group, mototest.FromCIDR("tcp", 0, 65535, "0.0.0.0/0"))
				}
			},
			want: Warn, seen: []string{"$LUSTREGROUP lets in 0.0.0.0/0, which is too wide"}, snippet: []string{`referenced_security_group_id = "$JOB"`},
		},
		{
			name: "FSx names no interfaces",
			breaks: func(_ testing.TB, w *networkWorld) {
				w.onLustre()
				w.fsx = &fakeFSx{Systems: []fsxtypes.FileSystem{{FileSystemId: ptr(lustre)}}}
			},
			want: Warn, seen: []string{"names no network interfaces"},
		},
	})
}

func ptr[T any](v T) *T { return &v }
