// Package testkit holds what the tests of two or more services need: databases of both kinds, and a server with tokens.
package testkit

import (
	"context"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"
	_ "github.com/jackc/pgx/v5/stdlib" // Registers the driver "pgx".
)

// EachDatabase runs a suite on SQLite and on PostgreSQL, each time with an empty database of its own. PostgreSQL is the server at
// TRAINYARD_TEST_POSTGRES, which `make test` starts; a bare `go test` without it runs SQLite only.
func EachDatabase(t *testing.T, suite func(t *testing.T, dsn string)) {
	t.Run("sqlite", func(t *testing.T) { suite(t, SQLite(t)) })
	t.Run("postgres", func(t *testing.T) { suite(t, Postgres(t)) })
}

// SQLite gives the address of an empty SQLite database.
func SQLite(t testing.TB) string {
	t.Helper()
	return "sqlite:" + filepath.Join(t.TempDir(), "test.db")
}

// Postgres gives the address of an empty PostgreSQL database, dropped at the test's end.
func Postgres(t testing.TB) string {
	t.Helper()
	server := os.Getenv("TRAINYARD_TEST_POSTGRES")
	if server == "" {
		t.Skip("no PostgreSQL server: run by scripts/with-postgres.sh, as make test does")
	}
	name := "test_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	admin, err := sql.Open("pgx", server)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := admin.ExecContext(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := admin.ExecContext(context.Background(), fmt.Sprintf("DROP DATABASE %s WITH (FORCE)", name)); err != nil {
			t.Error(err)
		}
		_ = admin.Close()
	})
	address, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	address.Path = "/" + name
	return address.String()
}
