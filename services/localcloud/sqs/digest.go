package sqs

import (
	"crypto/md5" //nolint:gosec // The SQS protocol defines its digests as MD5; nothing here rests on its strength.
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"
)

// attributeValue is a MessageAttributeValue: String, Number or Binary, each
// with an optional custom label ("Number.float").
type attributeValue struct {
	DataType    string  `json:"DataType"`
	StringValue *string `json:"StringValue,omitempty"`
	BinaryValue []byte  `json:"BinaryValue,omitempty"`
}

func (v attributeValue) binary() bool {
	kind, _, _ := strings.Cut(v.DataType, ".")
	return kind == "Binary"
}

func (v attributeValue) bytes() []byte {
	if v.binary() {
		return v.BinaryValue
	}
	if v.StringValue == nil {
		return nil
	}
	return []byte(*v.StringValue)
}

func bodyMD5(body string) string {
	sum := md5.Sum([]byte(body)) //nolint:gosec // See the import.
	return hex.EncodeToString(sum[:])
}

// attributesMD5 is the MD5OfMessageAttributes of the SQS developer guide
// ("Calculating the MD5 message digest for message attributes"): for each
// attribute by name, the length-prefixed name, the length-prefixed data type,
// one byte for the transport type (1 string, 2 binary) and the length-prefixed
// value, lengths being 4 bytes big-endian. It is "" without attributes.
func attributesMD5(attributes map[string]attributeValue) string {
	if len(attributes) == 0 {
		return ""
	}
	names := make([]string, 0, len(attributes))
	for name := range attributes {
		names = append(names, name)
	}
	slices.Sort(names)

	hash := md5.New() //nolint:gosec // See the import.
	field := func(b []byte) {
		var length [4]byte
		binary.BigEndian.PutUint32(length[:], uint32(len(b))) //nolint:gosec // A message is at most 1 MiB.
		hash.Write(length[:])
		hash.Write(b)
	}
	for _, name := range names {
		value := attributes[name]
		field([]byte(name))
		field([]byte(value.DataType))
		if value.binary() {
			hash.Write([]byte{2})
		} else {
			hash.Write([]byte{1})
		}
		field(value.bytes())
	}
	return hex.EncodeToString(hash.Sum(nil))
}
