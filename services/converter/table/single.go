package table

import (
	"encoding/json"
	"fmt"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/reject"
	"github.com/trainyard/trainyard/services/converter/tfrecord"
)

// Observer infers the types of the columns from rows that don't become examples of their own but say something of other files, as
// those of the format image-table do. It is for one goroutine.
type Observer struct {
	rows   observer
	comma  string
	chosen bool
}

// ObserveCSV makes an Observer of rows of CSV; see NewCSV for the arguments.
func ObserveCSV(comma byte, names []string, label int, chosen bool) *Observer {
	return &Observer{rows: newCSVObserver(comma, names, label), comma: string(comma), chosen: chosen}
}

// ObserveJSON makes an Observer of rows that are objects of JSON. label is the path of the label, "" if there is none.
func ObserveJSON(label string, chosen bool) *Observer {
	return &Observer{rows: newJSONObserver(label), chosen: chosen}
}

// Row notes a row, or says why it is to be left out.
func (o *Observer) Row(data []byte) *RowError {
	_, err := o.rows.row(data)
	return err
}

// Finish returns the schema of the rows and the label's classes, nil if there are none.
func (o *Observer) Finish() (*Schema, []string, error) {
	if err := o.rows.failed(); err != nil {
		return nil, nil, err
	}
	names, columns, rows, label := o.rows.columns()
	s, classes, err := makeSchema(names, columns, rows, label, o.chosen)
	if err != nil {
		return nil, nil, err
	}
	s.Comma = o.comma
	return s, classes, nil
}

// RowFeatures turns rows that an Observer saw into features to be put beside others in an example. It is for one goroutine.
type RowFeatures struct {
	encoder *Encoder
	drop    []bool // of the encoder's features
	kept    []tfrecord.Feature
	quiet   []bool // of the fields
}

// NewRowFeatures makes RowFeatures of a schema whose features may have got other names. Fields for which drop is true become
// no features, those for which quiet is true aren't observed.
func NewRowFeatures(s *Schema, classes []string, drop, quiet func(Field) bool) (*RowFeatures, error) {
	raw, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("table: schema: %w", err)
	}
	e, err := NewEncoder(dataset.Index{Classes: classes, Schema: raw})
	if err != nil {
		return nil, err
	}
	r := &RowFeatures{encoder: e, drop: make([]bool, len(e.features))}
	for i := range e.fields {
		f := &e.fields[i]
		dropped := drop(f.Field)
		r.quiet = append(r.quiet, dropped || quiet(f.Field))
		for _, place := range []int{f.place, f.missing, f.lengths} {
			if dropped && place >= 0 {
				r.drop[place] = true
			}
		}
	}
	return r, nil
}

// Row returns the features of a row and its class, -1 if there is none. They stay until the next call.
func (r *RowFeatures) Row(row []byte) (features []tfrecord.Feature, label int, err *RowError) {
	if err := r.encoder.take(row); err != nil {
		return nil, -1, err
	}
	r.encoder.setFeatures()
	r.kept = r.kept[:0]
	for i := range r.encoder.features {
		if !r.drop[i] {
			r.kept = append(r.kept, r.encoder.features[i])
		}
	}
	return r.kept, r.encoder.label, nil
}

// Observe notes the values of the last row in the statistics.
func (r *RowFeatures) Observe(stats *dataset.Stats) {
	columns := &r.encoder.columns
	columns.Use(stats)
	for i := range r.encoder.fields {
		if !r.quiet[i] {
			r.encoder.fields[i].observe(columns, i)
		}
	}
}

// Describe returns the features of the schema's fields that are kept.
func (s *Schema) Describe(classes []string, keep func(Field) bool) []dataset.Feature {
	kept := Schema{Label: -1}
	for i, f := range s.Fields {
		if keep(f) {
			if i == s.Label {
				kept.Label = len(kept.Fields)
			}
			kept.Fields = append(kept.Fields, f)
		}
	}
	return kept.features(classes)
}

// Rename gives a field's feature another name, or that with a number if it is taken.
func (s *Schema) Rename(field int, name string) {
	taken := make(map[string]bool)
	for i, f := range s.Fields {
		if i != field {
			taken[f.Name], taken[f.Missing] = true, true
		}
	}
	f := &s.Fields[field]
	f.Name = uniqueName(name, taken)
	if f.Missing != "" {
		f.Missing = uniqueName(f.Name+"_missing", taken)
	}
}

// NewRowError makes a RowError for a row whose line the caller knows.
func NewRowError(reason reject.Reason, format string, args ...any) *RowError {
	return rowError(reason, format, args...)
}
