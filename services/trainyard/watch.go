package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	notificationv1 "github.com/trainyard/trainyard/gen/trainyard/notification/v1"
	"github.com/trainyard/trainyard/services/trainyard/client"
	"google.golang.org/protobuf/encoding/protojson"
)

type watchCommand struct {
	connection
	Resource string `arg:"" optional:"" help:"Only this resource and what is below it, such as datasets/digits; by default all."`
	Cursor   string `help:"Replay from this cursor on; 'latest' means from now on. By default from the beginning."`
}

// Validate is called by kong. A wrong name would be waited for in silence.
func (c *watchCommand) Validate() error {
	collection, _, named := strings.Cut(c.Resource, "/")
	if c.Resource == "" || named && slices.Contains([]string{"datasets", "trainingJobs", "models", "sweeps"}, collection) {
		return nil
	}
	return fmt.Errorf("%q is no resource's name: want one such as datasets/digits, datasets/digits/versions/1, trainingJobs/ID, sweeps/ID or models/ID", c.Resource)
}

func (c *watchCommand) Run(ctx context.Context) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	// Ids of jobs and sweeps are given by the server: one that isn't there never will be.
	if collection, _, _ := strings.Cut(c.Resource, "/"); collection == "trainingJobs" || collection == "sweeps" {
		if _, err := api.GetJSON(ctx, "/v1/"+c.Resource); err != nil {
			return err
		}
	}
	err = api.Watch(ctx, c.Resource, c.Cursor, func(e client.Event) error {
		if c.JSON {
			fmt.Println(e.Data)
			return nil
		}
		var event notificationv1.Event
		if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal([]byte(e.Data), &event); err != nil {
			return err
		}
		fmt.Printf("%s  %-20s %s %s\n", event.GetTime().AsTime().Local().Format("15:04:05"), event.GetType(), event.GetResource(), summary(&event))
		return nil
	})
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// summary picks what people want to see of a payload.
func summary(e *notificationv1.Event) string {
	fields := e.GetPayload().GetFields()
	parts := []string{fields["state"].GetStringValue()}
	if s := fields["secondaryStatus"].GetStringValue(); s != "" {
		parts = append(parts, s)
	}
	if p := fields["progress"].GetStructValue().GetFields(); p["phase"].GetStringValue() != "" && parts[0] == "CONVERTING" {
		if p["totalExamples"].GetNumberValue() == 0 {
			parts = append(parts, fmt.Sprintf("%s %s/%s bytes", p["phase"].GetStringValue(), p["doneBytes"].GetStringValue(), p["totalBytes"].GetStringValue()))
		} else {
			parts = append(parts, fmt.Sprintf("%s %g/%g", p["phase"].GetStringValue(), p["doneExamples"].GetNumberValue(), p["totalExamples"].GetNumberValue()))
		}
	}
	metrics := fields["metrics"].GetStructValue().GetFields()
	for _, name := range []string{"validation:accuracy", "validation:loss"} {
		if value, ok := metrics[name]; ok {
			parts = append(parts, fmt.Sprintf("%s=%.4g", name, value.GetNumberValue()))
		}
	}
	for _, key := range []string{"error", "failure"} {
		if m := fields[key].GetStructValue().GetFields()["message"].GetStringValue(); m != "" {
			parts = append(parts, m)
		}
	}
	return strings.Join(parts, " ")
}

type getCommand struct {
	connection
	Name string `arg:"" help:"A resource's name, such as datasets/digits/versions/1 or models/ID."`
}

func (c *getCommand) Run(ctx context.Context) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	data, err := api.GetJSON(ctx, "/v1/"+strings.Trim(c.Name, "/"))
	if err != nil {
		return err
	}
	return printJSON(data, c.JSON)
}

type listCommand struct {
	connection
	Collection string `arg:"" help:"datasets, datasets/ID/versions, datasets/ID/versions/N/shards, …/rejections and …/examples, formats, recipes, baseDatasets, trainingJobs, trainingJobs/ID/metrics, sweeps, models or events."`
	Limit      int    `help:"At most this many." default:"1000"`
}

func (c *listCommand) Run(ctx context.Context) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	query := url.Values{}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	left := c.Limit
	for left > 0 {
		query.Set("pageSize", strconv.Itoa(min(left, 1000)))
		data, err := api.GetJSON(ctx, "/v1/"+strings.Trim(c.Collection, "/")+"?"+query.Encode())
		if err != nil {
			return err
		}
		items, next, err := readPage(data)
		if err != nil {
			return err
		}
		for _, item := range items {
			if c.JSON {
				err = printJSON(item, true)
			} else {
				_, err = fmt.Fprintln(table, row(item))
			}
			if err != nil {
				return err
			}
		}
		left -= len(items)
		if len(next) == 0 || len(items) == 0 {
			break
		}
		for parameter, token := range next {
			query.Set(parameter, token)
		}
	}
	if left == c.Limit {
		newOutput(c.JSON).note("none")
	}
	return table.Flush()
}

// readPage takes a page of any collection apart: its items, and what to ask the next page by, if there is one. Shards come with the
// files that lie beside them.
func readPage(data []byte) (items []json.RawMessage, next map[string]string, err error) {
	var page map[string]json.RawMessage
	if err := json.Unmarshal(data, &page); err != nil {
		return nil, nil, err
	}
	next = map[string]string{}
	lists := 0
	for _, key := range slices.Backward(slices.Sorted(maps.Keys(page))) { // Shards before files.
		value := page[key]
		var text string
		switch {
		case len(value) > 0 && value[0] == '[':
			var list []json.RawMessage
			if err := json.Unmarshal(value, &list); err != nil {
				return nil, nil, err
			}
			items = append(items, list...)
			lists++
		case key == "package" && string(value) != "null":
			items = append(items, value)
		case len(value) > 0 && value[0] == '{':
			return nil, nil, errNoCollection
		case json.Unmarshal(value, &text) != nil || text == "":
		case key == "nextPageToken":
			next["pageToken"] = text
		case key == "nextCursor": // Of the event log.
			next["cursor"] = text
		}
	}
	if lists == 0 {
		return nil, nil, errNoCollection
	}
	return items, next, nil
}

var errNoCollection = errors.New("this is one resource and no collection: print it with `trainyard get`")

// row is an item of any collection on one line of a table: what there is of these fields. --json gives all of it.
func row(item json.RawMessage) string {
	var fields map[string]any
	if err := json.Unmarshal(item, &fields); err != nil {
		return string(item)
	}
	if example, ok := fields["example"].(string); ok { // Of a format.
		name, _ := fields["name"].(string)
		return fmt.Sprintf("%s: %v\n  %v\n\n    %s\n", id(name), fields["displayName"], fields["description"], strings.ReplaceAll(example, "\n", "\n    "))
	}
	var cells []string
	for _, key := range []string{
		"id", "class", "sequence", "time", "epoch", "type", "resource", "path", "kind", "where", "name", "value", "state", "secondaryStatus", "reason", "displayName",
		"fileName", "datasetVersion", "trainingJob", "bestTrainingJob", "trialCount", "exampleCount", "sizeBytes", "message", "createTime",
	} {
		value, ok := fields[key]
		if _, nested := value.(map[string]any); nested { // A sweep's job is no name.
			continue
		}
		if ok && (key != "kind" || value != "file") && (key != "where" || value != "0") { // A whole file is told by its path.
			cells = append(cells, fmt.Sprint(value))
		}
	}
	return strings.Join(cells, "\t")
}

// printJSON keeps the order of the fields, which is the contract's: what a resource is called and how it is comes first.
func printJSON(data json.RawMessage, oneLine bool) error {
	var text bytes.Buffer
	var err error
	if oneLine {
		err = json.Compact(&text, data)
	} else {
		err = json.Indent(&text, data, "", "  ")
	}
	if err != nil {
		return err
	}
	fmt.Println(text.String())
	return nil
}
