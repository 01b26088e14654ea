package yolo

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/trainyard/trainyard/services/converter/dataset"
	"github.com/trainyard/trainyard/services/converter/dataset/boxes"
	"github.com/trainyard/trainyard/services/converter/reject"
)

// The limits on the file that names the classes.
const (
	maxConfig     = 4 << 20 // bytes
	maxIndicators = 5 * boxes.MaxClasses
	maxDepth      = 8
	maxPaths      = 16 // folders and lists of a split
)

// config is what the file says that names the classes.
type config struct {
	names     []string
	keypoints [2]int                     // points, numbers of each
	splits    map[dataset.Split][]string // folders and lists of images
}

// syntaxError is why a file can't be read.
type syntaxError struct {
	reason  reject.Reason
	message string
}

func (e *syntaxError) Error() string { return e.message }

func refuse(line int, reason reject.Reason, format string, args ...any) error {
	return &syntaxError{reason, fmt.Sprintf("line %d: ", line) + fmt.Sprintf(format, args...)}
}

// parseYAML reads data.yaml as Ultralytics defines it (https://docs.ultralytics.com/datasets/detect/): names, a list or a map of class number to name; train, val and
// test, each a path or a list of them; kpt_shape. Everything else is skipped. The YAML is looked at as a tree of nodes, in which nothing is expanded; anchors and aliases are
// refused. All errors are *syntaxError.
func parseYAML(data []byte) (*config, error) {
	if err := checkCount(data); err != nil {
		return nil, err
	}
	var document yaml.Node
	if err := yaml.Unmarshal(data, &document); err != nil {
		return nil, &syntaxError{reject.MalformedFile, fmt.Sprintf("the YAML can't be read: %.200s", strings.TrimPrefix(err.Error(), "yaml: "))}
	}
	if len(document.Content) != 1 || document.Content[0].Kind != yaml.MappingNode {
		return nil, refuse(1, reject.NotData, "the YAML isn't a mapping such as \"names: [cat, dog]\"")
	}
	if err := checkTree(&document, 0); err != nil {
		return nil, err
	}
	c := &config{splits: make(map[dataset.Split][]string)}
	root := document.Content[0]
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		var err error
		switch split := dataset.SplitNamed(key.Value); {
		case key.Value == "names":
			c.names, err = namesOf(value)
		case key.Value == "kpt_shape":
			c.keypoints, err = keypointsOf(value)
		case split != dataset.NoSplit:
			c.splits[split], err = pathsOf(value)
		}
		if err != nil {
			return nil, err
		}
	}
	if c.names == nil {
		return nil, refuse(root.Line, reject.NotData, "there is no \"names\"")
	}
	return c, nil
}

// checkCount refuses what would become too many nodes, before it is parsed: each takes 200 bytes of memory. No node is without one of these bytes beside it.
func checkCount(data []byte) error {
	n, line := 0, 1
	for _, b := range data {
		switch b {
		case '\n':
			line++
			n++
		case ',', ':', '-', '?', '[', '{':
			n++
		}
		if n > maxIndicators {
			return refuse(line, reject.TooLarge, "the file has more than %d lines, commas, colons, hyphens and brackets, the limit", maxIndicators)
		}
	}
	return nil
}

// checkTree refuses deep trees, anchors and aliases.
func checkTree(n *yaml.Node, depth int) error {
	if depth > maxDepth {
		return refuse(n.Line, reject.TooDeep, "lists and mappings lie more than %d deep within each other, the limit", maxDepth)
	}
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		return refuse(n.Line, reject.MalformedFile, "anchors (&) and aliases (*) are not allowed; write the value out")
	}
	for _, child := range n.Content {
		if err := checkTree(child, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// namesOf reads a list of names, or a mapping of the numbers from 0 on to names.
func namesOf(n *yaml.Node) ([]string, error) {
	switch n.Kind {
	case yaml.SequenceNode:
		names := make([]string, 0, len(n.Content))
		for _, item := range n.Content {
			if item.Kind != yaml.ScalarNode {
				return nil, refuse(item.Line, reject.MalformedFile, "a class's name must be a text")
			}
			names = append(names, strings.TrimSpace(item.Value))
		}
		return names, nil
	case yaml.MappingNode:
		count := len(n.Content) / 2
		names, set := make([]string, count), make([]bool, count)
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, value := n.Content[i], n.Content[i+1]
			number, err := strconv.Atoi(key.Value)
			if err != nil || number < 0 || number >= count || set[number] {
				return nil, refuse(key.Line, reject.MalformedFile, "the classes must be numbered from 0 to %d without a gap, each once; %.40q doesn't fit", count-1, key.Value)
			}
			if value.Kind != yaml.ScalarNode {
				return nil, refuse(value.Line, reject.MalformedFile, "a class's name must be a text")
			}
			names[number], set[number] = strings.TrimSpace(value.Value), true
		}
		return names, nil
	}
	return nil, refuse(n.Line, reject.MalformedFile, "\"names\" must be a list of the classes' names, or a mapping of their numbers to them")
}

func keypointsOf(n *yaml.Node) (shape [2]int, err error) {
	if n.Kind == yaml.SequenceNode && len(n.Content) == 2 {
		points, err1 := strconv.Atoi(n.Content[0].Value)
		numbers, err2 := strconv.Atoi(n.Content[1].Value)
		if err1 == nil && err2 == nil && points > 0 && points <= 10_000 && (numbers == 2 || numbers == 3) {
			return [2]int{points, numbers}, nil
		}
	}
	return shape, refuse(n.Line, reject.MalformedFile, "\"kpt_shape\" must be the number of keypoints and the number of values of each, 2 or 3, such as [17, 3]")
}

func pathsOf(n *yaml.Node) ([]string, error) {
	items := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		items = n.Content
	}
	if len(items) > maxPaths {
		return nil, refuse(n.Line, reject.TooLarge, "a split has more than %d folders, the limit", maxPaths)
	}
	var paths []string
	for _, item := range items {
		if item.Kind != yaml.ScalarNode {
			return nil, refuse(item.Line, reject.MalformedFile, "a split must be a path or a list of paths")
		}
		if item.Tag != "!!null" && item.Value != "" {
			paths = append(paths, cleanPath(item.Value))
		}
	}
	return paths, nil
}

// cleanPath takes what is of another machine from a path: the drive, and dots. What is left is compared from its end.
func cleanPath(p string) string {
	p = path.Clean("/" + strings.ReplaceAll(p, `\`, "/"))
	if _, rest, ok := strings.Cut(p, ":/"); ok {
		p = rest
	}
	return strings.Trim(p, "/")
}

// parseNames reads a name a line, as in classes.txt and obj.names; blank lines at the end are none.
func parseNames(data []byte) (*config, error) {
	lines := bytes.Split(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")), []byte("\n"))
	for len(lines) > 0 && len(bytes.TrimSpace(lines[len(lines)-1])) == 0 {
		lines = lines[:len(lines)-1]
	}
	if len(lines) > boxes.MaxClasses {
		return nil, refuse(boxes.MaxClasses+1, reject.TooManyClasses, "there are more than %d classes, the limit", boxes.MaxClasses)
	}
	c := &config{}
	for _, line := range lines {
		c.names = append(c.names, string(bytes.TrimSpace(line)))
	}
	return c, nil
}

// isConfig tells whether a file is called as one that names the classes, and how good a source it is: the least is the best; 0: it is none.
func isConfig(p string) int {
	base := strings.ToLower(path.Base(p))
	switch {
	case base == "data.yaml", base == "data.yml":
		return 1
	case strings.HasSuffix(base, ".yaml"), strings.HasSuffix(base, ".yml"):
		return 2
	case base == "obj.names":
		return 3
	case strings.HasSuffix(base, ".names"):
		return 4
	case slices.Contains([]string{"classes.txt", "_darknet.labels", "predefined_classes.txt", "labels.txt", "names.txt"}, base):
		return 5
	}
	return 0
}

func isYAML(p string) bool { return isConfig(p) == 1 || isConfig(p) == 2 }
