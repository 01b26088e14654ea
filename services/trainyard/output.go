package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kong"
	"github.com/schollz/progressbar/v3"
	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	"github.com/trainyard/trainyard/services/trainyard/client"
	"golang.org/x/term"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// output is where a command tells what it does: progress on a terminal's standard error and results as text, or with --json one
// object a line on standard output, the resource itself last.
type output struct {
	json           bool
	stdout, stderr io.Writer
	bar            *progressbar.ProgressBar
	// label is the bar's text; a new label begins a new bar.
	label string
	// last limits JSON progress to a few lines a second.
	last time.Time
}

func newOutput(asJSON bool) *output {
	return &output{json: asJSON, stdout: os.Stdout, stderr: os.Stderr}
}

// failure tells why a command failed, on standard error; with --json in the form that a version's error and a job's failure have too.
func (o *output) failure(err error) {
	if !o.json {
		fmt.Fprintln(o.stderr, "trainyard:", err)
		return
	}
	failure := &errorsv1.Failure{Message: err.Error()}
	var refused *client.Error
	var usage *kong.ParseError
	switch {
	case errors.As(err, &refused):
		failure.Reason, failure.Metadata = refused.Reason, refused.Metadata
	case errors.As(err, &usage):
		failure.Reason = errorsv1.ErrorReason_FIELD_INVALID
	}
	fmt.Fprintln(o.stderr, string(marshal(failure)))
}

// usage tells what is wrong with the command line, and where to read on.
func (o *output) usage(err error) {
	o.failure(err)
	var usage *kong.ParseError
	if errors.As(err, &usage) && !o.json {
		command := "trainyard"
		if node := usage.Context.Selected(); node != nil {
			command += " " + node.Path()
		}
		fmt.Fprintf(o.stderr, "Run %q for what it takes.\n", command+" --help")
	}
}

// note tells a line to people; scripts that read --json don't see it.
func (o *output) note(format string, args ...any) {
	if o.json {
		return
	}
	o.endBar()
	fmt.Fprintf(o.stderr, format+"\n", args...)
}

// progress tells how far a step is: done of total, in bytes or in pieces; detail is what else there is to say.
func (o *output) progress(step, detail string, done, total int64, bytes bool) {
	if total <= 0 { // Not known yet.
		return
	}
	if o.json {
		if time.Since(o.last) >= 500*time.Millisecond || done == total {
			o.last = time.Now()
			o.line(map[string]any{"step": step, "done": done, "total": total})
		}
		return
	}
	if o.terminal() {
		o.draw(step, detail, done, total, bytes)
	}
}

func (o *output) draw(step, detail string, done, total int64, bytes bool) {
	if o.bar == nil || o.label != step {
		o.endBar()
		o.label = step
		o.bar = progressbar.NewOptions64(total, progressbar.OptionSetDescription(step), progressbar.OptionShowBytes(bytes),
			progressbar.OptionSetWriter(o.stderr), progressbar.OptionShowCount(), progressbar.OptionSetWidth(30),
			progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionOnCompletion(func() { fmt.Fprintln(o.stderr) }))
	}
	if o.bar.IsFinished() { // Drawn again it would stand on a line that has no end.
		return
	}
	o.bar.Describe(strings.TrimSpace(step + " " + detail))
	_ = o.bar.Set64(done)
}

// terminal tells whether people see progress bars.
func (o *output) terminal() bool {
	return !o.json && term.IsTerminal(int(os.Stderr.Fd())) //nolint:gosec // A file descriptor fits an int.
}

func (o *output) endBar() {
	if o.bar != nil && !o.bar.IsFinished() {
		fmt.Fprintln(o.stderr)
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
	fmt.Fprintln(o.stdout, text)
}

func (o *output) line(v any) {
	data, err := json.Marshal(v)
	if err == nil {
		fmt.Fprintln(o.stdout, string(data))
	}
}

func (o *output) raw(data []byte) { fmt.Fprintln(o.stdout, string(data)) }

// table sets rows in columns.
func table(rows [][]string) string {
	var text strings.Builder
	writer := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(writer, strings.Join(row, "\t"))
	}
	_ = writer.Flush() // A Builder takes everything.
	lines := strings.Split(strings.TrimRight(text.String(), "\n"), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, " ")
	}
	return strings.Join(lines, "\n")
}

// span writes seconds for people, to two units.
func span(seconds float64) string {
	switch whole := int64(math.Round(seconds)); {
	case seconds >= 0.05 && seconds < 9.95:
		return fmt.Sprintf("%.1f s", seconds)
	case whole < 60:
		return fmt.Sprintf("%d s", whole)
	case whole < 3600:
		return fmt.Sprintf("%d min %02d s", whole/60, whole%60)
	default:
		return fmt.Sprintf("%d h %02d min", whole/3600, whole%3600/60)
	}
}

// money writes an amount with its currency; without one it isn't known.
func money(amount float64, currency string) string {
	switch {
	case currency == "":
		return "?"
	case amount != 0 && math.Abs(amount) < 1:
		return fmt.Sprintf("%.4f %s", amount, currency)
	}
	return fmt.Sprintf("%.2f %s", amount, currency)
}

// indented puts four spaces before each line.
func indented(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n    ")
}

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
