package basedataset

import (
	"fmt"
	"slices"
	"strings"

	"github.com/trainyard/trainyard/services/training/recipe"
)

// Dataset is the user's version as a base dataset is joined to it.
type Dataset struct {
	Labels []string
	// Features may be nil where they don't matter, as with an image of the user's own.
	Features Features
	// Inputs are the features that the recipe reads, by the inputs' parameters; what isn't in it has its usual name.
	Inputs map[string]string
}

// JoinError tells that a job could make nothing of a base dataset.
type JoinError struct {
	ID      string
	Message string
}

func (e *JoinError) Error() string { return e.Message }

const classLabel, imageClass = "ClassLabel", "Image"

// CheckJoin tells whether a recipe can train on a base dataset together with the user's: it must hold what the recipe reads, by the usual
// names or as the only features of their kind, and share a class. What nobody said of the base dataset isn't checked. chosen is nil with an
// image of the user's own, which reads what it likes. notes are what the user should know, a sentence each. It fails with a JoinError.
func CheckJoin(b *BaseDataset, chosen *recipe.Recipe, with Dataset) (notes []string, err error) {
	if chosen == nil {
		return nil, nil
	}
	for _, input := range chosen.Inputs {
		if input.Class == classLabel {
			note, err := b.sharedClasses(with.Labels)
			if err != nil {
				return nil, err
			}
			notes = append(notes, note)
		}
		if len(b.Features) == 0 {
			continue
		}
		name, err := b.input(chosen, input)
		if err != nil {
			return nil, err
		}
		if input.Class == imageClass {
			theirs, ok := with.Inputs[input.Parameter]
			if !ok {
				theirs = input.Default
			}
			notes = append(notes, shapeNote(b.ID, b.Features[name].Shape, with.Features[theirs].Shape))
		}
	}
	return slices.DeleteFunc(notes, func(note string) bool { return note == "" }), nil
}

// sharedClasses counts the classes that are the user's as well, and refuses a base dataset of which none is: it would be read for nothing.
func (b *BaseDataset) sharedClasses(labels []string) (note string, err error) {
	if len(b.Labels) == 0 {
		return "", nil
	}
	var others []string
	for _, label := range b.Labels {
		if !slices.Contains(labels, label) {
			others = append(others, label)
		}
	}
	shared := len(b.Labels) - len(others)
	if shared == 0 {
		return "", &JoinError{ID: b.ID, Message: fmt.Sprintf(
			"%s shares no class with the dataset: its classes are %s, the dataset's are %s. Rename the class folders to match, or leave it out.",
			b.ID, listed(b.Labels), listed(labels))}
	}
	note = fmt.Sprintf("%s has %d of the dataset's %d classes", b.ID, shared, len(labels))
	if len(others) > 0 {
		note += fmt.Sprintf("; its examples of %s are left out", listed(others))
	}
	return note + ".", nil
}

// input finds the feature that a recipe reads for an input.
func (b *BaseDataset) input(chosen *recipe.Recipe, input recipe.Input) (string, error) {
	name, fit := b.Features.Choose(input)
	switch {
	case name != "":
		return name, nil
	case len(fit) > 1:
		return "", &JoinError{ID: b.ID, Message: fmt.Sprintf("%s has several features that may be the %s: %s. Have it converted again with the one to train on named %q, or leave it out.",
			b.ID, input.Default, listed(fit), input.Default)}
	}
	return "", &JoinError{ID: b.ID, Message: fmt.Sprintf("The examples of %s hold no %s of the kind %s, which recipes/%s needs; their features are %s. Choose another base dataset, or leave it out.",
		b.ID, input.Default, input.Class, chosen.ID, b.Features)}
}

// shapeNote tells of images that differ in what is fixed in both.
func shapeNote(id string, base, user []int) string {
	if len(base) != 3 || len(user) != 3 {
		return ""
	}
	for i := range base {
		if base[i] > 0 && user[i] > 0 && base[i] != user[i] {
			return fmt.Sprintf("The images of %s are %s and the dataset's are %s (height × width × channels): the training program brings them to one shape.",
				id, shapeText(base), shapeText(user))
		}
	}
	return ""
}

func shapeText(shape []int) string {
	parts := make([]string, len(shape))
	for i, n := range shape {
		parts[i] = "any"
		if n > 0 {
			parts[i] = fmt.Sprint(n)
		}
	}
	return strings.Join(parts, " × ")
}

// Mix gives the share of each batch that comes from base datasets, for a job whose parameters don't say: the largest that one of them
// asks for. They share it by their sizes. Sums would crowd out the user's own data. 0 means that none asks, and the recipe's default counts.
func Mix(bases []*BaseDataset) float64 {
	var mix float64
	for _, b := range bases {
		mix = max(mix, b.MixRatio)
	}
	return mix
}
