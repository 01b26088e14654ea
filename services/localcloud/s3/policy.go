package s3

import (
	"encoding/json"
	"path"
	"slices"
	"strings"
)

// stringList is a JSON string or list of strings, as policies have both.
type stringList []string

func (l *stringList) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*l = stringList{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(l))
}

// principals is "*" or a map from kind ("Service", "AWS") to names.
type principals map[string]stringList

func (p *principals) UnmarshalJSON(b []byte) error {
	var everyone string
	if json.Unmarshal(b, &everyone) == nil {
		*p = principals{"AWS": {everyone}}
		return nil
	}
	return json.Unmarshal(b, (*map[string]stringList)(p))
}

type statement struct {
	Effect    string
	Principal principals
	Action    stringList
	Resource  stringList
	Condition map[string]map[string]stringList
}

// allowsS3 says whether a queue's access policy lets S3 send to it from the
// bucket, by the part of the policy language that such policies use: Allow and
// Deny, service principals, wildcards, and the String and Arn conditions on
// aws:SourceArn and aws:SourceAccount. A condition it doesn't know is not met.
func allowsS3(policy, queueARN, bucketARN, accountID string) bool {
	var document struct{ Statement []statement }
	if json.Unmarshal([]byte(policy), &document) != nil {
		var single struct{ Statement statement }
		if json.Unmarshal([]byte(policy), &single) != nil {
			return false
		}
		document.Statement = []statement{single.Statement}
	}
	context := map[string]string{"aws:sourcearn": bucketARN, "aws:sourceaccount": accountID}
	allowed := false
	for _, s := range document.Statement {
		if !s.applies(queueARN, context) {
			continue
		}
		switch s.Effect {
		case "Deny":
			return false
		case "Allow":
			allowed = true
		}
	}
	return allowed
}

func (s statement) applies(queueARN string, context map[string]string) bool {
	return (slices.Contains(s.Principal["Service"], "s3.amazonaws.com") || slices.Contains(s.Principal["AWS"], "*")) &&
		slices.ContainsFunc(s.Action, func(a string) bool { return wildcard(strings.ToLower(a), "sqs:sendmessage") }) &&
		(len(s.Resource) == 0 || slices.ContainsFunc(s.Resource, func(r string) bool { return wildcard(r, queueARN) })) &&
		s.conditionsMet(context)
}

func (s statement) conditionsMet(context map[string]string) bool {
	for operator, keys := range s.Condition {
		for key, patterns := range keys {
			value, known := context[strings.ToLower(key)]
			met := known && slices.ContainsFunc(patterns, func(pattern string) bool {
				switch operator {
				case "StringEquals":
					return pattern == value
				case "StringLike", "ArnLike", "ArnEquals": // ArnEquals takes wildcards too.
					return wildcard(pattern, value)
				default:
					return false
				}
			})
			if !met {
				return false
			}
		}
	}
	return true
}

// wildcard matches * and ?; * crosses colons and slashes.
func wildcard(pattern, value string) bool {
	// path.Match stops * at slashes, and knows brackets, which no ARN has.
	flat := strings.NewReplacer("/", "\x00", "[", `\[`)
	ok, err := path.Match(flat.Replace(pattern), strings.ReplaceAll(value, "/", "\x00"))
	return err == nil && ok
}
