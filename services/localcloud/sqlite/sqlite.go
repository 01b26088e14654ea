// Package sqlite opens the SQLite files of localcloud's services.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"sync"

	_ "modernc.org/sqlite" // Registers the driver "sqlite".
)

// Synchronous is what a commit waits for. Both outlive kill -9.
type Synchronous string

// Full outlives a power cut as well; Normal may lose the newest commits to one, and is faster.
const (
	Full   Synchronous = "FULL"
	Normal Synchronous = "NORMAL"
)

// DB is an open file.
type DB struct {
	*sql.DB
	// write lets one writer in at a time, so that writers queue here in order instead of polling SQLite's lock.
	write sync.Mutex
}

// Open opens the file at path, made if missing, and runs the schema, which must be safe to repeat.
func Open(ctx context.Context, path, schema string, synchronous Synchronous) (*DB, error) {
	dsn := "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + url.Values{
		"_pragma": {"journal_mode(WAL)", "synchronous(" + string(synchronous) + ")", "foreign_keys(ON)", "busy_timeout(10000)"},
		// A transaction that begins as a reader and then writes would fail at once where another one writes.
		"_txlock": {"immediate"},
	}.Encode()
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	if _, err := db.ExecContext(ctx, schema); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), db.Close())
	}
	return &DB{DB: db}, nil
}

// InTx runs f in a transaction of the one writer.
func (db *DB) InTx(ctx context.Context, f func(tx *sql.Tx) error) error {
	db.write.Lock()
	defer db.write.Unlock()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}
