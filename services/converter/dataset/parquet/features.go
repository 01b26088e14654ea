package parquet

import (
	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/picture"
)

// Features implements dataset.Reader.
func (Reader) Features(index dataset.Index, stats *dataset.Stats) []dataset.Feature {
	s, err := parseSchema(index)
	if err != nil {
		return nil // can't be: the Encoders have parsed it
	}
	if s.Label >= 0 {
		s.Columns[s.Label].Classes = index.Classes
	}
	b := featureBuilder{stats: stats}
	return b.build(s.Columns, 0)
}

type featureBuilder struct{ stats *dataset.Stats }

// build makes the features of columns that have the same segments up to depth. They are sorted by key, so that those of one
// list of structs lie together unless a name with a character before the slash comes between, which is why they are collected first.
func (b *featureBuilder) build(columns []observed, depth int) []dataset.Feature {
	var all []dataset.Feature
	structs := make(map[string][]observed)
	var order []string
	for _, c := range columns {
		at := c.Segments[depth]
		if depth < len(c.Segments)-1 {
			if structs[at.Name] == nil {
				order = append(order, at.Name)
			}
			structs[at.Name] = append(structs[at.Name], c)
			continue
		}
		all = append(all, b.leaf(&c, at)...)
	}
	for _, name := range order {
		inner := structs[name]
		all = append(all, nested(name, inner[0].Segments[depth].Lists, b.build(inner, depth+1)...))
	}
	return all
}

// nested is a sequence of sequences of fields.
func nested(name string, lists int, fields ...dataset.Feature) dataset.Feature {
	for range lists - 1 {
		fields = []dataset.Feature{dataset.SequenceFeature("", fields...)}
	}
	return dataset.SequenceFeature(name, fields...)
}

// leaf makes the feature of a column, and those that go with it.
func (b *featureBuilder) leaf(c *observed, at segment) []dataset.Feature {
	wrap := func(name string, make func(name string) dataset.Feature) dataset.Feature {
		if at.Lists > 0 {
			return nested(name, at.Lists, make(""))
		}
		return make(name)
	}
	var all []dataset.Feature
	switch {
	case c.Kind == kindNothing:
	case c.Kind == kindImage:
		all = append(all, picture.Feature(at.Name, b.stats), dataset.TensorFeature(at.Name+orientationSuffix, "int64"))
	case c.Kind == kindAudio:
		all = append(all, dataset.AudioBytesFeature(at.Name, string(c.Sound.Samples), c.Sound.Rate, c.Sound.Channels), dataset.TensorFeature(at.Name+rateSuffix, "int64"))
	case c.Shape != nil:
		all = append(all, describe(dataset.TensorFeature(at.Name, c.Type, c.Shape...), c.About))
	default:
		all = append(all, wrap(at.Name, func(name string) dataset.Feature { return scalarFeature(c, name) }))
	}
	if c.Missing != "" {
		// Within a list of structs, the name has the segments before it.
		name := c.Missing[len(c.Key)-len(at.Name):]
		all = append(all, wrap(name, func(name string) dataset.Feature {
			return describe(dataset.TensorFeature(name, "int64"), "1 where "+at.Name+" is missing")
		}))
	}
	return all
}

func scalarFeature(c *observed, name string) dataset.Feature {
	switch {
	case c.Names != nil:
		return dataset.ClassLabelFeature(name, c.Names)
	case c.Classes != nil:
		return dataset.ClassLabelFeature(name, c.Classes)
	case c.Kind == kindText, c.Kind == kindPath:
		return dataset.TextFeature(name)
	case c.Kind == kindBytes:
		return dataset.TensorFeature(name, "string")
	}
	return describe(dataset.TensorFeature(name, c.Type), c.About)
}

// describe notes what numbers mean, where the type doesn't tell.
func describe(f dataset.Feature, about string) dataset.Feature {
	if about != "" {
		f.JSON["description"] = about
	}
	return f
}
