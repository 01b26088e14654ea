package joblog

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Place is a place in a stream: behind Count events of the millisecond Time.
type Place struct {
	Stream string `json:"s"`
	Time   int64  `json:"t,omitempty"`
	Count  int    `json:"c,omitempty"`
}

// Cursor is a place in a job's log: one in each of its streams, in the order of their names. Streams that are not in it are at their beginning, so nil is
// the beginning of the log.
type Cursor []Place

// Encode writes the cursor as text.
func (c Cursor) Encode() string {
	text, _ := json.Marshal(c) // Texts and numbers always marshal.
	return string(text)
}

// maxCount bounds what a client may say it has read of one millisecond.
const maxCount = 1 << 30

// Decode reads a cursor's text; empty text is the beginning. A place alone, as an older version wrote it, which followed one stream at a time, is the
// cursor of that stream.
func Decode(text string) (Cursor, error) {
	if text == "" {
		return nil, nil
	}
	if strings.HasPrefix(text, "{") {
		text = "[" + text + "]"
	}
	var c Cursor
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		return nil, fmt.Errorf("log cursor: %w", err)
	}
	for _, p := range c {
		if p.Stream == "" || p.Time < 0 || p.Count < 0 || p.Count > maxCount {
			return nil, errors.New("log cursor: a place without a stream, or where there is none")
		}
	}
	return c, nil
}

// in gives the cursor's place in a stream.
func (c Cursor) in(stream string) Place {
	if i := slices.IndexFunc(c, func(p Place) bool { return p.Stream == stream }); i >= 0 {
		return c[i]
	}
	return Place{Stream: stream}
}

// keep gives the places in the streams that there still are: a stream whose retention has ended is forgotten.
func (c Cursor) keep(streams []string) map[string]Place {
	places := map[string]Place{}
	for _, p := range c {
		if slices.Contains(streams, p.Stream) {
			places[p.Stream] = p
		}
	}
	return places
}

func cursorOf(places map[string]Place) Cursor {
	c := make(Cursor, 0, len(places))
	for _, p := range places {
		c = append(c, p)
	}
	slices.SortFunc(c, func(a, b Place) int { return cmp.Compare(a.Stream, b.Stream) })
	return c
}
