package hub

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/uptrace/bun/dialect/pgdialect"
	"go.uber.org/zap"
)

const (
	// channel is of the database, not of a schema.
	channel = "trainyard_events"
	// notifyEvery spaces NOTIFYs out: committing one takes a lock that PostgreSQL has once for all databases.
	notifyEvery  = 25 * time.Millisecond
	relistenWait = time.Second
	// maxPayload is PostgreSQL's limit of a NOTIFY's payload, which must be shorter than 8000 bytes.
	maxPayload = 7999
)

// listen wakes feeds by what other replicas append, and ours: telling them apart isn't worth a query.
func (h *Hub) listen(ctx context.Context) error {
	for {
		err := h.listenOnce(ctx)
		if ctx.Err() != nil {
			return nil
		}
		h.log.Warn("event hub: LISTEN broke off, events arrive by polling until it works again", zap.Error(err))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(relistenWait):
		}
	}
}

func (h *Hub) listenOnce(ctx context.Context) error {
	conn, err := h.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	return conn.Raw(func(driverConn any) error {
		pg, ok := driverConn.(*stdlib.Conn)
		if !ok {
			return fmt.Errorf("LISTEN needs pgx, the driver is %T", driverConn)
		}
		_, err := pg.Conn().Exec(ctx, "LISTEN "+channel)
		for h.wakeAll(); err == nil; { // What came while nobody listened.
			notification, waitErr := pg.Conn().WaitForNotification(ctx)
			if err = waitErr; err == nil {
				h.wake(notification.Payload)
			}
		}
		return errors.Join(driver.ErrBadConn, err) // ErrBadConn: it must not go back to the pool, listening.
	})
}

func (h *Hub) wake(project string) {
	if project == "" {
		h.wakeAll()
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if f := h.feeds[project]; f != nil {
		f.wakeUp()
	}
}

// notify tells the other replicas which logs grew, all that came together in one statement.
func (h *Hub) notify(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-h.outbox:
		}
		h.mu.Lock()
		projects := make([]string, 0, len(h.pending))
		for project := range h.pending {
			if len(project) > maxPayload {
				project = "" // Means all.
			}
			projects = append(projects, project)
		}
		clear(h.pending)
		h.mu.Unlock()
		// Lost when it fails: the poll is there for that.
		_, err := h.db.ExecContext(ctx, "SELECT pg_notify(?, project) FROM unnest(?::text[]) AS project", channel, pgdialect.Array(projects))
		if err != nil && ctx.Err() == nil {
			h.log.Warn("event hub: NOTIFY failed, other replicas find the events by polling", zap.Error(err))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(notifyEvery):
		}
	}
}
