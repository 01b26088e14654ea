package parquet

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/format"

	"github.com/trainyard/trainyard/services/converter/reject"
	"github.com/trainyard/trainyard/services/converter/table"
)

// Limits of a schema.
const (
	maxDepth     = 64  // groups within groups
	maxLists     = 4   // lists within lists
	maxNameBytes = 256 // of a column's key
)

// node is one element of the schema tree.
type node struct {
	element  *format.SchemaElement
	parent   *node
	children []*node
	physical format.Type // of a leaf
	leaf     int         // index among the leaves, -1 of a group
	maxDef   byte        // levels, as the specification's "Nested Encoding" (Dremel) defines them
	maxRep   byte
}

func (n *node) repeated() bool {
	return n.element.RepetitionType.Valid && n.element.RepetitionType.V == format.Repeated
}

func (n *node) converted(t deprecated.ConvertedType) bool {
	return n.element.ConvertedType.Valid && n.element.ConvertedType.V == t
}

// name is the column's name for messages.
func (n *node) name() string {
	if n.parent == nil || n.parent.parent == nil {
		return strings.ToValidUTF8(n.element.Name, "\uFFFD")
	}
	return n.parent.name() + "." + strings.ToValidUTF8(n.element.Name, "\uFFFD")
}

// buildTree makes the tree of the schema's elements, which lie in depth-first order.
func (f *file) buildTree() error {
	elements := f.footer.Schema
	if len(elements) == 0 {
		return corrupt(f.path, "it has no schema")
	}
	if len(elements) > maxNodes {
		return tooLarge(f.path, "its schema has %d elements; the limit is %d. Leave out columns", len(elements), maxNodes)
	}
	next := 0
	var build func(parent *node, depth int) (*node, error)
	build = func(parent *node, depth int) (*node, error) {
		if next == len(elements) {
			return nil, corrupt(f.path, "its schema has fewer elements than it says")
		}
		if depth > maxDepth {
			return nil, tooLarge(f.path, "its columns are nested deeper than %d levels; flatten them", maxDepth)
		}
		n := &node{element: &elements[next], parent: parent, leaf: -1}
		next++
		if parent != nil {
			n.maxDef, n.maxRep = parent.maxDef, parent.maxRep
			if r := n.element.RepetitionType; r.Valid && r.V != format.Required {
				n.maxDef++
				if r.V == format.Repeated {
					n.maxRep++
				}
			}
		}
		if n.element.Type.Valid && parent != nil {
			if len(f.leaves) == maxColumns {
				return nil, tooLarge(f.path, "it has more than %d columns, the limit. Leave out columns", maxColumns)
			}
			n.physical, n.leaf = n.element.Type.V, len(f.leaves)
			f.leaves = append(f.leaves, n)
			return n, nil
		}
		for range max(0, n.element.NumChildren.V) {
			child, err := build(n, depth+1)
			if err != nil {
				return nil, err
			}
			n.children = append(n.children, child)
		}
		return n, nil
	}
	var err error
	if f.root, err = build(nil, 0); err != nil {
		return err
	}
	if next != len(elements) {
		return corrupt(f.path, "its schema has more elements than it says")
	}
	if len(f.leaves) == 0 {
		return corrupt(f.path, "it has no columns")
	}
	return nil
}

// kind is what a column becomes in an example.
type kind string

// The kinds.
const (
	kindInt   kind = "int"   // int64
	kindBool  kind = "bool"  // int64
	kindFloat kind = "float" // float32
	kindText  kind = "text"
	kindBytes kind = "bytes"
	kindImage kind = "image"
	kindAudio kind = "audio"
	kindMedia kind = "media" // an image or audio: its bytes tell which
	kindPath  kind = "path"  // of an image or audio

	kindNothing kind = "nothing" // a path that no row has; it is no feature
)

// segment is a part of a column's key: a field, and how many lists it consists of.
type segment struct {
	Name  string `json:"name"`
	Lists int    `json:"lists,omitempty"`
}

// column is a leaf of the schema that becomes a feature. It is the same for all files of a dataset.
type column struct {
	Key      string    `json:"key"` // in the example; the names of the segments
	Segments []segment `json:"segments"`
	Lists    int       `json:"lists,omitempty"` // that its values lie in
	Kind     kind      `json:"kind"`
	Type     string    `json:"type,omitempty"` // TFDS's dtype of numbers
	About    string    `json:"about,omitempty"`
	Names    []string  `json:"names,omitempty"` // of a Hugging Face ClassLabel, whose values are indices of them
	Plain    bool      `json:"plain,omitempty"` // Hugging Face's metadata say that it is text, not a class
	Coded    bool      `json:"coded,omitempty"` // there are codes for its values, of a text that has a dictionary in the first file; see words
}

// planned is a column of one file: how its values are read.
type planned struct {
	column
	node    *node
	convert converter
	defs    []byte // from which definition level on there is an element of the list, for each of the lists
}

// plan turns the schema tree into columns, sorted by key. Structs are flattened to a.b, lists of structs to a/b, which is where TFDS
// looks for the fields of a sequence.
func (f *file) plan() ([]planned, error) {
	p := planner{file: f}
	features := hfFeatures(f.keyValue("huggingface"))
	for _, n := range f.root.children {
		if err := p.walk(n, place{name: cleanName(n)}, fields(features)[n.element.Name]); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(p.columns, func(a, b planned) int { return cmp.Compare(a.Key, b.Key) })
	for i := range p.columns {
		key := p.columns[i].Key
		if i > 0 && key == p.columns[i-1].Key {
			return nil, reject.New(reject.DuplicateColumns, "%q has two columns that would both be called %q; rename one.", f.path, key)
		}
		if len(key) > maxNameBytes {
			return nil, reject.New(reject.InvalidOptions, "%q has a column whose name has %d bytes, %.40q…; the limit is %d. Rename it.", f.path, len(key), key, maxNameBytes)
		}
		c := &p.columns[i]
		c.Coded = c.Kind == kindText && c.Lists == 0 && len(f.footer.RowGroups) > 0 && f.footer.RowGroups[0].Columns[c.node.leaf].MetaData.Dictionary > 0
	}
	return p.columns, nil
}

// cleanName is an element's name as a part of a key. Slashes separate the parts, so there is none within.
func cleanName(n *node) string {
	name := strings.ReplaceAll(strings.ToValidUTF8(n.element.Name, "\uFFFD"), "/", "_")
	if name == "" {
		return "unnamed"
	}
	return name
}

// place is where in an example the walk is.
type place struct {
	segments []segment // closed by a list of structs
	name     string
	lists    int // behind name
	defs     []byte
}

func (p place) list(n *node) place {
	p.lists++
	p.defs = append(slices.Clone(p.defs), n.maxDef)
	return p
}

func (p place) field(n *node) place {
	if p.lists > 0 {
		p.segments = append(slices.Clone(p.segments), segment{p.name, p.lists})
		p.name, p.lists = cleanName(n), 0
		return p
	}
	p.name += "." + cleanName(n)
	return p
}

type planner struct {
	file    *file
	columns []planned
}

// walk adds the columns of an element. feature is what Hugging Face says of it, if anything.
func (p *planner) walk(n *node, at place, feature json.RawMessage) error {
	if n.repeated() { // without a group around it: an old form of a list
		return p.inList(n, n, at, feature)
	}
	if n.leaf >= 0 {
		return p.leaf(n, at, feature)
	}
	isMap := n.converted(deprecated.Map) || n.converted(deprecated.MapKeyValue)
	isList := n.converted(deprecated.List)
	switch n.element.LogicalType.Value.(type) {
	case *format.MapType:
		isMap = true
	case *format.ListType:
		isList = true
	}
	if (isMap || isList) && len(n.children) == 1 && n.children[0].repeated() {
		item := n.children[0]
		// The specification's rules for telling a list's element from the group that repeats it ("Lists: Backward-compatibility rules").
		if isList && item.leaf < 0 && len(item.children) == 1 && item.element.Name != "array" && item.element.Name != n.element.Name+"_tuple" {
			return p.inList(item, item.children[0], at, feature)
		}
		return p.inList(item, item, at, feature)
	}
	if media := p.media(n, feature); media != "" {
		if at.lists > 0 || len(at.segments) > 0 {
			return unsupported(p.file.path, "column %q holds images or sounds within a list; write one a row", n.name())
		}
		return p.addMedia(n, at, media)
	}
	if len(n.children) == 0 {
		return nil // an empty struct says nothing
	}
	inner := fields(feature)
	for _, child := range n.children {
		if err := p.walk(child, at.field(child), inner[child.element.Name]); err != nil {
			return err
		}
	}
	return nil
}

// inList adds the columns of a list: repeated is the element that there is one of for each of the list's elements.
func (p *planner) inList(repeated, element *node, at place, feature json.RawMessage) error {
	at = at.list(repeated)
	if len(at.defs) > maxLists {
		return unsupported(p.file.path, "column %q has more than %d lists within each other; flatten it", element.name(), maxLists)
	}
	feature = elementFeature(feature)
	switch {
	case element.leaf >= 0:
		return p.leaf(element, at, feature)
	case element != repeated:
		return p.walk(element, at, feature)
	}
	inner := fields(feature)
	for _, child := range element.children {
		if err := p.walk(child, at.field(child), inner[child.element.Name]); err != nil {
			return err
		}
	}
	return nil
}

func (p *planner) leaf(n *node, at place, feature json.RawMessage) error {
	c, err := p.typed(n)
	if err != nil {
		return err
	}
	if c.Kind == kindInt {
		c.Names = classNames(feature)
	}
	c.Plain = featureType(feature) == "Value"
	p.add(c, at)
	return nil
}

func (p *planner) add(c planned, at place) {
	c.Segments = append(slices.Clone(at.segments), segment{at.name, at.lists})
	c.defs, c.Lists = at.defs, len(at.defs)
	names := make([]string, len(c.Segments))
	for i, s := range c.Segments {
		names[i] = s.Name
	}
	c.Key = strings.Join(names, "/")
	p.columns = append(p.columns, c)
}

// media tells whether a struct is how Hugging Face stores an image or a sound: as its bytes and the path that it had.
func (p *planner) media(n *node, feature json.RawMessage) kind {
	if len(n.children) != 2 {
		return ""
	}
	for _, child := range n.children {
		if name := child.element.Name; child.leaf < 0 || child.repeated() || child.physical != format.ByteArray || name != "bytes" && name != "path" {
			return ""
		}
	}
	switch featureType(feature) {
	case "Image":
		return kindImage
	case "Audio":
		return kindAudio
	}
	return kindMedia
}

func (p *planner) addMedia(n *node, at place, media kind) error {
	for _, child := range n.children {
		c := planned{column: column{Kind: media}, node: child, convert: converter{to: kindBytes, width: -1}}
		if child.element.Name == "path" {
			c.Kind = kindPath
			p.add(c, at.field(child))
			continue
		}
		p.add(c, at)
	}
	return nil
}

// hfFeatures returns what the library datasets writes of the features under the key huggingface.
func hfFeatures(value string) json.RawMessage {
	var meta struct {
		Info struct {
			Features json.RawMessage `json:"features"`
		} `json:"info"`
	}
	if json.Unmarshal([]byte(value), &meta) != nil {
		return nil // a hint that can't be read is none
	}
	return meta.Info.Features
}

// hfFeature is one feature; https://huggingface.co/docs/datasets/about_dataset_features.
type hfFeature struct {
	Type    string          `json:"_type"`
	Names   []string        `json:"names"`
	Feature json.RawMessage `json:"feature"`
}

func parseFeature(raw json.RawMessage) (f hfFeature) {
	if json.Unmarshal(raw, &f) != nil {
		return hfFeature{}
	}
	return f
}

func featureType(raw json.RawMessage) string { return parseFeature(raw).Type }

// fields are the features of a struct's fields. A sequence of dicts is stored as a struct of lists, so it is seen through.
func fields(raw json.RawMessage) map[string]json.RawMessage {
	if f := parseFeature(raw); f.Type == "Sequence" && f.Feature != nil {
		raw = f.Feature
	}
	var m map[string]json.RawMessage
	if json.Unmarshal(raw, &m) != nil {
		return nil
	}
	return m
}

// elementFeature is the feature of a list's elements.
func elementFeature(raw json.RawMessage) json.RawMessage {
	if bytes.HasPrefix(bytes.TrimSpace(raw), []byte("[")) {
		var list []json.RawMessage
		if json.Unmarshal(raw, &list) != nil || len(list) != 1 {
			return nil
		}
		return list[0]
	}
	switch f := parseFeature(raw); f.Type {
	case "Sequence", "List", "LargeList":
		return f.Feature
	}
	return raw
}

// classNames are the names of a ClassLabel, nil of any other feature or if they couldn't be labels.
func classNames(raw json.RawMessage) []string {
	f := parseFeature(raw)
	if f.Type != "ClassLabel" || len(f.Names) == 0 || len(f.Names) > table.MaxClasses {
		return nil
	}
	seen := make(map[string]bool, len(f.Names))
	for _, name := range f.Names {
		if seen[name] || checkLabel(name) != nil {
			return nil
		}
		seen[name] = true
	}
	return f.Names
}

// checkLabel checks that a label can stand in a file of one name a line.
func checkLabel(name string) error {
	if name == "" || name != strings.TrimSpace(name) || len(name) > maxNameBytes || strings.ContainsAny(name, "\n\r") {
		return fmt.Errorf("%.40q can't be a label: it has 1 to %d bytes in one line and neither begins nor ends with a space", name, maxNameBytes)
	}
	return nil
}
