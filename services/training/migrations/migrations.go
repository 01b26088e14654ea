// Package migrations holds the schema of the training service, in the dialect that SQLite and PostgreSQL share.
package migrations

import "embed"

// FS holds goose's files.
//
//go:embed *.sql
var FS embed.FS
