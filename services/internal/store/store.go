// Package store opens a service's SQL database: SQLite (embedded default) or PostgreSQL, from one query layer (bun), with
// migrations by goose. Each service has a schema of its own: a file in SQLite, a schema in PostgreSQL.
//
// Times are BIGINT microseconds since the Unix epoch in both. SQLite runs in WAL mode with synchronous=FULL: what was
// committed outlives a crash of the process and of the machine.
package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect"
	"github.com/uptrace/bun/dialect/pgdialect"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// DB is an open database.
type DB struct {
	*bun.DB
}

// Open opens a database and brings its schema up to date. dsn is `sqlite:PATH` or `postgres://…`; schema is a name of
// [a-z_], used in PostgreSQL only; migrations holds goose's *.sql files in its root.
func Open(ctx context.Context, dsn, schema string, migrations fs.FS) (*DB, error) {
	var (
		db      *bun.DB
		flavour goose.Dialect
		err     error
	)
	switch {
	case strings.HasPrefix(dsn, "sqlite:"):
		db, err = openSQLite(strings.TrimPrefix(dsn, "sqlite:"))
		flavour = goose.DialectSQLite3
	case strings.HasPrefix(dsn, "postgres://"), strings.HasPrefix(dsn, "postgresql://"):
		db, err = openPostgres(ctx, dsn, schema)
		flavour = goose.DialectPostgres
	default:
		return nil, fmt.Errorf("database address %q: want sqlite:PATH or postgres://USER@HOST/NAME", redact(dsn))
	}
	if err != nil {
		return nil, err
	}
	provider, err := goose.NewProvider(flavour, db.DB, migrations)
	if err == nil {
		_, err = provider.Up(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("migrate %s: %w", schema, err), db.Close())
	}
	return &DB{DB: db}, nil
}

func openSQLite(path string) (*bun.DB, error) {
	query := url.Values{
		"_pragma": {"busy_timeout(15000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)"},
		// A transaction that begins as a reader and then writes would fail with SQLITE_BUSY at once, timeout or not.
		"_txlock": {"immediate"},
	}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+query.Encode())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(8)
	return bun.NewDB(db, sqlitedialect.New()), nil
}

func openPostgres(ctx context.Context, dsn, schema string) (*bun.DB, error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	config.RuntimeParams["search_path"] = schema
	db := stdlib.OpenDB(*config)
	db.SetMaxOpenConns(16)
	// Two replicas that start together would race in CREATE SCHEMA, IF NOT EXISTS or not.
	for attempt := 0; ; attempt++ {
		_, err = db.ExecContext(ctx, "CREATE SCHEMA IF NOT EXISTS "+pgx.Identifier{schema}.Sanitize())
		if err == nil || attempt == 4 {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open database: %w", err), db.Close())
	}
	return bun.NewDB(db, pgdialect.New()), nil
}

func redact(dsn string) string {
	if u, err := url.Parse(dsn); err == nil {
		return u.Redacted()
	}
	return "(unreadable)"
}

// IsPostgres tells which database it is.
func (db *DB) IsPostgres() bool { return db.Dialect().Name() == dialect.PG }

// Now gives the store's clock in microseconds: leases are measured by it, so that replicas' clocks don't matter.
func (db *DB) Now(ctx context.Context, q bun.IDB) (int64, error) {
	if !db.IsPostgres() {
		return Micros(time.Now()), nil
	}
	var now int64
	err := q.NewRaw("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint").Scan(ctx, &now)
	return now, err
}

// InTx runs fn in a transaction.
func (db *DB) InTx(ctx context.Context, fn func(ctx context.Context, tx bun.Tx) error) error {
	return db.RunInTx(ctx, nil, fn)
}

// IsDuplicate tells that a row with the same key exists.
func IsDuplicate(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == "23505"
	}
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		return lite.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || lite.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY
	}
	return false
}

// IsUnavailable tells that the database can't be reached now, or is starting or stopping: the same call may succeed later.
func IsUnavailable(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		// Classes 08 (connection), 53 (resources) and 57P (operator intervention: shutdown, starting up).
		return strings.HasPrefix(pg.Code, "08") || strings.HasPrefix(pg.Code, "53") || strings.HasPrefix(pg.Code, "57P")
	}
	var connect *pgconn.ConnectError
	var network *net.OpError
	return errors.As(err, &connect) || errors.As(err, &network) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone)
}

// Micros is a time as a column holds it; the zero time is 0.
func Micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// Time is a column's time; 0 is the zero time.
func Time(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}
