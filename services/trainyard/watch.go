package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	notificationv1 "github.com/trainyard/trainyard/gen/trainyard/notification/v1"
	"github.com/trainyard/trainyard/services/trainyard/client"
	"google.golang.org/protobuf/encoding/protojson"
)

type watchCommand struct {
	connection
	Resource string `arg:"" optional:"" help:"Only this resource and what is below it, such as datasets/digits; by default all."`
	Cursor   string `help:"Replay from this cursor on; 'latest' means from now on. By default from the beginning."`
}

func (c *watchCommand) Run(ctx context.Context) error {
	api, err := c.client()
	if err != nil {
		return err
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
		parts = append(parts, fmt.Sprintf("%s %g/%g", p["phase"].GetStringValue(), p["doneExamples"].GetNumberValue(), p["totalExamples"].GetNumberValue()))
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
	Collection string `arg:"" help:"datasets, datasets/ID/versions, …/shards, …/rejections, formats, recipes, baseDatasets, trainingJobs, models or events."`
	Limit      int    `help:"At most this many." default:"1000"`
}

func (c *listCommand) Run(ctx context.Context) error {
	api, err := c.client()
	if err != nil {
		return err
	}
	query := url.Values{"pageSize": {strconv.Itoa(min(c.Limit, 1000))}}
	for left := c.Limit; left > 0; {
		data, err := api.GetJSON(ctx, "/v1/"+strings.Trim(c.Collection, "/")+"?"+query.Encode())
		if err != nil {
			return err
		}
		items, next, err := readPage(data)
		if err != nil {
			return err
		}
		for _, item := range items[:min(left, len(items))] {
			if err := printJSON(item, c.JSON); err != nil {
				return err
			}
		}
		left -= len(items)
		if next == "" || len(items) == 0 {
			return nil
		}
		query.Set("pageToken", next)
	}
	return nil
}

// readPage takes a page of any collection apart: its one list, and the token of the next.
func readPage(data []byte) (items []json.RawMessage, next string, err error) {
	var page map[string]json.RawMessage
	if err := json.Unmarshal(data, &page); err != nil {
		return nil, "", err
	}
	for key, value := range page {
		switch {
		case key == "nextPageToken":
			err = json.Unmarshal(value, &next)
		case len(value) > 0 && value[0] == '[':
			err = json.Unmarshal(value, &items)
		}
		if err != nil {
			return nil, "", err
		}
	}
	return items, next, nil
}

func printJSON(data json.RawMessage, oneLine bool) error {
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		return err
	}
	var text []byte
	var err error
	if oneLine {
		text, err = json.Marshal(v)
	} else {
		text, err = json.MarshalIndent(v, "", "  ")
	}
	if err != nil {
		return err
	}
	fmt.Println(string(text))
	return nil
}
