package sagemaker

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"

	"github.com/trainyard/trainyard/services/localcloud/awsjson"
	"github.com/trainyard/trainyard/services/localcloud/sqlite"
)

// Times are microseconds since the Unix epoch. alive is when the job was last seen running: after a crash it tells when
// the machine went away, which no transition could record.
const schema = `
CREATE TABLE IF NOT EXISTS jobs (
	name     TEXT PRIMARY KEY,
	status   TEXT NOT NULL,
	created  BIGINT NOT NULL,
	modified BIGINT NOT NULL,
	alive    BIGINT NOT NULL DEFAULT 0,
	doc      TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS jobs_status ON jobs (status, created);
CREATE TABLE IF NOT EXISTS events (
	id   INTEGER PRIMARY KEY AUTOINCREMENT,
	body TEXT NOT NULL
);`

type store struct {
	db *sqlite.DB
	// newEvent makes the event of a status change, which is stored in the change's own transaction.
	newEvent func(*job) (string, error)
}

func openStore(ctx context.Context, path string) (*store, error) {
	db, err := sqlite.Open(ctx, path, schema, sqlite.Full)
	if err != nil {
		return nil, err
	}
	return &store{db: db}, nil
}

func (s *store) inTx(ctx context.Context, f func(tx *sql.Tx) error) error {
	return s.db.InTx(ctx, f)
}

// errNotFound is SageMaker's answer for a missing job: not a ResourceNotFound.
func errNotFound() error {
	return awsjson.Errorf("ValidationException", "Requested resource not found.")
}

type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func load(ctx context.Context, q querier, name string) (*job, error) {
	var doc string
	err := q.QueryRowContext(ctx, `SELECT doc FROM jobs WHERE name = ?`, name).Scan(&doc)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, errNotFound()
	}
	if err != nil {
		return nil, err
	}
	j := new(job)
	return j, json.Unmarshal([]byte(doc), j)
}

func (s *store) get(ctx context.Context, name string) (*job, error) { return load(ctx, s.db, name) }

// insert stores a new job with its first event. A name that is taken is a ResourceInUse.
func (s *store) insert(ctx context.Context, j *job) error {
	return s.inTx(ctx, func(tx *sql.Tx) error {
		if other, err := load(ctx, tx, j.Name); err == nil {
			return awsjson.Errorf("ResourceInUse", "Training job names must be unique within an AWS account and region, and a training job with this name already exists (%s)", other.ARN)
		} else if known := new(awsjson.Error); !errors.As(err, &known) {
			return err
		}
		doc, err := json.Marshal(j)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO jobs (name, status, created, modified, doc) VALUES (?, ?, ?, ?, ?)`,
			j.Name, j.Status, j.Created.UnixMicro(), j.Modified.UnixMicro(), string(doc)); err != nil {
			return err
		}
		return s.addEvent(ctx, tx, j)
	})
}

// update changes a job. If its status or secondary status changed, the event of it is stored with it.
func (s *store) update(ctx context.Context, name string, change func(*job) error) (*job, error) {
	var j *job
	err := s.inTx(ctx, func(tx *sql.Tx) (err error) {
		if j, err = load(ctx, tx, name); err != nil {
			return err
		}
		status, transitions := j.Status, len(j.Transitions)
		if err := change(j); err != nil {
			return err
		}
		j.Modified = time.Now()
		doc, err := json.Marshal(j)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE jobs SET status = ?, modified = ?, doc = ? WHERE name = ?`,
			j.Status, j.Modified.UnixMicro(), string(doc), name); err != nil {
			return err
		}
		if j.Status == status && len(j.Transitions) == transitions {
			return nil
		}
		return s.addEvent(ctx, tx, j)
	})
	return j, err
}

func (s *store) addEvent(ctx context.Context, tx *sql.Tx, j *job) error {
	body, err := s.newEvent(j)
	if err != nil || body == "" {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO events (body) VALUES (?)`, body)
	return err
}

func (s *store) delete(ctx context.Context, name string) error {
	return s.inTx(ctx, func(tx *sql.Tx) error {
		j, err := load(ctx, tx, name)
		if err != nil {
			return err
		}
		if !j.ended() {
			return awsjson.Errorf("ResourceInUse", "The training job %s is in status %s and cannot be deleted until it has ended: stop it first.", name, j.Status)
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM jobs WHERE name = ?`, name)
		return err
	})
}

// active names the jobs that haven't ended, the oldest first.
func (s *store) active(ctx context.Context) ([]string, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT name FROM jobs WHERE status IN (?, ?) ORDER BY created, name`,
		types.TrainingJobStatusInProgress, types.TrainingJobStatusStopping)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, rows.Err()
}

// warmPools are the ended jobs whose instances are kept at that time, the oldest first.
func (s *store) warmPools(ctx context.Context, at time.Time) (jobs []*job, err error) {
	rows, err := s.db.QueryContext(ctx, `SELECT doc FROM jobs WHERE status IN (?, ?) AND json_extract(doc, '$.Pool.Until') > ? ORDER BY created, name`,
		types.TrainingJobStatusCompleted, types.TrainingJobStatusStopped, at.UnixMicro())
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		j, err := scan(rows)
		if err != nil {
			return nil, err
		}
		jobs = append(jobs, j)
	}
	return jobs, rows.Err()
}

func scan(rows *sql.Rows) (*job, error) {
	var doc string
	if err := rows.Scan(&doc); err != nil {
		return nil, err
	}
	j := new(job)
	return j, json.Unmarshal([]byte(doc), j)
}

func (s *store) markAlive(ctx context.Context, name string, at time.Time) error {
	_, err := s.db.ExecContext(ctx, `UPDATE jobs SET alive = ? WHERE name = ?`, at.UnixMicro(), name)
	return err
}

func (s *store) lastAlive(ctx context.Context, name string) (time.Time, error) {
	var micros int64
	err := s.db.QueryRowContext(ctx, `SELECT alive FROM jobs WHERE name = ?`, name).Scan(&micros)
	return time.UnixMicro(micros), err
}

// listing is a page of jobs: its filters, order and the place it begins after.
type listing struct {
	status                                                     types.TrainingJobStatus
	nameContains                                               string
	createdAfter, createdBefore, modifiedAfter, modifiedBefore *time.Time
	sortBy                                                     types.SortBy
	descending                                                 bool
	after                                                      string
	limit                                                      int
}

// list returns a page of jobs and the token of the next one, or none.
func (s *store) list(ctx context.Context, l listing) (jobs []*job, next string, err error) {
	key := map[types.SortBy]string{types.SortByCreationTime: "created", types.SortByName: "name", types.SortByStatus: "status"}[l.sortBy]
	compare, order := ">", "ASC"
	if l.descending {
		compare, order = "<", "DESC"
	}
	where, args := []string{"1"}, []any{}
	add := func(cond string, values ...any) {
		where, args = append(where, cond), append(args, values...)
	}
	if l.status != "" {
		add("status = ?", l.status)
	}
	if l.nameContains != "" {
		add("instr(name, ?) > 0", l.nameContains)
	}
	for cond, t := range map[string]*time.Time{
		"created > ?": l.createdAfter, "created < ?": l.createdBefore, "modified > ?": l.modifiedAfter, "modified < ?": l.modifiedBefore,
	} {
		if t != nil {
			add(cond, t.UnixMicro())
		}
	}
	if l.after != "" {
		raw, err := base64.RawURLEncoding.DecodeString(l.after)
		var mark []any
		if err != nil || json.Unmarshal(raw, &mark) != nil || len(mark) != 2 {
			return nil, "", awsjson.Errorf("ValidationException", "Invalid NextToken: use the one that the previous page gave.")
		}
		add("("+key+", name) "+compare+" (?, ?)", mark...)
	}
	rows, err := s.db.QueryContext(ctx, `SELECT doc FROM jobs WHERE `+strings.Join(where, " AND ")+
		` ORDER BY `+key+` `+order+`, name `+order+` LIMIT ?`, append(args, l.limit+1)...)
	if err != nil {
		return nil, "", err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		j, err := scan(rows)
		if err != nil {
			return nil, "", err
		}
		jobs = append(jobs, j)
	}
	if len(jobs) > l.limit {
		jobs = jobs[:l.limit]
		last := jobs[l.limit-1]
		mark := map[types.SortBy]any{types.SortByCreationTime: last.Created.UnixMicro(), types.SortByName: last.Name, types.SortByStatus: last.Status}[l.sortBy]
		raw, err := json.Marshal([]any{mark, last.Name})
		if err != nil {
			return nil, "", err
		}
		next = base64.RawURLEncoding.EncodeToString(raw)
	}
	return jobs, next, rows.Err()
}

type storedEvent struct {
	id   int64
	body string
}

func (s *store) nextEvent(ctx context.Context) (e storedEvent, found bool, err error) {
	err = s.db.QueryRowContext(ctx, `SELECT id, body FROM events ORDER BY id LIMIT 1`).Scan(&e.id, &e.body)
	if errors.Is(err, sql.ErrNoRows) {
		return e, false, nil
	}
	return e, err == nil, err
}

func (s *store) deleteEvent(ctx context.Context, id int64) error {
	_, err := s.db.ExecContext(ctx, `DELETE FROM events WHERE id = ?`, id)
	return err
}
