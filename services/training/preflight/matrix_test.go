package preflight

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// row is a check in a world: a good one, or one in which a single thing is wrong.
type row struct {
	check, world string
	// judge is who plays AWS: moto, fake, both, or none where the check asks nothing.
	judge string
	want  Status
	// says is a part of what the check has to have seen, or of its snippet.
	says string
	// build makes the world; it runs in a test of its own.
	build func(t *testing.T) (*Clients, *Subject)
}

// TestMatrix runs each check in good and bad worlds. Every check needs a world in which it passes, and one in which it fails or warns.
func TestMatrix(t *testing.T) {
	rows := slices.Concat(accountRows(), networkRows())
	checks := map[string]Check{}
	for _, c := range All() {
		checks[c.Name] = c
	}
	results := make([]Result, len(rows))
	t.Run("worlds", func(t *testing.T) {
		for i, r := range rows {
			t.Run(r.check+"/"+r.world, func(t *testing.T) {
				t.Parallel()
				check, ok := checks[r.check]
				if !ok {
					t.Fatalf("All has no check %q", r.check)
				}
				clients, subject := r.build(t)
				results[i] = Run(t.Context(), clients, subject, []Check{check}, time.Minute)[0]
				judgeRow(t, r, results[i])
			})
		}
	})
	good, bad := map[string]bool{}, map[string]bool{}
	var table strings.Builder
	fmt.Fprintf(&table, "\n%-18s | %-48s | %-7s | %-5s | %s\n", "check", "world", "status", "judge", "seen")
	for i, r := range rows {
		good[r.check] = good[r.check] || r.want == Pass
		bad[r.check] = bad[r.check] || r.want == Fail || r.want == Warn
		fmt.Fprintf(&table, "%-18s | %-48s | %-7s | %-5s | %s\n", r.check, r.world, results[i].Status, r.judge, short(results[i].Seen))
	}
	t.Log(table.String())
	for _, name := range Names() {
		if !good[name] || !bad[name] {
			t.Errorf("check %s lacks a row: in a good world %v, in a bad one %v", name, good[name], bad[name])
		}
	}
}

func judgeRow(t *testing.T, r row, got Result) {
	t.Helper()
	if got.Status != r.want {
		t.Errorf("%s, want %s: %s", got.Status, r.want, got.Seen)
	}
	if !strings.Contains(got.Seen+"\n"+got.Snippet+"\n"+got.Prevents, r.says) {
		t.Errorf("it doesn't say %q:\n%s\n%s\n%s", r.says, got.Seen, got.Snippet, got.Prevents)
	}
	if got.Seen == "" {
		t.Error("it doesn't say what was seen")
	}
	if got.Status == Fail && (got.Prevents == "" || got.Mend == "" || got.Snippet == "") || got.Status == Warn && got.Mend == "" {
		t.Errorf("it lacks the error it prevents, or the mend with its lines: %+v", got)
	}
	if got.Title == "" {
		t.Error("it has no title")
	}
}

func short(s string) string {
	const most = 160
	if utf8.RuneCountInString(s) <= most {
		return s
	}
	return string([]rune(s)[:most-1]) + "…"
}
