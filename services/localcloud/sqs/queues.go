package sqs

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

var queueName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$`)

func (s *Service) queueURL(c call, name string) string {
	return "http://" + c.host + "/" + s.cfg.AccountID + "/" + name
}

const queueColumns = `id, name, attributes, tags, created_us, modified_us, purged_us`

func scanQueue(row interface{ Scan(dest ...any) error }) (*queue, error) {
	var q queue
	var attributes, tags string
	var created, modified, purged int64
	if err := row.Scan(&q.id, &q.name, &attributes, &tags, &created, &modified, &purged); err != nil {
		return nil, err
	}
	q.created, q.modified, q.purged = time.UnixMicro(created), time.UnixMicro(modified), time.UnixMicro(purged)
	if err := json.Unmarshal([]byte(attributes), &q.attributes); err != nil {
		return nil, fmt.Errorf("attributes of queue %s: %w", q.name, err)
	}
	if err := json.Unmarshal([]byte(tags), &q.tags); err != nil {
		return nil, fmt.Errorf("tags of queue %s: %w", q.name, err)
	}
	return &q, nil
}

// findQueue gives sql.ErrNoRows where there is no such queue.
func findQueue(ctx context.Context, tx *sql.Tx, name string) (*queue, error) {
	return scanQueue(tx.QueryRowContext(ctx, `SELECT `+queueColumns+` FROM queues WHERE name = ?`, name))
}

// queueOf finds the queue of a QueueUrl, of which only the path counts: the
// suite and its users reach the same queue by several host names.
func (s *Service) queueOf(ctx context.Context, tx *sql.Tx, queueURL string) (*queue, error) {
	if queueURL == "" {
		return nil, errMissing("QueueUrl")
	}
	parsed, err := url.Parse(queueURL)
	if err != nil {
		return nil, errNoQueue()
	}
	account, name, ok := strings.Cut(strings.TrimPrefix(parsed.Path, "/"), "/")
	if !ok || account != s.cfg.AccountID {
		return nil, errNoQueue()
	}
	q, err := findQueue(ctx, tx, name)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, errNoQueue()
	}
	return q, err
}

type createQueueInput struct {
	QueueName  string
	Attributes map[string]string
	Tags       map[string]string `json:"tags"`
}

type queueURLOutput struct{ QueueUrl string } //nolint:revive // The protocol's spelling.

func (s *Service) createQueue(ctx context.Context, c call, in createQueueInput) (queueURLOutput, error) {
	if in.QueueName == "" {
		return queueURLOutput{}, errMissing("QueueName")
	}
	if strings.HasSuffix(in.QueueName, ".fifo") {
		return queueURLOutput{}, errNoFIFO()
	}
	if !queueName.MatchString(in.QueueName) {
		return queueURLOutput{}, errParameter("Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length")
	}
	err := s.transaction(ctx, func(tx *sql.Tx) error {
		attributes, err := s.checkAttributes(ctx, tx, in.QueueName, in.Attributes)
		if err != nil {
			return err
		}
		existing, err := findQueue(ctx, tx, in.QueueName)
		if err == nil {
			return sameAttributes(existing, attributes)
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if err := checkTags(in.Tags); err != nil {
			return err
		}
		now := micros(time.Now())
		_, err = tx.ExecContext(ctx,
			`INSERT INTO queues (name, attributes, tags, created_us, modified_us) VALUES (?, ?, ?, ?, ?)`,
			in.QueueName, encode(attributes), encode(in.Tags), now, now)
		return err
	})
	if err != nil {
		return queueURLOutput{}, err
	}
	return queueURLOutput{QueueUrl: s.queueURL(c, in.QueueName)}, nil
}

// sameAttributes makes CreateQueue idempotent: a queue that is there already is
// the answer, unless the caller asked for other attributes.
func sameAttributes(existing *queue, wanted map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		if existing.get(name) != wanted[name] {
			return errQueueExists(name)
		}
	}
	return nil
}

// encode writes an attribute or tag map for its column.
func encode(m map[string]string) string {
	if m == nil {
		return "{}"
	}
	b, _ := json.Marshal(m) // Strings always encode.
	return string(b)
}

func (s *Service) getQueueURL(ctx context.Context, c call, in struct{ QueueName string }) (queueURLOutput, error) {
	if in.QueueName == "" {
		return queueURLOutput{}, errMissing("QueueName")
	}
	err := s.transaction(ctx, func(tx *sql.Tx) error {
		_, err := findQueue(ctx, tx, in.QueueName)
		return err
	})
	if errors.Is(err, sql.ErrNoRows) {
		return queueURLOutput{}, errNoQueue()
	}
	if err != nil {
		return queueURLOutput{}, err
	}
	return queueURLOutput{QueueUrl: s.queueURL(c, in.QueueName)}, nil
}

type page struct {
	NextToken  string
	MaxResults *int
}

// limits gives the name after which the page begins and its length.
func (p page) limits() (after string, limit int, err error) {
	if p.MaxResults == nil {
		if p.NextToken != "" {
			return "", 0, errParameter("MaxResults is a mandatory parameter when you provide a value for NextToken.")
		}
		return "", 1000, nil
	}
	if *p.MaxResults < 1 || *p.MaxResults > 1000 {
		return "", 0, errParameterReason(*p.MaxResults, "MaxResults", "Must be an integer from 1 to 1000.")
	}
	name, err := base64.URLEncoding.DecodeString(p.NextToken)
	if err != nil {
		return "", 0, errParameter("Invalid or expired next token.")
	}
	return string(name), *p.MaxResults, nil
}

// next gives the token for what follows names; names holds one more than limit
// if there is more.
func (p page) next(names []string, limit int) ([]string, string) {
	if len(names) <= limit {
		return names, ""
	}
	names = names[:limit]
	if p.MaxResults == nil {
		return names, "" // AWS pages only when asked to.
	}
	return names, base64.URLEncoding.EncodeToString([]byte(names[limit-1]))
}

func (s *Service) urls(c call, names []string) []string {
	urls := make([]string, len(names))
	for i, name := range names {
		urls[i] = s.queueURL(c, name)
	}
	return urls
}

type listQueuesInput struct {
	QueueNamePrefix string
	page
}

type listQueuesOutput struct {
	QueueUrls []string `json:",omitempty"` //nolint:revive // The protocol's spelling.
	NextToken string   `json:",omitempty"`
}

func (s *Service) listQueues(ctx context.Context, c call, in listQueuesInput) (listQueuesOutput, error) {
	after, limit, err := in.limits()
	if err != nil {
		return listQueuesOutput{}, err
	}
	rows, err := s.db.QueryContext(ctx,
		`SELECT name FROM queues WHERE name > ? AND substr(name, 1, length(?2)) = ?2 ORDER BY name LIMIT ?`,
		after, in.QueueNamePrefix, limit+1)
	if err != nil {
		return listQueuesOutput{}, err
	}
	defer rows.Close()
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return listQueuesOutput{}, err
		}
		names = append(names, name)
	}
	if err := rows.Err(); err != nil {
		return listQueuesOutput{}, err
	}
	names, token := in.next(names, limit)
	return listQueuesOutput{QueueUrls: s.urls(c, names), NextToken: token}, nil
}

type listSourcesInput struct {
	QueueUrl string //nolint:revive // The protocol's spelling.
	page
}

type listSourcesOutput struct {
	QueueUrls []string `json:"queueUrls"` // In lower case, in this answer alone.
	NextToken string   `json:",omitempty"`
}

func (s *Service) listDeadLetterSourceQueues(ctx context.Context, c call, in listSourcesInput) (listSourcesOutput, error) {
	after, limit, err := in.limits()
	if err != nil {
		return listSourcesOutput{}, err
	}
	var names []string
	err = s.transaction(ctx, func(tx *sql.Tx) error {
		target, err := s.queueOf(ctx, tx, in.QueueUrl)
		if err != nil {
			return err
		}
		rows, err := tx.QueryContext(ctx, `SELECT `+queueColumns+` FROM queues WHERE name > ? ORDER BY name`, after)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			q, err := scanQueue(rows)
			if err != nil {
				return err
			}
			if policy := s.redrive(q); policy != nil && policy.target == target.name {
				names = append(names, q.name)
			}
		}
		return rows.Err()
	})
	if err != nil {
		return listSourcesOutput{}, err
	}
	names, token := in.next(names, limit)
	return listSourcesOutput{QueueUrls: s.urls(c, names), NextToken: token}, nil
}

type queueInput struct{ QueueUrl string } //nolint:revive // The protocol's spelling.

func (s *Service) deleteQueue(ctx context.Context, _ call, in queueInput) (struct{}, error) {
	var id int64
	err := s.transaction(ctx, func(tx *sql.Tx) error {
		q, err := s.queueOf(ctx, tx, in.QueueUrl)
		if err != nil {
			return err
		}
		id = q.id
		_, err = tx.ExecContext(ctx, `DELETE FROM queues WHERE id = ?`, q.id)
		return err
	})
	if err == nil {
		s.wake(id) // Receivers learn that their queue is gone.
	}
	return struct{}{}, err
}

// purgeInterval is the time AWS demands between two purges of a queue.
const purgeInterval = 60 * time.Second

func (s *Service) purgeQueue(ctx context.Context, _ call, in queueInput) (struct{}, error) {
	err := s.transaction(ctx, func(tx *sql.Tx) error {
		q, err := s.queueOf(ctx, tx, in.QueueUrl)
		if err != nil {
			return err
		}
		now := time.Now()
		if now.Sub(q.purged) < purgeInterval {
			refused := modelError("PurgeQueueInProgress", "AWS.SimpleQueueService.PurgeQueueInProgress",
				"Only one PurgeQueue operation on %s is allowed every 60 seconds.", q.name)
			refused.Status = 403
			return refused
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM messages WHERE queue_id = ?`, q.id); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE queues SET purged_us = ? WHERE id = ?`, micros(now), q.id)
		return err
	})
	return struct{}{}, err
}

type getAttributesInput struct {
	QueueUrl       string //nolint:revive // The protocol's spelling.
	AttributeNames []string
}

type attributesOutput struct {
	Attributes map[string]string `json:",omitempty"`
}

func (s *Service) getQueueAttributes(ctx context.Context, _ call, in getAttributesInput) (attributesOutput, error) {
	for _, name := range in.AttributeNames {
		if name != "All" && !knownAttribute(name) {
			return attributesOutput{}, errAttributeName(name)
		}
	}
	var out attributesOutput
	err := s.transaction(ctx, func(tx *sql.Tx) error {
		q, err := s.queueOf(ctx, tx, in.QueueUrl)
		if err != nil {
			return err
		}
		all, err := s.allAttributes(ctx, tx, q)
		if err != nil {
			return err
		}
		if !slices.Contains(in.AttributeNames, "All") {
			maps.DeleteFunc(all, func(name, _ string) bool { return !slices.Contains(in.AttributeNames, name) })
		}
		out.Attributes = all
		return nil
	})
	return out, err
}

type setAttributesInput struct {
	QueueUrl   string //nolint:revive // The protocol's spelling.
	Attributes map[string]string
}

func (s *Service) setQueueAttributes(ctx context.Context, _ call, in setAttributesInput) (struct{}, error) {
	if len(in.Attributes) == 0 {
		return struct{}{}, errMissing("Attribute.Name")
	}
	var id int64
	err := s.transaction(ctx, func(tx *sql.Tx) error {
		q, err := s.queueOf(ctx, tx, in.QueueUrl)
		if err != nil {
			return err
		}
		id = q.id
		attributes, err := s.checkAttributes(ctx, tx, q.name, in.Attributes)
		if err != nil {
			return err
		}
		for name, value := range attributes {
			if value == "" {
				delete(q.attributes, name)
			} else {
				q.attributes[name] = value
			}
		}
		_, err = tx.ExecContext(ctx, `UPDATE queues SET attributes = ?, modified_us = ? WHERE id = ?`,
			encode(q.attributes), micros(time.Now()), q.id)
		return err
	})
	if err == nil {
		s.wake(id)
	}
	return struct{}{}, err
}

const maxTags = 50

func checkTags(tags map[string]string) error {
	if len(tags) > maxTags {
		return errParameter("Too many tags: a queue has at most %d.", maxTags)
	}
	for key, value := range tags {
		if key == "" || len(key) > 128 || len(value) > 256 {
			return errParameter("Tag keys must be between 1 and 128 characters in length and values at most 256.")
		}
	}
	return nil
}

type tagInput struct {
	QueueUrl string //nolint:revive // The protocol's spelling.
	Tags     map[string]string
	TagKeys  []string
}

func (s *Service) tagQueue(ctx context.Context, _ call, in tagInput) (struct{}, error) {
	if len(in.Tags) == 0 {
		return struct{}{}, errMissing("Tags")
	}
	return struct{}{}, s.changeTags(ctx, in.QueueUrl, func(tags map[string]string) { maps.Copy(tags, in.Tags) })
}

func (s *Service) untagQueue(ctx context.Context, _ call, in tagInput) (struct{}, error) {
	if len(in.TagKeys) == 0 {
		return struct{}{}, errParameter("Tag keys can't be empty.")
	}
	return struct{}{}, s.changeTags(ctx, in.QueueUrl, func(tags map[string]string) {
		for _, key := range in.TagKeys {
			delete(tags, key)
		}
	})
}

func (s *Service) changeTags(ctx context.Context, queueURL string, change func(tags map[string]string)) error {
	return s.transaction(ctx, func(tx *sql.Tx) error {
		q, err := s.queueOf(ctx, tx, queueURL)
		if err != nil {
			return err
		}
		change(q.tags)
		if err := checkTags(q.tags); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE queues SET tags = ? WHERE id = ?`, encode(q.tags), q.id)
		return err
	})
}

type tagsOutput struct {
	Tags map[string]string `json:",omitempty"`
}

func (s *Service) listQueueTags(ctx context.Context, _ call, in queueInput) (tagsOutput, error) {
	var out tagsOutput
	err := s.transaction(ctx, func(tx *sql.Tx) error {
		q, err := s.queueOf(ctx, tx, in.QueueUrl)
		if err != nil {
			return err
		}
		out.Tags = q.tags
		return nil
	})
	return out, err
}
