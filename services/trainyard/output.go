package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// output is where a command tells what it does: progress on a terminal's standard error and results as text, or with --json one
// object a line on standard output, the resource itself last.
type output struct {
	json bool
	bar  *progressbar.ProgressBar
	// label is the bar's text; a new label begins a new bar.
	label string
	// last limits JSON progress to a few lines a second.
	last time.Time
}

func newOutput(asJSON bool) *output { return &output{json: asJSON} }

// note tells a line to people; scripts that read --json don't see it.
func (o *output) note(format string, args ...any) {
	if o.json {
		return
	}
	o.endBar()
	fmt.Fprintf(os.Stderr, format+"\n", args...)
}

// progress tells how far a step is: done of total, in bytes or in pieces.
func (o *output) progress(step string, done, total int64, bytes bool) {
	if o.json {
		if time.Since(o.last) >= 500*time.Millisecond || done == total {
			o.last = time.Now()
			o.line(map[string]any{"step": step, "done": done, "total": total})
		}
		return
	}
	if !term.IsTerminal(int(os.Stderr.Fd())) || total <= 0 { //nolint:gosec // A file descriptor fits an int.
		return
	}
	if o.bar == nil || o.label != step {
		o.endBar()
		o.label = step
		o.bar = progressbar.NewOptions64(total, progressbar.OptionSetDescription(step), progressbar.OptionShowBytes(bytes),
			progressbar.OptionSetWriter(os.Stderr), progressbar.OptionShowCount(), progressbar.OptionSetWidth(30),
			progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionOnCompletion(func() { fmt.Fprintln(os.Stderr) }))
	}
	_ = o.bar.Set64(done)
}

func (o *output) endBar() {
	if o.bar != nil && !o.bar.IsFinished() {
		fmt.Fprintln(os.Stderr)
	}
	o.bar = nil
}

// update tells a resource's new state as a line of --json.
func (o *output) update(m proto.Message) {
	if o.json {
		o.raw(marshal(m))
	}
}

// result tells the resource itself; text is what people read instead.
func (o *output) result(m proto.Message, text string) {
	if o.json {
		o.raw(marshal(m))
		return
	}
	o.endBar()
	fmt.Println(text)
}

func (o *output) line(v any) {
	data, err := json.Marshal(v)
	if err == nil {
		fmt.Println(string(data))
	}
}

func (o *output) raw(data []byte) { fmt.Println(string(data)) }

// marshal writes a message as the REST API does, on one line.
func marshal(m proto.Message) []byte {
	data, err := protojson.MarshalOptions{EmitUnpopulated: true}.Marshal(m)
	if err != nil {
		return []byte(fmt.Sprintf("%q", err.Error()))
	}
	var compact bytes.Buffer
	if json.Compact(&compact, data) != nil { // protojson varies its white space on purpose.
		return data
	}
	return compact.Bytes()
}
