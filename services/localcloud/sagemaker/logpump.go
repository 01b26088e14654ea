package sagemaker

import (
	"bufio"
	"errors"
	"io"
	"math"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/trainyard/trainyard/services/localcloud/logs"
)

const (
	// A line waits at most flushEvery before it can be read in the log.
	flushEvery = 200 * time.Millisecond
	flushLines = 1000
	// maxLine is CloudWatch's limit on an event; a longer line becomes several.
	maxLine = 256<<10 - 26
)

// logPump carries a program's output into its log stream, line by line, and reads the job's metrics off it.
type logPump struct {
	write   func([]logs.Event) error
	metrics []metricReader
	// values holds the last value of each metric; changed tells the owner that there is something new to store.
	values  map[string]metric
	changed func([]metric)
}

type metricReader struct {
	name  string
	regex *regexp.Regexp
}

func metricReaders(defs []types.MetricDefinition) ([]metricReader, error) {
	readers := make([]metricReader, len(defs))
	for i, d := range defs {
		re, err := regexp.Compile(*d.Regex)
		if err != nil {
			return nil, err
		}
		readers[i] = metricReader{*d.Name, re}
	}
	return readers, nil
}

// run reads r to its end. A log that can't be written is an error, after which the output is still read and dropped, so
// that the program doesn't hang on a full pipe.
func (p *logPump) run(r io.Reader) error {
	lines, readErr := make(chan logs.Event, flushLines), make(chan error, 1)
	go func() {
		defer close(lines)
		readErr <- readLines(r, lines)
	}()
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	var batch []logs.Event
	var failed error
	flush := func() {
		if len(batch) == 0 {
			return
		}
		if failed == nil {
			failed = p.write(batch)
		}
		batch = batch[:0]
		if p.values != nil {
			p.changed(p.last())
			p.values = nil
		}
	}
	for {
		select {
		case e, ok := <-lines:
			if !ok {
				flush()
				return errors.Join(failed, <-readErr)
			}
			p.measure(e)
			if batch = append(batch, e); len(batch) == flushLines {
				flush()
			}
		case <-tick.C:
			flush()
		}
	}
}

// readLines splits r at newlines. A line that has no end yet is sent when r ends.
func readLines(r io.Reader, lines chan<- logs.Event) error {
	buffered := bufio.NewReaderSize(r, maxLine)
	for {
		line, err := buffered.ReadSlice('\n')
		if text := strings.ToValidUTF8(strings.TrimRight(string(line), "\r\n"), "\uFFFD"); text != "" {
			lines <- logs.Event{Timestamp: time.Now().UnixMilli(), Message: text}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
}

// measure looks for the job's metrics in a line: the value is the expression's first group.
func (p *logPump) measure(e logs.Event) {
	for _, m := range p.metrics {
		for _, found := range m.regex.FindAllStringSubmatch(e.Message, -1) {
			// JSON, and so SageMaker's API, has no NaN and no infinity.
			if v, err := strconv.ParseFloat(found[1], 64); err == nil && !math.IsNaN(v) && !math.IsInf(v, 0) {
				if p.values == nil {
					p.values = map[string]metric{}
				}
				p.values[m.name] = metric{Name: m.name, Value: v, Time: time.UnixMilli(e.Timestamp)}
			}
		}
	}
}

// last lists the new values in the order of the job's definitions.
func (p *logPump) last() []metric {
	var list []metric
	for _, m := range p.metrics {
		if v, ok := p.values[m.name]; ok {
			list = append(list, v)
		}
	}
	return list
}

// mergeMetrics puts new values in the place of old ones.
func mergeMetrics(have, add []metric) []metric {
	for _, m := range add {
		if i := slices.IndexFunc(have, func(h metric) bool { return h.Name == m.Name }); i >= 0 {
			have[i] = m
		} else {
			have = append(have, m)
		}
	}
	return have
}
