package auth_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/trainyard/trainyard/services/internal/auth"
)

// Files that are written within one tick of the file system's clock have one modification time.
func TestTokenIsKnownAsSoonAsItIsAdded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens.json")
	if _, err := auth.AddToken(path, "first", "acme", false); err != nil {
		t.Fatal(err)
	}
	tokens, err := auth.OpenTokens(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		project := fmt.Sprintf("project-%d", i)
		token, err := auth.AddToken(path, project, project, false)
		if err != nil {
			t.Fatal(err)
		}
		if p, err := tokens.Authenticate(token); err != nil || p.Project != project {
			t.Fatalf("token %d: %v, %v", i, p, err)
		}
	}
}

func TestProjectIsNoPath(t *testing.T) {
	for name, good := range map[string]bool{
		"acme": true, "Team_1.eu-west": true, "": false, ".": false, "..": false, "a/b": false, "a b": false, "a\x00": false, "-a": false,
	} {
		path := filepath.Join(t.TempDir(), "tokens.json")
		if _, err := auth.AddToken(path, "user", name, false); (err == nil) != good {
			t.Errorf("project %q: %v", name, err)
		}
	}
}
