package preflight

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Policy is an IAM policy document: of a VPC endpoint, of a key, or the trust of a role.
//
// Source: the grammar of the IAM JSON policy language.
type Policy struct {
	Statements oneOrMore[Statement] `json:"Statement"`
}

// Statement is one statement of a policy.
type Statement struct {
	ID           string    `json:"Sid"`
	Effect       string    `json:"Effect"`
	Principal    principal `json:"Principal"`
	NotPrincipal principal `json:"NotPrincipal"`
	Action       texts     `json:"Action"`
	NotAction    texts     `json:"NotAction"`
	Resource     texts     `json:"Resource"`
	NotResource  texts     `json:"NotResource"`
	// Condition has values by operator and key.
	Condition map[string]map[string]texts `json:"Condition"`
}

// ParsePolicy reads a document as AWS gives it: JSON, or URL-encoded JSON where IAM gives it.
func ParsePolicy(document string) (Policy, error) {
	if strings.HasPrefix(document, "%") {
		plain, err := url.PathUnescape(document)
		if err != nil {
			return Policy{}, fmt.Errorf("a policy document is neither JSON nor URL-encoded: %w", err)
		}
		document = plain
	}
	var p Policy
	if err := json.Unmarshal([]byte(document), &p); err != nil {
		return Policy{}, fmt.Errorf("a policy document can't be read: %w", err)
	}
	return p, nil
}

// Question asks whether a policy lets a principal do something.
type Question struct {
	// Principal is an ARN such as arn:aws:iam::123456789012:role/train, or a service such as sagemaker.amazonaws.com.
	Principal string
	// Action is such as s3:GetObject.
	Action string
	// Resource is an ARN. A * in it stands for everything that it can be, all of which is asked for. Empty for a policy that names no
	// resources, such as the trust of a role.
	Resource string
	// Context holds values of condition keys as far as they are known, in lower case, such as aws:sourceaccount. Others are unknown, not absent.
	Context map[string]string
}

// Verdict is what a policy alone says.
type Verdict int

const (
	// Denied: a statement denies it, or none allows it.
	Denied Verdict = iota
	// Conditional: it depends on a condition, on other policies, or on which of the resources it is.
	Conditional
	// Allowed: a statement allows it, and none denies it.
	Allowed
)

func (v Verdict) String() string { return [...]string{"denied", "conditional", "allowed"}[v] }

// Allows answers a question, and says which statement decided.
func (p Policy) Allows(q Question) (verdict Verdict, why string) {
	var allows, denies decision
	for i, s := range p.Statements {
		name := s.ID
		if name == "" {
			name = fmt.Sprintf("%d", i+1)
		}
		fits, on := s.fits(q)
		d := decision{fits, "statement " + name, on}
		if strings.EqualFold(s.Effect, "Deny") {
			denies = denies.or(d)
		} else {
			allows = allows.or(d)
		}
	}
	switch {
	case denies.fits == yes:
		return Denied, denies.by + " denies it"
	case allows.fits == no:
		return Denied, "no statement allows it"
	case denies.fits == maybe:
		return Conditional, denies.by + " denies it, depending on " + denies.on
	case allows.fits == maybe:
		return Conditional, allows.by + " allows it, depending on " + allows.on
	}
	return Allowed, allows.by + " allows it"
}

// decision is how much a statement fits, and what that depends on.
type decision struct {
	fits   answer
	by, on string
}

func (d decision) or(other decision) decision {
	if other.fits > d.fits {
		return other
	}
	return d
}

// answer is how sure something is; the higher, the surer.
type answer int

const (
	no answer = iota
	maybe
	yes
)

func not(a answer) answer { return yes - a }

func sure(b bool) answer {
	if b {
		return yes
	}
	return no
}

// fits tells whether a statement applies to a question, and what it depends on if it may.
func (s Statement) fits(q Question) (fits answer, on string) {
	fits = yes
	and := func(a answer, what string) {
		if a == maybe && fits == yes {
			on = what
		}
		fits = min(fits, a)
	}
	if s.NotPrincipal != nil {
		and(not(s.NotPrincipal.holds(q.Principal)), "the principal")
	} else {
		and(s.Principal.holds(q.Principal), "what IAM allows "+q.Principal)
	}
	if s.NotAction != nil {
		and(not(anyLike(s.NotAction, q.Action, true)), "the action")
	} else {
		and(anyLike(s.Action, q.Action, true), "the action")
	}
	switch {
	case q.Resource == "":
	case s.NotResource != nil:
		and(not(anyLike(s.NotResource, q.Resource, false)), "which object of "+q.Resource+" it is")
	default:
		and(anyLike(s.Resource, q.Resource, false), "which object of "+q.Resource+" it is")
	}
	for _, operator := range slices.Sorted(maps.Keys(s.Condition)) {
		for _, key := range slices.Sorted(maps.Keys(s.Condition[operator])) {
			and(condition(operator, key, s.Condition[operator][key], q.Context), "the condition "+operator+" "+key)
		}
	}
	return fits, on
}

// anyLike matches a question against any of several patterns.
func anyLike(patterns []string, asked string, foldCase bool) answer {
	best := no
	for _, pattern := range patterns {
		best = max(best, like(pattern, asked, foldCase))
	}
	return best
}

// like matches a question, whose * means all that it can stand for, against a pattern: yes if the pattern covers all of it, maybe if some.
func like(pattern, asked string, foldCase bool) answer {
	if foldCase {
		pattern, asked = strings.ToLower(pattern), strings.ToLower(asked)
	}
	variable := strings.Contains(pattern, "${")
	if variable {
		pattern = variables.ReplaceAllString(pattern, "*")
	}
	if !variable && match(pattern, asked, true) {
		return yes
	}
	if match(pattern, asked, false) {
		return maybe
	}
	return no
}

// variables are such as ${aws:PrincipalAccount}; what they stand for isn't known here.
var variables = regexp.MustCompile(`\$\{[^}]*\}`)

// match compares a pattern with what is asked, in time of the product of their lengths. With all it tells whether the pattern matches
// everything that asked can stand for, else whether it matches anything of it.
func match(pattern, asked string, all bool) bool {
	n := len(asked)
	after := make([]bool, n+1) // Whether what follows in pattern matches asked[j:].
	after[n] = true
	for j := n - 1; j >= 0; j-- {
		after[j] = !all && asked[j] == '*' && after[j+1]
	}
	for i := len(pattern) - 1; i >= 0; i-- {
		row := make([]bool, n+1)
		row[n] = pattern[i] == '*' && after[n]
		for j := n - 1; j >= 0; j-- {
			switch {
			case pattern[i] == '*':
				row[j] = after[j] || row[j+1]
			case asked[j] == '*':
				row[j] = !all && (after[j] || row[j+1])
			case pattern[i] == '?' || pattern[i] == asked[j]:
				row[j] = after[j+1]
			}
		}
		after = row
	}
	return after[0]
}

// condition evaluates one line of a Condition as far as its key's value is known.
func condition(operator, key string, values []string, context map[string]string) answer {
	operator = strings.TrimSuffix(operator, "IfExists") // What is known, exists.
	value, known := context[strings.ToLower(key)]
	if !known {
		return maybe
	}
	matches := func(equal func(want string) bool) answer { return sure(slices.ContainsFunc(values, equal)) }
	switch operator {
	case "StringEquals":
		return matches(func(want string) bool { return want == value })
	case "StringNotEquals":
		return not(matches(func(want string) bool { return want == value }))
	case "StringEqualsIgnoreCase", "Bool":
		return matches(func(want string) bool { return strings.EqualFold(want, value) })
	case "StringLike", "ArnLike", "ArnEquals":
		return anyLike(values, value, false)
	case "StringNotLike", "ArnNotLike", "ArnNotEquals":
		return not(anyLike(values, value, false))
	}
	return maybe
}

// principal is who a statement is for, by kind (AWS, Service, ...); the text "*" is AWS: "*".
type principal map[string]texts

// UnmarshalJSON implements json.Unmarshaler.
func (p *principal) UnmarshalJSON(data []byte) error {
	var all string
	if json.Unmarshal(data, &all) == nil {
		*p = principal{"AWS": {all}}
		return nil
	}
	var kinds map[string]texts
	if err := json.Unmarshal(data, &kinds); err != nil {
		return err
	}
	*p = kinds
	return nil
}

var accountNumber = regexp.MustCompile(`^[0-9]{12}$`)

// holds tells whether it includes a principal. It may, if it names the principal's account: then IAM decides in that account.
func (p principal) holds(who string) answer {
	best := no
	for _, names := range p {
		for _, name := range names {
			switch {
			case name == "*" || name == who:
				return yes
			case account(who) != "" && (name == account(who) || strings.HasSuffix(name, ":root") && account(name) == account(who)):
				best = maybe
			}
		}
	}
	return best
}

// account is the account of an IAM ARN, or "".
func account(arn string) string {
	if parts := strings.Split(arn, ":"); len(parts) >= 6 && accountNumber.MatchString(parts[4]) {
		return parts[4]
	}
	return ""
}

// texts is a text or a list of them in JSON, as policies have it; numbers and truth values are taken as text.
type texts []string

// UnmarshalJSON implements json.Unmarshaler.
func (t *texts) UnmarshalJSON(data []byte) error {
	var list oneOrMore[json.RawMessage]
	if err := json.Unmarshal(data, &list); err != nil {
		return err
	}
	*t = make(texts, len(list))
	for i, v := range list {
		if json.Unmarshal(v, &(*t)[i]) != nil {
			(*t)[i] = string(v)
		}
	}
	return nil
}

// oneOrMore is a value or a list of them in JSON.
type oneOrMore[T any] []T

// UnmarshalJSON implements json.Unmarshaler.
func (o *oneOrMore[T]) UnmarshalJSON(data []byte) error {
	if bytes.HasPrefix(data, []byte("[")) {
		return json.Unmarshal(data, (*[]T)(o))
	}
	*o = make([]T, 1)
	return json.Unmarshal(data, &(*o)[0])
}
