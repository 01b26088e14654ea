// Package eventlog keeps each project's events in SQL: in the order they were published, numbered from 1 without a gap, each once.
//
// The number is given under the lock of the project's row in `logs`, in the transaction that writes the event, so that no
// reader ever sees an event before its predecessors. What a caller was told is appended is committed.
package eventlog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	notificationv1 "github.com/trainyard/trainyard/gen/trainyard/notification/v1"
	"github.com/trainyard/trainyard/services/internal/store"
	"github.com/uptrace/bun"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Beginning is the position before the oldest event that is kept, whichever that is.
const Beginning int64 = -1

// MaxEventBytes is how large an event may be as protobuf.
const MaxEventBytes = 4 << 20

// maxPageBytes ends a page early: with one more event it must fit into a gRPC message of 8 MiB.
const maxPageBytes = 3 << 20

// ErrBeyondEnd says that a position lies after the newest event: the log never gave it.
var ErrBeyondEnd = errors.New("the position lies beyond the end of the log")

// PrunedError says that events after the position were taken away by retention.
type PrunedError struct {
	// Oldest is the position from which on all events are kept.
	Oldest int64
}

func (e *PrunedError) Error() string {
	return fmt.Sprintf("events up to %d are no longer kept", e.Oldest)
}

// Log is the event log of all projects. It is safe for concurrent use.
type Log struct {
	db *store.DB
	// SQLite has one writer; waiting here is fair and holds no connection, as waiting in SQLite would.
	writer sync.Mutex
}

// New makes a log on an open database with the tables of this service's migrations.
func New(db *store.DB) *Log { return &Log{db: db} }

type eventRow struct {
	bun.BaseModel `bun:"table:events"`

	Project    string  `bun:"project"`
	Sequence   int64   `bun:"sequence"`
	ID         string  `bun:"id"`
	Resource   string  `bun:"resource"`
	Type       string  `bun:"type"`
	Time       int64   `bun:"time"`
	AppendTime int64   `bun:"append_time"`
	Payload    *string `bun:"payload"`
}

// Append writes events in the given order, all or none, and leaves out those whose id their project's log has. It returns the
// projects whose logs grew and by how many events in all.
func (l *Log) Append(ctx context.Context, events []*notificationv1.ProjectEvent) (grown []string, added int, err error) {
	byProject := map[string][]eventRow{}
	seen := map[[2]string]bool{}
	for _, e := range events {
		key := [2]string{e.GetProject(), e.GetEvent().GetId()}
		if seen[key] {
			continue
		}
		seen[key] = true
		row, err := newRow(e)
		if err != nil {
			return nil, 0, err
		}
		byProject[row.Project] = append(byProject[row.Project], row)
	}
	projects := make([]string, 0, len(byProject))
	for project := range byProject {
		projects = append(projects, project)
	}
	slices.Sort(projects) // Locks taken in one order never deadlock.

	if !l.db.IsPostgres() {
		l.writer.Lock()
		defer l.writer.Unlock()
	}
	err = l.db.InTx(ctx, func(ctx context.Context, tx bun.Tx) error {
		now, err := l.db.Now(ctx, tx)
		if err != nil {
			return err
		}
		for _, project := range projects {
			n, err := appendTo(ctx, tx, project, byProject[project], now)
			if err != nil {
				return err
			}
			if n > 0 {
				grown, added = append(grown, project), added+n
			}
		}
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("append events: %w", err)
	}
	return grown, added, nil
}

func newRow(e *notificationv1.ProjectEvent) (eventRow, error) {
	event := e.GetEvent()
	row := eventRow{
		Project: e.GetProject(), ID: event.GetId(), Resource: event.GetResource(), Type: event.GetType(),
		Time: store.Micros(event.GetTime().AsTime()),
	}
	if event.GetPayload() != nil {
		payload, err := protojson.Marshal(event.GetPayload())
		if err != nil {
			return eventRow{}, fmt.Errorf("payload of event %s: %w", event.GetId(), err)
		}
		text := string(payload)
		row.Payload = &text
	}
	return row, nil
}

func appendTo(ctx context.Context, tx bun.Tx, project string, rows []eventRow, now int64) (int, error) {
	// The update that changes nothing locks the row, and the lock is what keeps the sequence free of gaps.
	var last int64
	err := tx.NewRaw(`INSERT INTO logs (project, last_sequence, pruned_sequence) VALUES (?, 0, 0)
		ON CONFLICT (project) DO UPDATE SET last_sequence = logs.last_sequence RETURNING last_sequence`, project).Scan(ctx, &last)
	if err != nil {
		return 0, err
	}
	ids := make([]string, len(rows))
	for i, row := range rows {
		ids[i] = row.ID
	}
	var known []string
	err = tx.NewSelect().Model((*eventRow)(nil)).Column("id").Where("project = ? AND id IN (?)", project, bun.List(ids)).Scan(ctx, &known)
	if err != nil {
		return 0, err
	}
	rows = slices.DeleteFunc(rows, func(row eventRow) bool { return slices.Contains(known, row.ID) })
	if len(rows) == 0 {
		return 0, nil
	}
	for i := range rows {
		last++
		rows[i].Sequence, rows[i].AppendTime = last, now
	}
	if _, err := tx.NewInsert().Model(&rows).Exec(ctx); err != nil {
		return 0, err
	}
	_, err = tx.NewRaw("UPDATE logs SET last_sequence = ? WHERE project = ?", last, project).Exec(ctx)
	return len(rows), err
}

// Page is a part of a project's log.
type Page struct {
	// Events are in order. Those of a page without filter have no gap.
	Events []*notificationv1.Event
	// Next is the position up to which the log was read: where to go on.
	Next int64
	// Last is the position of the newest event in the whole log at the time of reading.
	Last int64
}

// Read gives at most limit events after a position, of one resource and those below it when resource isn't empty. The error is
// ErrBeyondEnd or a *PrunedError when the log can't go on from there.
func (l *Log) Read(ctx context.Context, project string, after int64, limit int, resource string) (Page, error) {
	// One statement reads the bounds and the events, and so sees one moment of the log: nothing can be pruned in between unseen.
	const query = `SELECT l.last_sequence, l.pruned_sequence, e.sequence, e.id, e.resource, e.type, e.time, e.payload
		FROM logs l LEFT JOIN events e ON e.project = l.project AND e.sequence > ? AND ?
		WHERE l.project = ? ORDER BY e.sequence LIMIT ?`
	filter := bun.SafeQuery("1 = 1")
	if resource != "" {
		below := resource + "/"
		filter = bun.SafeQuery("(e.resource = ? OR substr(e.resource, 1, ?) = ?)", resource, len([]rune(below)), below)
	}
	rows, err := l.db.QueryContext(ctx, query, after, filter, project, limit)
	if err != nil {
		return Page{}, fmt.Errorf("read events: %w", err)
	}
	defer rows.Close()
	page, pruned, whole, err := scan(rows, limit)
	if err != nil {
		return Page{}, fmt.Errorf("read events: %w", err)
	}
	switch {
	case after > page.Last:
		return Page{}, ErrBeyondEnd
	case after != Beginning && after < pruned:
		return Page{}, &PrunedError{Oldest: pruned}
	case whole:
		page.Next = page.Last
	default:
		page.Next = page.Events[len(page.Events)-1].GetSequence()
	}
	return page, nil
}

// scan reads rows of Read's query. whole tells that the log was read to its end.
func scan(rows *sql.Rows, limit int) (page Page, pruned int64, whole bool, err error) {
	size := 0
	for rows.Next() {
		var (
			sequence, micros              sql.NullInt64
			id, resource, typ, rawPayload sql.NullString
		)
		if err := rows.Scan(&page.Last, &pruned, &sequence, &id, &resource, &typ, &micros, &rawPayload); err != nil {
			return Page{}, 0, false, err
		}
		if !sequence.Valid { // The project's row alone.
			continue
		}
		event := &notificationv1.Event{
			Id: id.String, Sequence: sequence.Int64, Resource: resource.String, Type: typ.String, Time: timestamppb.New(time.UnixMicro(micros.Int64)),
		}
		if rawPayload.Valid {
			event.Payload = &structpb.Struct{}
			if err := protojson.Unmarshal([]byte(rawPayload.String), event.GetPayload()); err != nil {
				return Page{}, 0, false, fmt.Errorf("payload of event %s: %w", id.String, err)
			}
		}
		page.Events = append(page.Events, event)
		size += proto.Size(event)
		if size >= maxPageBytes || len(page.Events) == limit {
			return page, pruned, false, nil
		}
	}
	return page, pruned, true, rows.Err()
}

// Heads gives the position of the newest event of each of the projects; a project without events is not in the result.
func (l *Log) Heads(ctx context.Context, projects []string) (map[string]int64, error) {
	var rows []struct {
		Project      string
		LastSequence int64
	}
	err := l.db.NewSelect().Table("logs").Column("project", "last_sequence").Where("project IN (?)", bun.List(projects)).Scan(ctx, &rows)
	if err != nil {
		return nil, fmt.Errorf("read the ends of event logs: %w", err)
	}
	heads := make(map[string]int64, len(rows))
	for _, row := range rows {
		heads[row.Project] = row.LastSequence
	}
	return heads, nil
}
