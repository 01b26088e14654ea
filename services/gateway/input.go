package gateway

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"buf.build/go/protovalidate"
	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/grpc-ecosystem/grpc-gateway/v2/utilities"
	"github.com/trainyard/trainyard/services/internal/apierror"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// fieldError says what is wrong with a field of a REST request. grpc-gateway keeps no more of an error of its decoders than the text, so
// the text bears all of it, as JSON; publicStatus reads it.
type fieldError struct{ Field, Message string }

func (e *fieldError) Error() string {
	text, _ := json.Marshal(e) // Of two strings it never fails.
	return string(text)
}

// GRPCStatus makes it an error of the API.
func (e *fieldError) GRPCStatus() *status.Status {
	return status.Convert(apierror.Invalid(e.Field, e.Message))
}

// wrong makes an error whose message is the field's path and what the parts say.
func wrong(path, format string, parts ...any) error {
	return &fieldError{Field: path, Message: path + ": " + fmt.Sprintf(format, parts...) + "."}
}

// jsonBodies reads bodies as grpc-gateway does, with unknown fields refused, and says what is wrong in the terms of whoever wrote them.
// What protojson says is for programmers, and its texts change from build to build.
type jsonBodies struct{ *runtime.JSONPb }

func (j jsonBodies) NewDecoder(r io.Reader) runtime.Decoder {
	return runtime.DecoderFunc(func(target any) error {
		body, err := io.ReadAll(r) // limitBody has bounded it.
		if err != nil {
			return err
		}
		if len(bytes.TrimSpace(body)) == 0 {
			return io.EOF // An empty message.
		}
		var syntax *json.SyntaxError
		if err := json.Unmarshal(body, new(json.RawMessage)); errors.As(err, &syntax) {
			return brokenJSON(body, syntax)
		}
		if err := j.JSONPb.Unmarshal(body, target); err != nil {
			return faultOfBody(target, body, err)
		}
		return nil
	})
}

func brokenJSON(body []byte, err *json.SyntaxError) error {
	before := body[:max(err.Offset-1, 0)] // The last byte read is the wrong one.
	line := before[bytes.LastIndexByte(before, '\n')+1:]
	return wrong("body", "it is not valid JSON at line %d, column %d: %v; mend it there, with names and strings in double quotes and no comma after the last of them",
		1+bytes.Count(before, []byte("\n")), 1+utf8.RuneCount(line), err)
}

// faultOfBody looks for what made the decoder fail; target is a message or, where a body is one field of its request, a pointer to one.
func faultOfBody(target any, body []byte, cause error) error {
	for value := reflect.ValueOf(target); value.Kind() == reflect.Pointer; value = value.Elem() {
		if message, ok := value.Interface().(proto.Message); ok {
			if fault := faultOfMessage(message.ProtoReflect().Descriptor(), "", body); fault != nil {
				return fault
			}
			break
		}
	}
	return cause
}

// faultOfMessage gives the first thing wrong with a message, or nil. The decoder itself is asked about each field alone, so that both are
// always of one mind.
func faultOfMessage(message protoreflect.MessageDescriptor, path string, data []byte) error {
	members, ok := membersOf(data)
	if !ok {
		return wrong(cmp.Or(path, "body"), "%s is not an object; give one in {}", short(string(bytes.TrimSpace(data))))
	}
	given := make(map[protoreflect.Name]bool)
	for _, m := range members {
		field := fieldOf(message, m.name)
		if field == nil {
			return unknown(join(path, m.name), "field", m.name, fieldNames(message, nil))
		}
		at := join(path, field.JSONName())
		if given[field.Name()] {
			return wrong(at, "it is given twice; leave one out")
		}
		given[field.Name()] = true
		if accepts(message, m) {
			continue
		}
		if fault := faultOfField(message, field, at, m.value); fault != nil {
			return fault
		}
	}
	return nil
}

func faultOfField(message protoreflect.MessageDescriptor, field protoreflect.FieldDescriptor, path string, data []byte) error {
	switch {
	case field.IsList():
		var elements []json.RawMessage
		if json.Unmarshal(data, &elements) != nil {
			return wrong(path, "%s is not a list; give one in [], or leave it out", short(string(data)))
		}
		parts := make([][]byte, len(elements))
		for i, element := range elements {
			parts[i] = element
		}
		if i := firstRefused(message, field, "[", parts, "]"); i >= 0 {
			return faultOfValue(field, fmt.Sprintf("%s[%d]", path, i), elements[i])
		}
	case field.IsMap():
		members, ok := membersOf(data)
		if !ok {
			return wrong(path, "%s is not an object; give one of names and values in {}, or leave it out", short(string(data)))
		}
		names := make(map[string]bool, len(members))
		parts := make([][]byte, len(members))
		for i, m := range members {
			if names[m.name] {
				return wrong(join(path, m.name), "it is given twice; leave one out")
			}
			names[m.name] = true
			parts[i] = m.json()
		}
		if i := firstRefused(message, field, "{", parts, "}"); i >= 0 {
			return faultOfValue(field.MapValue(), join(path, members[i].name), members[i].value)
		}
	default:
		return faultOfValue(field, path, data)
	}
	return nil
}

func faultOfValue(field protoreflect.FieldDescriptor, path string, data []byte) error {
	if field.Message() != nil && !isWellKnown(field.Message()) {
		return faultOfMessage(field.Message(), path, data)
	}
	return wrongValue(field, path, string(data))
}

// accepts tells whether the decoder takes a message with this field alone.
func accepts(message protoreflect.MessageDescriptor, m member) bool {
	return protojson.Unmarshal(slices.Concat([]byte("{"), m.json(), []byte("}")), dynamicpb.NewMessage(message)) == nil
}

// firstRefused gives the index of the first part of a list or a map that the decoder doesn't take, or -1. It halves where that can be, so
// that a long list costs no more than it did to decode.
func firstRefused(message protoreflect.MessageDescriptor, field protoreflect.FieldDescriptor, begin string, parts [][]byte, end string) int {
	taken := func(parts [][]byte) bool {
		value := slices.Concat([]byte(begin), bytes.Join(parts, []byte(",")), []byte(end))
		return accepts(message, member{field.JSONName(), value})
	}
	low, high := 0, len(parts)
	for high-low > 1 {
		if middle := (low + high) / 2; taken(parts[low:middle]) {
			low = middle
		} else {
			high = middle
		}
	}
	if taken(parts[low:high]) {
		return -1
	}
	return low
}

type member struct {
	name  string
	value json.RawMessage
}

func (m member) json() []byte {
	name, _ := json.Marshal(m.name) // Of a string it never fails.
	return slices.Concat(name, []byte(":"), m.value)
}

// membersOf gives the members of an object as they stand there, with those given twice; false says that the value is no object.
func membersOf(data []byte) ([]member, bool) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	if begin, err := decoder.Token(); err != nil || begin != json.Delim('{') {
		return nil, false
	}
	var members []member
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return nil, false
		}
		m := member{name: name.(string)} // Nothing else stands there in valid JSON, which this is.
		if err := decoder.Decode(&m.value); err != nil {
			return nil, false
		}
		members = append(members, m)
	}
	return members, true
}

// strictQueries has query parameters refused that no field of the request bears; grpc-gateway leaves them out in silence. Its
// parser is one for the whole process.
var strictQueries = sync.OnceFunc(func() { runtime.SetQueryParameterParser(strictParser{})(nil) })

type strictParser struct{ runtime.DefaultQueryParser }

func (p strictParser) Parse(target proto.Message, values url.Values, filter *utilities.DoubleArray) error {
	message := target.ProtoReflect().Descriptor()
	given := make(map[protoreflect.FullName]string)
	keys := slices.Sorted(maps.Keys(values))
	for _, key := range keys {
		field := fieldAt(message, key)
		if field == nil {
			return unknown(short(key), "parameter", key, fieldNames(message, filter))
		}
		if i := slices.IndexFunc(values[key], func(value string) bool { return !utf8.ValidString(value) }); i >= 0 {
			return wrong(key, "%s is not text in UTF-8; encode it so", short(strconv.Quote(values[key][i])))
		}
		if other, twice := given[field.FullName()]; twice && !field.IsMap() {
			return wrong(key, "it is given twice, as %s too; leave one out", other)
		}
		given[field.FullName()] = key
	}
	err := p.DefaultQueryParser.Parse(target, values, filter)
	if err == nil {
		return nil
	}
	for _, key := range keys {
		field := fieldAt(message, key)
		if !field.IsList() && len(values[key]) > 1 {
			return wrong(key, "it is given %d times; give it once", len(values[key]))
		}
		for _, value := range values[key] {
			if p.DefaultQueryParser.Parse(target.ProtoReflect().New().Interface(), url.Values{key: {value}}, filter) != nil {
				return wrongValue(field, key, strconv.Quote(value))
			}
		}
	}
	return err
}

// fieldAt gives the field that a dotted path names, or a map's by one of its entries, such as `labels[key]`; nil if there is none.
func fieldAt(message protoreflect.MessageDescriptor, path string) protoreflect.FieldDescriptor {
	name, rest, nested := strings.Cut(path, ".")
	name, _, _ = strings.Cut(name, "[")
	field := fieldOf(message, name)
	if field == nil || !nested || field.IsMap() {
		return field
	}
	if field.Message() == nil {
		return nil
	}
	return fieldAt(field.Message(), rest)
}

// fieldOf gives a field by either of its names, or nil.
func fieldOf(message protoreflect.MessageDescriptor, name string) protoreflect.FieldDescriptor {
	if field := message.Fields().ByJSONName(name); field != nil {
		return field
	}
	return message.Fields().ByTextName(name)
}

// fieldNames lists the fields of a message that whoever calls may set, without those that the path or the body holds.
func fieldNames(message protoreflect.MessageDescriptor, elsewhere *utilities.DoubleArray) []string {
	var names []string
	for i := range message.Fields().Len() {
		field := message.Fields().Get(i)
		behaviors, _ := proto.GetExtension(field.Options(), annotations.E_FieldBehavior).([]annotations.FieldBehavior)
		if slices.Contains(behaviors, annotations.FieldBehavior_OUTPUT_ONLY) ||
			elsewhere != nil && elsewhere.HasCommonPrefix([]string{string(field.Name())}) {
			continue
		}
		names = append(names, field.JSONName())
	}
	return names
}

// unknown makes the error of a name, a field's or a parameter's, that is none of those there are.
func unknown(path, kind, name string, names []string) error {
	if len(names) == 0 {
		return wrong(path, "there is no such %s; leave it out, for there are none here", kind)
	}
	meant := slices.MinFunc(names, func(a, b string) int { return distance(name, a) - distance(name, b) })
	if distance(name, meant) > max(1, len(meant)/4) {
		return wrong(path, "there is no such %s; the %ss are %s", kind, kind, strings.Join(names, ", "))
	}
	return wrong(path, "there is no such %s; did you mean %s? The %ss are %s", kind, meant, kind, strings.Join(names, ", "))
}

// distance is the edit distance of two names (Levenshtein's), whichever way their words are parted.
func distance(a, b string) int {
	plain := strings.NewReplacer("_", "", "-", "")
	a, b = strings.ToLower(plain.Replace(a)), strings.ToLower(plain.Replace(b))
	if len(a) > 2*len(b)+2 {
		return len(a) // Far enough, and a hostile name has no work done.
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		corner := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := corner
			if a[i] != b[j] {
				change++
			}
			corner = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// wrongValue makes the error of a value that its field can't hold.
func wrongValue(field protoreflect.FieldDescriptor, path, value string) error {
	remedy := "give one, or leave it out"
	if rules, err := protovalidate.ResolveFieldRules(field); err == nil && rules.GetRequired() {
		remedy = "give one"
	}
	if field.Enum() != nil {
		return wrong(path, "%s is none of %s; %s", short(value), apierror.EnumNames(field.Enum()), remedy)
	}
	return wrong(path, "%s is not %s; %s", short(value), wanted(field), remedy)
}

// wanted says what a field holds.
func wanted(field protoreflect.FieldDescriptor) string {
	switch field.Kind() {
	case protoreflect.BoolKind:
		return "true or false"
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return "a whole number" + limits(field, math.MinInt32, math.MaxInt32)
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return "a whole number" + limits(field, math.MinInt64, math.MaxInt64)
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return "a whole number" + limits(field, 0, math.MaxUint32)
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return "a whole number" + limits(field, 0, uint64(math.MaxUint64))
	case protoreflect.FloatKind:
		return "a number" + limits(field, -math.MaxFloat32, math.MaxFloat32)
	case protoreflect.DoubleKind:
		return "a number" + limits(field, -math.MaxFloat64, math.MaxFloat64)
	case protoreflect.StringKind:
		return "text in UTF-8, in double quotes"
	case protoreflect.BytesKind:
		return "bytes in base64"
	}
	switch field.Message().FullName() {
	case "google.protobuf.Timestamp":
		return "a time such as 2026-01-31T12:00:00Z"
	case "google.protobuf.Duration":
		return "a duration in seconds such as 90s or 1.5s"
	case "google.protobuf.FieldMask":
		return "names of fields, parted by commas, such as displayName,description"
	case "google.protobuf.ListValue":
		return "a list"
	case "google.protobuf.Value":
		return "a value that can be kept: text in UTF-8, numbers that a double holds, and no name twice in an object"
	}
	if value := field.Message().Fields().ByName("value"); value != nil && isWellKnown(field.Message()) {
		return wanted(value) // Of a wrapper, such as Int32Value.
	}
	return "an object"
}

// limits gives the range of a number: its rules', where they say one, and else its type's.
func limits(field protoreflect.FieldDescriptor, low, high any) string {
	from, to := fmt.Sprintf("from %v", low), fmt.Sprintf("to %v", high)
	if rules, err := protovalidate.ResolveFieldRules(field); err == nil && rules != nil {
		all := rules.ProtoReflect()
		if kind := all.WhichOneof(all.Descriptor().Oneofs().ByName("type")); kind != nil {
			all.Get(kind).Message().Range(func(rule protoreflect.FieldDescriptor, value protoreflect.Value) bool {
				switch rule.Name() {
				case "gte":
					from = "from " + value.String()
				case "gt":
					from = "above " + value.String()
				case "lte":
					to = "to " + value.String()
				case "lt":
					to = "below " + value.String()
				}
				return true
			})
		}
	}
	return " " + from + " " + to
}

func isWellKnown(message protoreflect.MessageDescriptor) bool {
	return message.FullName().Parent() == "google.protobuf"
}

// join makes the path of a field or of an entry of a map, whose name may be as long as a request.
func join(path, name string) string {
	if path == "" {
		return short(name)
	}
	return path + "." + short(name)
}

// short keeps a message readable whatever a request held.
func short(text string) string {
	const most = 80
	text = strings.ToValidUTF8(text, "\uFFFD")
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	return string([]rune(text)[:most]) + "…"
}
