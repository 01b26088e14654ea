// Package outbox carries events from a service's own database to the notification service: an event is written in the
// transaction that changes the state, and a relay publishes it afterwards, at least once. notification drops what it has
// by the event's id, so that each event is logged once.
//
// A service that uses it has this table in its migrations:
//
//	CREATE TABLE outbox (
//	    id       TEXT PRIMARY KEY,
//	    project  TEXT NOT NULL,
//	    resource TEXT NOT NULL,
//	    type     TEXT NOT NULL,
//	    time     BIGINT NOT NULL,
//	    payload  TEXT NOT NULL
//	);
package outbox

import (
	"context"
	"database/sql"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/google/uuid"
	notificationv1 "github.com/trainyard/trainyard/gen/trainyard/notification/v1"
	"github.com/trainyard/trainyard/services/internal/store"
	"github.com/uptrace/bun"
	"go.uber.org/zap"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	batchSize = 200
	pollEvery = time.Second
	// publishTimeout ends a call whose connection was cut without a word.
	publishTimeout = 15 * time.Second
	// maxPayload (bytes of JSON) and maxBatchBytes (of protobuf, where a number takes up to seven times as much) keep a request
	// below gRPC's limit of 8 MiB: one event that never fits would hold all others back.
	maxPayload    = 512 << 10
	maxBatchBytes = 3 << 20
)

type row struct {
	bun.BaseModel `bun:"table:outbox"`

	ID       string `bun:"id,pk"`
	Project  string `bun:"project"`
	Resource string `bun:"resource"`
	Type     string `bun:"type"`
	Time     int64  `bun:"time"`
	Payload  string `bun:"payload"`
}

// Write puts an event into the outbox. resource is the resource's name, payload the resource as it is now; one of more than
// 512 KiB as JSON is left out, and readers get the resource instead. tx must be the transaction that changes the state, after it has
// changed it, so that the events of one resource keep the order of its changes.
func Write(ctx context.Context, tx bun.IDB, project, resource, eventType string, payload proto.Message) error {
	data, err := protojson.MarshalOptions{EmitUnpopulated: true}.Marshal(payload)
	if err != nil {
		return fmt.Errorf("event payload of %s: %w", resource, err)
	}
	if len(data) > maxPayload {
		data = []byte("{}")
	}
	id, err := nextID(ctx, tx)
	if err != nil {
		return err
	}
	_, err = tx.NewInsert().Model(&row{
		ID: id.String(), Project: project, Resource: resource, Type: eventType, Time: store.Micros(time.Now()), Payload: string(data),
	}).Exec(ctx)
	return err
}

// nextID makes a UUIDv7. The relay publishes in the order of ids; so that a replica whose clock is behind doesn't overtake, the id is
// later than all that wait, by its time alone: its random part keeps it unique.
func nextID(ctx context.Context, tx bun.IDB) (uuid.UUID, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return uuid.Nil, err
	}
	var newest sql.NullString
	if err := tx.NewSelect().Model((*row)(nil)).ColumnExpr("max(id)").Scan(ctx, &newest); err != nil {
		return uuid.Nil, err
	}
	if newest.String < id.String() {
		return id, nil
	}
	last, err := uuid.Parse(newest.String)
	if err != nil {
		return uuid.Nil, fmt.Errorf("outbox: id %q: %w", newest.String, err)
	}
	var millis [8]byte
	copy(millis[2:], last[:6])
	binary.BigEndian.PutUint64(millis[:], binary.BigEndian.Uint64(millis[:])+1)
	copy(id[:6], millis[2:])
	return id, nil
}

// Publisher is what the relay needs of the notification service.
type Publisher interface {
	notificationv1.NotificationServiceClient
}

// Relay publishes what Write wrote.
type Relay struct {
	db     *store.DB
	client Publisher
	log    *zap.Logger
	wake   chan struct{}
}

// NewRelay makes a relay; Run must be called.
func NewRelay(db *store.DB, client Publisher, log *zap.Logger) *Relay {
	return &Relay{db: db, client: client, log: log, wake: make(chan struct{}, 1)}
}

// Wake tells the relay that something was committed, so that it need not wait for its next poll. Never blocks.
func (r *Relay) Wake() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run publishes until the context ends. Events stay in the outbox while notification is away.
func (r *Relay) Run(ctx context.Context) error {
	retry := backoff.NewExponentialBackOff()
	retry.MaxInterval = 5 * time.Second
	wait := time.Duration(0)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
		case <-time.After(wait):
		}
		left, err := r.publish(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			wait = retry.NextBackOff()
			r.log.Warn("outbox: events wait, publishing failed", zap.Error(err), zap.Duration("next_try", wait))
		case left > 0:
			wait = 0
		default:
			retry.Reset()
			wait = pollEvery
		}
	}
}

// publish publishes the oldest events and says how many it left that it knows of.
func (r *Relay) publish(ctx context.Context) (int, error) {
	var rows []row
	if err := r.db.NewSelect().Model(&rows).OrderExpr("id").Limit(batchSize + 1).Scan(ctx); err != nil {
		return 0, err
	}
	if len(rows) == 0 {
		return 0, nil
	}
	var events []*notificationv1.ProjectEvent
	var ids []string
	for size := 0; len(ids) < min(len(rows), batchSize) && size < maxBatchBytes; {
		w := rows[len(ids)]
		payload := &structpb.Struct{}
		if err := protojson.Unmarshal([]byte(w.Payload), payload); err != nil {
			return 0, fmt.Errorf("event %s: %w", w.ID, err)
		}
		size += proto.Size(payload)
		ids = append(ids, w.ID)
		events = append(events, &notificationv1.ProjectEvent{Project: w.Project, Event: &notificationv1.Event{
			Id: w.ID, Resource: w.Resource, Type: w.Type, Time: timestamppb.New(store.Time(w.Time)), Payload: payload,
		}})
	}
	call, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	if _, err := r.client.PublishEvents(call, &notificationv1.PublishEventsRequest{Events: events}); err != nil {
		return 0, err
	}
	_, err := r.db.NewDelete().Model((*row)(nil)).Where("id IN (?)", bun.List(ids)).Exec(ctx)
	return len(rows) - len(ids), err
}
