package basedataset_test

import (
	"strings"
	"testing"

	"github.com/trainyard/trainyard/services/training/internal/basedataset"
)

func TestParseIsStrict(t *testing.T) {
	tests := map[string]struct {
		text string
		says string // Empty when it is good.
	}{
		"nothing":         {"", ""},
		"EFS":             {"- {id: a, storage: efs, file_system_id: fs-00000001, path: /digits, labels: ['0', '1'], example_count: 20000}", ""},
		"Lustre":          {"- {id: a, storage: fsx-lustre, file_system_id: fs-00000001, mount_name: abcdefgh, path: /digits, region: us-east-1}", ""},
		"JSON, S3":        {`[{"id": "a", "storage": "s3", "uri": "s3://bucket/base/"}]`, ""},
		"unknown key":     {"- {id: a, storage: s3, uri: s3://bucket/base/, lables: ['0']}", "lables"},
		"unknown storage": {"- {id: a, storage: nfs}", "one of s3, efs, fsx-lustre"},
		"no storage":      {"- {id: a}", "one of s3, efs, fsx-lustre"},
		"bad id":          {"- {id: A, storage: s3, uri: s3://bucket/base/}", "begin with a letter"},
		"taken channel":   {"- {id: train, storage: s3, uri: s3://bucket/base/}", "choose another"},
		"same id":         {"[{id: a, storage: s3, uri: s3://bucket/a/}, {id: a, storage: s3, uri: s3://bucket/b/}]", "twice"},
		"other region":    {"- {id: a, storage: s3, uri: s3://bucket/base/, region: eu-west-1}", ""},
		"no region":       {"- {id: a, storage: s3, uri: s3://bucket/base/, region: Beijing}", "such as us-east-1"},
		"locations": {"- {id: a, locations: [{region: cn-north-1, storage: efs, file_system_id: fs-00000001, path: /a}, {storage: s3, uri: s3://bucket/a/}]," +
			" size_bytes: 5, file_count: 2, mix_ratio: 0.3, features: {image: Image, label: ClassLabel}, manifest_sha256: " + strings.Repeat("0a", 32) + "}", ""},
		"location and locations": {"- {id: a, storage: s3, locations: [{storage: s3, uri: s3://bucket/a/}]}", "put that into locations"},
		"location twice":         {"- {id: a, locations: [{storage: s3, uri: s3://bucket/a/}, {region: us-east-1, storage: s3, uri: s3://bucket/a/}]}", "location 2 is given twice"},
		"bad location":           {"- {id: a, locations: [{storage: s3, uri: s3://bucket/a/}, {storage: efs, path: /a}]}", "fs-0123456789abcdef0"},
		"key in a location":      {"- {id: a, locations: [{storage: s3, uri: s3://bucket/a/, acces: rw}]}", "acces"},
		"access mode":            {"- {id: a, storage: s3, uri: s3://bucket/a/, access_mode: rw}", "access_mode"},
		"version's channel":      {"- {id: version-2, storage: s3, uri: s3://bucket/base/}", "choose another"},
		"mix beyond 1":           {"- {id: a, storage: s3, uri: s3://bucket/base/, mix_ratio: 1.01}", "from 0 to 1"},
		"mix that is no number":  {"- {id: a, storage: s3, uri: s3://bucket/base/, mix_ratio: .nan}", "from 0 to 1"},
		"negative size":          {"- {id: a, storage: s3, uri: s3://bucket/base/, size_bytes: -1}", "negative"},
		"negative files":         {"- {id: a, storage: s3, uri: s3://bucket/base/, file_count: -1}", "negative"},
		"a digest in capitals":   {"- {id: a, storage: s3, uri: s3://bucket/base/, manifest_sha256: " + strings.Repeat("0A", 32) + "}", "64 hex digits"},
		"a digest of no folder":  {"- {id: a, storage: s3, uri: s3://bucket/base, manifest_sha256: " + strings.Repeat("0a", 32) + "}", "must end in /"},
		"a feature's class":      {"- {id: a, storage: s3, uri: s3://bucket/base/, features: {image: ''}}", "Image or ClassLabel"},
		"EFS with mount":         {"- {id: a, storage: efs, file_system_id: fs-00000001, mount_name: fsx, path: /fsx/digits}", "mount_name to fsx-lustre"},
		"EFS with uri":           {"- {id: a, storage: efs, file_system_id: fs-00000001, path: /a, uri: s3://bucket/base/}", "uri belongs to storage s3"},
		"S3 with path":           {"- {id: a, storage: s3, uri: s3://bucket/base/, path: /a}", "belong to file systems"},
		"bad uri":                {"- {id: a, storage: s3, uri: https://bucket/base/}", "s3://bucket/prefix"},
		"label twice":            {"- {id: a, storage: s3, uri: s3://bucket/base/, labels: [x, x]}", "twice"},
		"empty label":            {"- {id: a, storage: s3, uri: s3://bucket/base/, labels: ['']}", "one line"},
		"negative count":         {"- {id: a, storage: s3, uri: s3://bucket/base/, example_count: -1}", "negative"},
		"empty entry":            {"[null]", "empty"},
		"not a list":             {"id: a", "cannot unmarshal"},
		"a second mapping":       {"- {id: a, storage: s3, uri: s3://bucket/base/}\n---\n- {id: b}", "one document"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := basedataset.Parse([]byte(test.text), "us-east-1")
			if test.says == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Fatalf("got %v; want it refused, saying %q", err, test.says)
			}
		})
	}
}
