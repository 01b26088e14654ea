package gateway_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/trainyard/trainyard/services/gateway"
)

// TestWrongInput has requests that can't be decoded: the answer names the field as whoever wrote the request does, what is wrong with it,
// and what would be right.
func TestWrongInput(t *testing.T) {
	up := startUpstream(t)
	s := startGateway(t, gateway.Config{}, up.conn)
	user := bearer(up.Token("a"))
	const (
		datasets = "/v1/datasets?datasetId=d"
		versions = "/v1/datasets/d/versions"
		jobs     = "/v1/trainingJobs?trainingJobId=j"
		sign     = "/v1/datasets/d/versions/1:signParts"
	)
	for name, test := range map[string]struct{ method, path, body, field, message string }{
		"whole number in the query": {
			"GET", "/v1/datasets?pageSize=abc", "", "pageSize",
			`pageSize: "abc" is not a whole number from 0 to 2147483647; give one, or leave it out.`,
		},
		"proto's name in the query": {
			"GET", "/v1/datasets?page_size=1.5", "", "page_size",
			`page_size: "1.5" is not a whole number from 0 to 2147483647; give one, or leave it out.`,
		},
		"twice in the query":          {"GET", "/v1/datasets?pageSize=1&pageSize=2", "", "pageSize", "pageSize: it is given 2 times; give it once."},
		"by both names":               {"GET", "/v1/datasets?pageSize=1&page_size=1", "", "page_size", "page_size: it is given twice, as pageSize too; leave one out."},
		"unknown parameter":           {"GET", "/v1/datasets?pageSise=1", "", "pageSise", "pageSise: there is no such parameter; did you mean pageSize? The parameters are pageSize, pageToken."},
		"field of the body":           {"POST", "/v1/datasets?displayName=x", "{}", "displayName", "displayName: there is no such parameter; the parameters are datasetId."},
		"parameter below a string":    {"GET", "/v1/datasets?pageToken.x=1", "", "pageToken.x", "pageToken.x: there is no such parameter; did you mean pageToken? The parameters are pageSize, pageToken."},
		"no UTF-8 in the query":       {"GET", "/v1/datasets?pageToken=%ff", "", "pageToken", `pageToken: "\xff" is not text in UTF-8; encode it so.`},
		"no UTF-8 in a name":          {"GET", "/v1/datasets?%ff=1", "", "\uFFFD", "\uFFFD: there is no such parameter; the parameters are pageSize, pageToken."},
		"no UTF-8 in the path":        {"GET", "/v1/datasets/%ff", "", "path", "path: it is not text in UTF-8; encode it so."},
		"escape in the query":         {"GET", "/v1/datasets?pageToken=%zz", "", "query", `query: invalid URL escape "%zz"; write it as name=value&name=value, with % as %25, & as %26 and ; as %3B.`},
		"escape in the events' query": {"GET", "/v1/events:watch?cursor=%zz", "", "query", `query: invalid URL escape "%zz"; write it as name=value&name=value, with % as %25, & as %26 and ; as %3B.`},
		"no UTF-8 in a cursor":        {"GET", "/v1/events:watch?cursor=%ff", "", "cursor", `cursor: "\xff" is not text in UTF-8; encode it so.`},
		"unknown event parameter":     {"GET", "/v1/events:watch?since=1", "", "since", "since: there is no such parameter; the parameters are cursor, resource."},

		"enum": {
			"POST", versions, `{"conversion": {"validation": "FASTT"}}`, "conversion.validation",
			`conversion.validation: "FASTT" is none of STRUCTURAL, FULL; give one, or leave it out.`,
		},
		"enum of another type": {"POST", versions, `{"conversion": {"package": true}}`, "conversion.package", "conversion.package: true is none of TAR; give one, or leave it out."},
		"unknown field":        {"POST", datasets, `{"displayname": "x"}`, "displayname", "displayname: there is no such field; did you mean displayName? The fields are displayName, description."},
		"unknown field below": {
			"POST", versions, `{"conversion": {"splitFractions": {"training": 1}}}`, "conversion.splitFractions.training",
			"conversion.splitFractions.training: there is no such field; the fields are train, validation, test.",
		},
		"number for text":      {"POST", datasets, `{"displayName": 1}`, "displayName", "displayName: 1 is not text in UTF-8, in double quotes; give one, or leave it out."},
		"text for a number":    {"POST", versions, `{"conversion": {"maxBadFraction": "much"}}`, "conversion.maxBadFraction", `conversion.maxBadFraction: "much" is not a number from 0 to 1; give one, or leave it out.`},
		"text for a truth":     {"POST", versions, `{"conversion": {"stratify": "yes"}}`, "conversion.stratify", `conversion.stratify: "yes" is not true or false; give one, or leave it out.`},
		"text for an object":   {"POST", versions, `{"conversion": "GZIP"}`, "conversion", `conversion: "GZIP" is not an object; give one in {}.`},
		"text for a list":      {"POST", jobs, `{"baseDatasets": "a"}`, "baseDatasets", `baseDatasets: "a" is not a list; give one in [], or leave it out.`},
		"text for a map":       {"POST", jobs, `{"tags": "a"}`, "tags", `tags: "a" is not an object; give one of names and values in {}, or leave it out.`},
		"out of int32":         {"POST", jobs, `{"resources": {"instanceCount": 99999999999}}`, "resources.instanceCount", "resources.instanceCount: 99999999999 is not a whole number from 0 to 1000; give one, or leave it out."},
		"out of int64":         {"POST", versions, `{"sizeBytes": 1e30}`, "sizeBytes", "sizeBytes: 1e30 is not a whole number above 0 to 5497558138880; give one, or leave it out."},
		"fraction":             {"POST", sign, `{"parts": [{"partNumber": 1}, {"partNumber": 1.5}]}`, "parts[1].partNumber", "parts[1].partNumber: 1.5 is not a whole number from 1 to 10000; give one, or leave it out."},
		"element of a list":    {"POST", jobs, `{"baseDatasets": ["a", null]}`, "baseDatasets[1]", "baseDatasets[1]: null is not text in UTF-8, in double quotes; give one, or leave it out."},
		"entry of a map":       {"POST", jobs, `{"inputModes": {"a": "FILE", "b": "TAPE"}}`, "inputModes.b", `inputModes.b: "TAPE" is none of FILE, FAST_FILE, PIPE; give one, or leave it out.`},
		"entry given twice":    {"POST", jobs, `{"tags": {"a": "1", "a": "2"}}`, "tags.a", "tags.a: it is given twice; leave one out."},
		"field given twice":    {"POST", datasets, `{"displayName": "a", "display_name": "b"}`, "displayName", "displayName: it is given twice; leave one out."},
		"time":                 {"POST", datasets, `{"createTime": "yesterday"}`, "createTime", `createTime: "yesterday" is not a time such as 2026-01-31T12:00:00Z; give one, or leave it out.`},
		"half a surrogate":     {"POST", datasets, `{"displayName": "\ud800"}`, "displayName", `displayName: "\ud800" is not text in UTF-8, in double quotes; give one, or leave it out.`},
		"no UTF-8 in the body": {"POST", datasets, "{\"displayName\": \"\xff\"}", "displayName", "displayName: \"\uFFFD\" is not text in UTF-8, in double quotes; give one, or leave it out."},
		"list for a body":      {"POST", datasets, ` []`, "body", "body: [] is not an object; give one in {}."},
		"no JSON": {
			"POST", datasets, "{\n  displayName: 1}", "body",
			"body: it is not valid JSON at line 2, column 3: invalid character 'd' looking for beginning of object key string; mend it there, with names and strings in double quotes and no comma after the last of them.",
		},
		"half of a body": {
			"POST", datasets, `{"displayName": `, "body",
			"body: it is not valid JSON at line 1, column 16: unexpected end of JSON input; mend it there, with names and strings in double quotes and no comma after the last of them.",
		},
		"two bodies": {
			"POST", datasets, `{} {}`, "body",
			"body: it is not valid JSON at line 1, column 4: invalid character '{' after top-level value; mend it there, with names and strings in double quotes and no comma after the last of them.",
		},
		"long value": {
			"POST", versions, `{"conversion": {"validation": "` + strings.Repeat("x", 1000) + `"}}`, "conversion.validation",
			`conversion.validation: "` + strings.Repeat("x", 79) + `… is none of STRUCTURAL, FULL; give one, or leave it out.`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			res := s.do(test.method, test.path, test.body, user...)
			res.expectError(t, 400, "FIELD_INVALID")
			var st struct {
				Message string
				Details []struct {
					Metadata        struct{ Field string }
					FieldViolations []struct{ Field, Description, Reason string }
				}
			}
			if err := json.Unmarshal([]byte(res.body), &st); err != nil || len(st.Details) != 2 || len(st.Details[1].FieldViolations) != 1 {
				t.Fatalf("got %s, %v", res.body, err)
			}
			violation := st.Details[1].FieldViolations[0]
			if st.Message != test.message || violation.Description != test.message || violation.Reason != "FIELD_INVALID" {
				t.Errorf("got  %s\nwant %s", st.Message, test.message)
			}
			if st.Details[0].Metadata.Field != test.field || violation.Field != test.field {
				t.Errorf("of %s and %s, want %s", st.Details[0].Metadata.Field, violation.Field, test.field)
			}
		})
	}
}

// TestInputOfAnyWriting has what the decoder takes: it must not be refused by what explains refusals.
func TestInputOfAnyWriting(t *testing.T) {
	up := startUpstream(t)
	s := startGateway(t, gateway.Config{}, up.conn)
	user := bearer(up.Token("a"))
	for _, test := range []struct{ method, path, body string }{
		{"POST", "/v1/datasets?dataset_id=d", "{}"},
		{"POST", "/v1/datasets?datasetId=d", "{\"display_name\": \"x\", \"description\": null}\n"},
		{"GET", "/v1/datasets?pageSize=1&pageToken=", ""},
	} {
		if res := s.do(test.method, test.path, test.body, user...); res.StatusCode != 200 {
			t.Errorf("%s %s %s: %d %s", test.method, test.path, test.body, res.StatusCode, res.body)
		}
	}
	for _, empty := range []string{"", " \n"} { // The recorder doesn't serve this call, but it was read.
		s.do("POST", "/v1/datasets/d/versions/1:completeUpload", empty, user...).expectError(t, 501, "DEPENDENCY_UNAVAILABLE")
	}
}

// TestHostileInputIsShort has the largest bodies that are wrong at their very end: the answer doesn't grow with them.
func TestHostileInputIsShort(t *testing.T) {
	up := startUpstream(t)
	s := startGateway(t, gateway.Config{}, up.conn)
	user := bearer(up.Token("a"))
	for name, body := range map[string]string{
		"list":  `{"baseDatasets": [` + strings.Repeat(`"",`, 1<<20/3-20) + `1]}`,
		"name":  `{"` + strings.Repeat("x", 1<<20-20) + `": 1}`,
		"entry": `{"tags": {"` + strings.Repeat("x", 1<<20-20) + `": 1}}`,
		"deep":  `{"parameters": {"a": ` + strings.Repeat(`[`, 1<<19-20) + strings.Repeat(`]`, 1<<19-20) + `}}`,
	} {
		t.Run(name, func(t *testing.T) {
			res := s.do("POST", "/v1/trainingJobs?trainingJobId=j", body, user...)
			res.expectError(t, 400, "FIELD_INVALID")
			if len(res.body) > 4000 {
				t.Errorf("the answer has %d bytes", len(res.body))
			}
		})
	}
}
