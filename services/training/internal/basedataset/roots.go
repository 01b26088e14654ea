package basedataset

import (
	"fmt"
	"path"
	"strings"
)

// Root is a directory that published base datasets may lie under, each project's in a directory of the project's name.
type Root Location

// ParseRoots reads roots as the operator writes them: `fs-0123abcd:/bases` on EFS, `fs-0123abcd:MOUNTNAME:/bases` on FSx for Lustre.
// here is the region where jobs run. None may lie within another: a project of the inner one's name would reach the others' data.
func ParseRoots(texts []string, here string) ([]Root, error) {
	var roots []Root
	for _, text := range texts {
		l := Location{Region: here}
		parts := strings.Split(text, ":")
		switch {
		case len(parts) == 2:
			l.Storage, l.FileSystemID, l.Path = EFS, parts[0], parts[1]
		case len(parts) == 3:
			l.Storage, l.FileSystemID, l.MountName, l.Path = Lustre, parts[0], parts[1], parts[2]
		default:
			return nil, fmt.Errorf("root %q must be written fs-ID:/PATH for EFS or fs-ID:MOUNTNAME:/PATH for FSx for Lustre", text)
		}
		if _, err := l.Source(); err != nil {
			return nil, fmt.Errorf("root %q: %w", text, err)
		}
		for _, other := range roots {
			if other.FileSystemID == l.FileSystemID && (within(l.Path, other.Path) || within(other.Path, l.Path)) {
				return nil, fmt.Errorf("roots %q and %q lie one within the other; name the outer one alone, or two that lie apart", other.text(), text)
			}
		}
		roots = append(roots, Root(l))
	}
	return roots, nil
}

// within tells whether a clean path is a directory or lies under it.
func within(p, directory string) bool {
	return p == directory || strings.HasPrefix(p, strings.TrimSuffix(directory, "/")+"/")
}

func (r Root) text() string {
	if r.Storage == Lustre {
		return r.FileSystemID + ":" + r.MountName + ":" + r.Path
	}
	return r.FileSystemID + ":" + r.Path
}

// allow refuses a location that isn't in a directory of the project's under one of the roots.
func allow(roots []Root, project string, l Location) error {
	if len(roots) == 0 {
		return &FieldError{Field: "file_system", Message: "The operator allows no file system for published base datasets: " +
			"publish without one, so that jobs read the version's own S3 prefix, or have the operator set --publish-roots."}
	}
	if l.Storage == S3 {
		return &FieldError{Field: "file_system.storage", Message: "file_system is a directory on EFS or FSX_LUSTRE: leave it out for jobs to read the version's own S3 prefix."}
	}
	if _, err := l.Source(); err != nil {
		return &FieldError{Field: "file_system", Message: "file_system: " + err.Error() + "."}
	}
	allowed := make([]string, len(roots))
	for i, root := range roots {
		root.Path = path.Join(root.Path, project)
		same := root.Storage == l.Storage && root.FileSystemID == l.FileSystemID && root.MountName == l.MountName
		if same && l.Path != root.Path && within(l.Path, root.Path) {
			return nil
		}
		allowed[i] = root.text() + "/…"
	}
	return &FieldError{Field: "file_system.path", Message: fmt.Sprintf("%q of %s is no directory that this project may publish: use one under %s.",
		shorten(l.Path), l.FileSystemID, strings.Join(allowed, " or "))}
}

// shorten keeps what a user sent from filling an error.
func shorten(text string) string {
	if runes := []rune(text); len(runes) > 80 {
		return string(runes[:79]) + "…"
	}
	return text
}
