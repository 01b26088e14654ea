// Package sqs serves the Amazon SQS API (protocol awsJson1.0) from one SQLite
// file: standard queues, dead-letter queues, long polling, batches and tags, as
// the AWS SDKs, boto3 and `aws sqs` use them.
//
// What it promises: an answer of success is durable (WAL with
// synchronous=FULL), so kill -9 and power loss keep every acknowledged send,
// delete and visibility change. Messages are delivered at least once, roughly
// in order. Errors carry AWS's own codes and texts.
//
// What AWS has and this has not: FIFO queues, KMS keys, AddPermission, message
// move tasks, the cap of 120,000 messages in flight and the 60 seconds for
// which a deleted queue's name is reserved. The first four are refused with a
// clear error; the last two are not enforced.
package sqs

import (
	"context"
	"database/sql"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/trainyard/trainyard/services/localcloud/sqlite"
)

//go:embed schema.sql
var schema string

// Config says where the queues live and whose they are.
type Config struct {
	// Path is the SQLite file; it is made if missing.
	Path string
	// Region and AccountID appear in queue ARNs and URLs.
	Region, AccountID string
	Logger            *zap.Logger
}

// Service is the SQS API as an http.Handler. It is safe for concurrent use.
// Requests must have been authenticated before they get here.
type Service struct {
	cfg Config
	db  *sqlite.DB

	mu      sync.Mutex
	wakeups map[int64]chan struct{} // by queue id; closed when a message may have become visible
}

// Open opens or makes the queues in cfg.Path. Only one process may have the
// file open: waiting receivers are woken in memory.
func Open(ctx context.Context, cfg Config) (*Service, error) {
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	db, err := sqlite.Open(ctx, cfg.Path, schema, sqlite.Full)
	if err != nil {
		return nil, err
	}
	// Statements are short and SQLite has one writer anyway, so one connection
	// orders everything and nothing ever meets SQLITE_BUSY.
	db.SetMaxOpenConns(1)
	return &Service{cfg: cfg, db: db, wakeups: make(map[int64]chan struct{})}, nil
}

// Close closes the database. Receivers still waiting get an error.
func (s *Service) Close() error { return s.db.Close() }

// call is what an operation knows of its HTTP request.
type call struct {
	host string // for queue URLs
}

type operation func(s *Service, ctx context.Context, c call, body []byte) (any, error)

// op turns a typed operation into one on JSON.
func op[In, Out any](f func(*Service, context.Context, call, In) (Out, error)) operation {
	return func(s *Service, ctx context.Context, c call, body []byte) (any, error) {
		var in In
		if err := json.Unmarshal(body, &in); err != nil {
			return nil, &Error{
				Type:    "com.amazon.coral.service#SerializationException",
				Code:    "SerializationException",
				Message: "The request body is not the JSON of this operation: " + err.Error(),
			}
		}
		return f(s, ctx, c, in)
	}
}

var operations = map[string]operation{
	"ChangeMessageVisibility":      op((*Service).changeMessageVisibility),
	"ChangeMessageVisibilityBatch": op((*Service).changeMessageVisibilityBatch),
	"CreateQueue":                  op((*Service).createQueue),
	"DeleteMessage":                op((*Service).deleteMessage),
	"DeleteMessageBatch":           op((*Service).deleteMessageBatch),
	"DeleteQueue":                  op((*Service).deleteQueue),
	"GetQueueAttributes":           op((*Service).getQueueAttributes),
	"GetQueueUrl":                  op((*Service).getQueueURL),
	"ListDeadLetterSourceQueues":   op((*Service).listDeadLetterSourceQueues),
	"ListQueueTags":                op((*Service).listQueueTags),
	"ListQueues":                   op((*Service).listQueues),
	"PurgeQueue":                   op((*Service).purgeQueue),
	"ReceiveMessage":               op((*Service).receiveMessage),
	"SendMessage":                  op((*Service).sendMessage),
	"SendMessageBatch":             op((*Service).sendMessageBatch),
	"SetQueueAttributes":           op((*Service).setQueueAttributes),
	"TagQueue":                     op((*Service).tagQueue),
	"UntagQueue":                   op((*Service).untagQueue),
}

// ServeHTTP answers one request, whose operation is named in X-Amz-Target.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("x-amzn-RequestId", uuid.NewString())
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")

	name := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "AmazonSQS.")
	run, ok := operations[name]
	if !ok {
		s.writeError(w, name, &Error{
			Type:    "com.amazon.coral.service#UnknownOperationException",
			Code:    "InvalidAction",
			Message: fmt.Sprintf("The action %s is not offered by localcloud's SQS.", name),
		})
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.writeError(w, name, fmt.Errorf("read request: %w", err))
		return
	}
	out, err := run(s, r.Context(), call{host: r.Host}, body)
	if err != nil {
		s.writeError(w, name, err)
		return
	}
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(out); err != nil {
		s.cfg.Logger.Debug("sqs answer not delivered", zap.String("operation", name), zap.Error(err))
	}
}

func (s *Service) writeError(w http.ResponseWriter, operation string, err error) {
	var known *Error
	if !errors.As(err, &known) {
		if !errors.Is(err, context.Canceled) {
			s.cfg.Logger.Error("sqs operation failed", zap.String("operation", operation), zap.Error(err))
		}
		known = &Error{
			Type:    "com.amazon.coral.service#InternalFailure",
			Code:    "InternalFailure",
			Message: "The request failed because of an unknown error; the log of localcloud has its cause.",
			Status:  http.StatusInternalServerError,
			Fault:   true,
		}
	}
	sender := "Sender"
	if known.Fault {
		sender = "Receiver"
	}
	w.Header().Set("x-amzn-query-error", known.Code+";"+sender)
	status := known.Status
	if status == 0 {
		status = http.StatusBadRequest
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"__type": known.Type, "message": known.Message})
}

// wakeup returns a channel that is closed at the next wake of the queue. Take
// it before looking for messages, so that none arriving in between is missed.
func (s *Service) wakeup(queueID int64) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	ch, ok := s.wakeups[queueID]
	if !ok {
		ch = make(chan struct{})
		s.wakeups[queueID] = ch
	}
	return ch
}

// wake lets the queue's waiting receivers look again.
func (s *Service) wake(queueID int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ch, ok := s.wakeups[queueID]; ok {
		close(ch)
		delete(s.wakeups, queueID)
	}
}

// transaction runs f in one write transaction; it is durable once it returns nil.
func (s *Service) transaction(ctx context.Context, f func(tx *sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if err := f(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

func micros(t time.Time) int64 { return t.UnixMicro() }
