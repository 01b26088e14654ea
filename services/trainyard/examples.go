package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"

	converterv1 "github.com/trainyard/trainyard/gen/trainyard/converter/v1"
)

type examplesCommand struct {
	connection
	Version string `arg:"" help:"A dataset's version: DATASET/NUMBER, its name, or DATASET for its newest READY version."`
	Split   string `help:"Only of this split."`
	Class   string `help:"Only of this class."`
	Limit   int    `help:"At most this many." default:"20"`
}

func (c *examplesCommand) Run(ctx context.Context) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	version, err := readyVersion(ctx, api, c.Version)
	if err != nil {
		return err
	}
	out := newOutput(c.JSON)
	var found []*converterv1.Example
	query := url.Values{"split": {c.Split}, "class": {c.Class}}
	for left := c.Limit; left > 0; {
		query.Set("pageSize", strconv.Itoa(min(left, 100)))
		var page converterv1.ListExamplesResponse
		if err := api.Get(ctx, "/v1/"+version+"/examples", query, &page); err != nil {
			return err
		}
		for _, e := range page.GetExamples() {
			out.update(e)
		}
		found = append(found, page.GetExamples()...)
		left -= len(page.GetExamples())
		if page.GetNextPageToken() == "" {
			break
		}
		query.Set("pageToken", page.GetNextPageToken())
	}
	switch {
	case c.JSON:
		return nil
	case len(found) == 0:
		out.note("none")
		return nil
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for _, row := range exampleRows(found) {
		fmt.Fprintln(table, strings.Join(row, "\t"))
	}
	return table.Flush()
}

// exampleRows are a table of examples: its header, then a row each with what there is of every feature.
func exampleRows(found []*converterv1.Example) [][]string {
	header := []string{"SPLIT", "CLASS"}
	var columns []string
	for _, e := range found {
		for _, f := range e.GetFeatures() {
			if !slices.Contains(columns, f.GetName()) {
				columns = append(columns, f.GetName())
				header = append(header, cell(f.GetName()))
			}
		}
	}
	rows := [][]string{append(header, "ID")}
	for _, e := range found {
		row := []string{e.GetSplit(), cell(e.GetClass())}
		for _, column := range columns {
			text := ""
			for _, f := range e.GetFeatures() {
				if f.GetName() == column {
					text = featureText(f)
				}
			}
			row = append(row, cell(text))
		}
		rows = append(rows, append(row, cell(e.GetId())))
	}
	return rows
}

// cell cuts a text to what fits into a table.
func cell(text string) string {
	const widest = 48
	runes := []rune(text)
	if len(runes) > widest {
		runes = append(runes[:widest-1], '…')
	}
	return printable(string(runes))
}

// printable shows what a terminal would obey.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '\uFFFD'
		}
		return r
	}, text)
}

func featureText(f *converterv1.Feature) string {
	var values []string
	switch v := f.GetValue().(type) {
	case *converterv1.Feature_Ints_:
		for _, n := range v.Ints.GetValues() {
			values = append(values, strconv.FormatInt(n, 10))
		}
	case *converterv1.Feature_Floats_:
		for _, n := range v.Floats.GetValues() {
			values = append(values, strconv.FormatFloat(float64(n), 'g', 4, 32))
		}
	case *converterv1.Feature_Texts_:
		values = v.Texts.GetValues()
	case *converterv1.Feature_Blobs_:
		for _, n := range v.Blobs.GetSizes() {
			values = append(values, fmt.Sprintf("%d bytes", n))
		}
	case *converterv1.Feature_Labels_:
		for i, n := range v.Labels.GetValues() {
			name := strconv.FormatInt(n, 10)
			if i < len(v.Labels.GetNames()) && v.Labels.GetNames()[i] != "" {
				name = v.Labels.GetNames()[i]
			}
			values = append(values, name)
		}
	case *converterv1.Feature_Boxes_:
		for _, box := range v.Boxes.GetBoxes() {
			values = append(values, fmt.Sprintf("%s(%.2f,%.2f)-(%.2f,%.2f)", box.GetClass(), box.GetXmin(), box.GetYmin(), box.GetXmax(), box.GetYmax()))
		}
	case *converterv1.Feature_Image_:
		return fmt.Sprintf("%d×%d %s", v.Image.GetWidth(), v.Image.GetHeight(), v.Image.GetEncoding())
	case *converterv1.Feature_Audio_:
		return fmt.Sprintf("%.2f s × %d at %d Hz", v.Audio.GetSeconds(), v.Audio.GetChannels(), v.Audio.GetSampleRate())
	}
	text := strings.Join(values, ", ")
	if more := f.GetValueCount() - int64(len(values)); more > 0 {
		text = fmt.Sprintf("%d values: %s", f.GetValueCount(), text)
	}
	return text
}
