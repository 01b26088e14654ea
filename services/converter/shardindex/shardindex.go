// Package shardindex tells where in a shard the records of a class lie, so that a page of them is read without the rest of the shard.
//
// An index is a file beside its shard. It holds a list for each label, in order of labels, then a directory of the lists,
// then a footer of fixed length:
//
//	list       for each record with the label, in order of the shard: varint places since the end of the record before in this list,
//	           varint bytes likewise, varint length of the record's data without TFRecord's framing
//	directory  for each label that has a list: varint label less the label before (the first: less -1), varint records, varint bytes of the list
//	footer     uint64 bytes of the directory, uint32 its CRC-32C, "TYINDEX1"; numbers little-endian
//
// Records without a label are in no list: all records are read in their order by TFRecord's own framing, without an index.
// What lies in an index is checked as it is read, and records are checked by their own checksums; a list has none.
package shardindex

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"strings"

	"github.com/trainyard/trainyard/services/converter/tfrecord"
)

// Name is where the index of a shard lies, below the same prefix as the shard.
func Name(shard string) string { return "index/" + shard + ".idx" }

// Shard is the shard whose index has the name; ok is false for what is no index's name.
func Shard(name string) (shard string, ok bool) {
	shard = strings.TrimSuffix(strings.TrimPrefix(name, "index/"), ".idx")
	return shard, Name(shard) == name
}

// MaxLabel is the largest label that an index takes. It bounds the memory of a Writer to 32 MiB.
const MaxLabel = 1<<20 - 1

// ErrCorrupt says that a file is no index, or one that was damaged.
var ErrCorrupt = errors.New("corrupt shard index")

const (
	magic       = "TYINDEX1"
	footerBytes = 8 + 4 + len(magic)

	maxPosting = 3 * binary.MaxVarintLen64
	// maxDirectory is what every label with the largest numbers takes.
	maxDirectory = (MaxLabel + 1) * (1 + 2*binary.MaxVarintLen64)
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Posting is a record's place in its shard.
type Posting struct {
	Index  int64 // how many records come before it
	Offset int64 // of its framing, in bytes
	Length int64 // of its data, in bytes
}

// end is where the next record begins.
func (p Posting) end() int64 { return p.Offset + p.Length + tfrecord.Overhead }
