// Package worker runs a step of a conversion, or reads examples back, in a child process of the same binary. A step is where bytes of strangers are parsed; the
// child has limits on memory, CPU time, files and file size, an empty environment and no credentials. What it reads and writes in S3 it
// does by URLs that the parent signs on request, one object each.
//
// Parent and child exchange one JSON object a line: the parent's go to the child's standard input, the child's to its standard output.
// Standard error is the child's log. The child ends when its standard input does, so that none outlives its parent.
package worker

import (
	"github.com/trainyard/trainyard/services/converter/convert"
	"github.com/trainyard/trainyard/services/converter/examples"
	"github.com/trainyard/trainyard/services/converter/reject"
)

// Step is what a child is asked to do.
type Step string

// The steps. A task's plan is read from S3.
const (
	PlanStep Step = "plan"
	TaskStep Step = "task"
	// ExamplesStep reads examples of a finished dataset.
	ExamplesStep Step = "examples"
)

// Object names what a URL is wanted for.
type Object string

// The objects. Source and Plan are read by GET, Plan is written by PUT when planning, Shard, which may be the index of one, is written
// by PUT, Dataset, a file of a finished dataset, is read by GET.
const (
	SourceObject  Object = "source"
	PlanObject    Object = "plan"
	ShardObject   Object = "shard"
	DatasetObject Object = "dataset"
)

// SignRequest asks for a URL. For PUT it says exactly what will be sent: the URL is good for these bytes alone.
type SignRequest struct {
	ID     int    `json:"id"`
	Object Object `json:"object"`
	Put    bool   `json:"put,omitempty"`
	Name   string `json:"name,omitempty"`   // Of a shard or of a dataset's file.
	Size   int64  `json:"size,omitempty"`   // Bytes to PUT.
	SHA256 string `json:"sha256,omitempty"` // Hex, of the bytes to PUT.
}

// Signed is a URL with the headers that must go with it.
type Signed struct {
	URL     string            `json:"url,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
}

// Planned is what planning found; the plan itself is in S3.
type Planned struct {
	Key      string  `json:"key"`
	Size     int64   `json:"size"` // Of the plan file in bytes.
	Format   string  `json:"format"`
	Records  int64   `json:"records"`
	LeftOut  int64   `json:"left_out"`
	TaskSize []int64 `json:"task_size"` // Bytes that each task reads of the source.
}

// job is the first line to a child.
type job struct {
	Step       Step            `json:"step"`
	Options    convert.Options `json:"options"`
	SourceSize int64           `json:"source_size"`
	SourceETag string          `json:"source_etag"`
	PlanSize   int64           `json:"plan_size,omitempty"`
	Task       int             `json:"task,omitempty"`
	Scratch    string          `json:"scratch"`
	Limits     Limits          `json:"limits"`

	Examples *examples.Request `json:"examples,omitempty"`
}

// answer is every later line to a child.
type answer struct {
	ID    int    `json:"id"`
	Error string `json:"error,omitempty"`
	Signed
}

// message is a line from a child; one field is set.
type message struct {
	Sign     *SignRequest        `json:"sign,omitempty"`
	Progress *convert.Progress   `json:"progress,omitempty"`
	Planned  *Planned            `json:"planned,omitempty"`
	Result   *convert.TaskResult `json:"result,omitempty"`
	Page     *examples.Page      `json:"page,omitempty"`
	Rejected *rejected           `json:"rejected,omitempty"`
	Failed   *failed             `json:"failed,omitempty"`
}

type rejected struct {
	Reason  reject.Reason `json:"reason"`
	Message string        `json:"message"`
	Files   reject.List   `json:"files,omitzero"`
}

type failed struct {
	Kind  failure `json:"kind"`
	Error string  `json:"error"`
}

type failure string

const (
	sourceChanged failure = "source changed"
	scratchFull   failure = "scratch full"
	wrongPosition failure = "wrong position"
	otherFailure  failure = "other"
)
