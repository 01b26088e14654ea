package recipe

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
)

// Reader reads metrics from log lines by their definitions. It is safe for concurrent use.
type Reader struct {
	names       []string
	expressions []*regexp.Regexp
	epochMetric string
}

// Reader compiles the recipe's metric definitions.
func (r *Recipe) Reader() (*Reader, error) {
	reader, err := NewReader(r.Metrics, r.EpochMetric)
	if err != nil {
		return nil, fmt.Errorf("recipe %s: %w", r.ID, err)
	}
	return reader, nil
}

// NewReader compiles metric definitions, a recipe's or those of an image of one's own. epochMetric is the metric whose value is the epoch of its
// line; without one a line's epoch is what it says itself, such as `epoch=3`.
func NewReader(metrics []Metric, epochMetric string) (*Reader, error) {
	reader := &Reader{epochMetric: epochMetric}
	for _, m := range metrics {
		expression, err := regexp.Compile(m.Regex)
		if err != nil {
			return nil, fmt.Errorf("metric %s: %w", m.Name, err)
		}
		if expression.NumSubexp() < 1 {
			return nil, fmt.Errorf("metric %s: the expression needs a group around the value", m.Name)
		}
		reader.names = append(reader.names, m.Name)
		reader.expressions = append(reader.expressions, expression)
	}
	return reader, nil
}

// Point is a metric's value in a log line.
type Point struct {
	Name  string
	Value float64
	Epoch float64
	Step  int64 // 0 if the line tells none.
}

// Programs write `step=50`, `step: 50` or `global_step 50`; epochs likewise.
var (
	stepOfLine  = regexp.MustCompile(`(?i)(?:^|[^a-z])(?:global_)?step\s*[=: ]\s*(\d+)`)
	epochOfLine = regexp.MustCompile(`(?i)(?:^|[^a-z])epoch\s*[=: ]\s*(\d+(?:\.\d+)?)`)
)

// Read gives the metrics of a line, in the order of their definitions. epoch is the epoch of the line before; it is kept for lines that tell none, and
// the line's epoch is returned.
func (r *Reader) Read(line string, epoch float64) ([]Point, float64) {
	var points []Point
	for i, expression := range r.expressions {
		match := expression.FindStringSubmatch(line)
		if match == nil {
			continue
		}
		value, err := strconv.ParseFloat(match[1], 64)
		if err != nil || math.IsInf(value, 0) || math.IsNaN(value) {
			continue
		}
		if r.names[i] == r.epochMetric {
			epoch = value
		}
		points = append(points, Point{Name: r.names[i], Value: value})
	}
	if len(points) == 0 {
		return nil, epoch
	}
	if r.epochMetric == "" {
		if match := epochOfLine.FindStringSubmatch(line); match != nil {
			if value, err := strconv.ParseFloat(match[1], 64); err == nil {
				epoch = value
			}
		}
	}
	step := int64(0)
	if match := stepOfLine.FindStringSubmatch(line); match != nil {
		if value, err := strconv.ParseInt(match[1], 10, 64); err == nil {
			step = value
		}
	}
	for i := range points {
		points[i].Epoch, points[i].Step = epoch, step
	}
	return points, epoch
}
