package catalog

import (
	"database/sql/driver"
	"fmt"
	"time"

	errorsv1 "github.com/trainyard/trainyard/gen/trainyard/errors/v1"
	ingestv1 "github.com/trainyard/trainyard/gen/trainyard/ingest/v1"
	"github.com/trainyard/trainyard/services/ingest/internal/upload"
	"github.com/trainyard/trainyard/services/internal/store"
	"github.com/uptrace/bun"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// State is where a version stands; the names are those of ingestv1.Version_State.
type State string

// The states. They only move forward: UPLOADING → UPLOADED → CONVERTING → READY or FAILED; an upload may also end
// ABORTED or EXPIRED, and one whose object turns out wrong ends FAILED.
const (
	Uploading  State = "UPLOADING"
	Uploaded   State = "UPLOADED"
	Converting State = "CONVERTING"
	Ready      State = "READY"
	Failed     State = "FAILED"
	Expired    State = "EXPIRED"
	Aborted    State = "ABORTED"
)

// ID names a version.
type ID struct {
	Project string
	Dataset string
	Number  int32
}

// Name is the version's resource name, which leaves the project out.
func (id ID) Name() string { return fmt.Sprintf("%s/versions/%d", DatasetName(id.Dataset), id.Number) }

// Version is a row of versions. Its methods are the state machine: each checks what it needs, changes the row, and notes the event.
// `now` is always the store's clock in microseconds.
type Version struct {
	bun.BaseModel `bun:"table:versions"`

	Project       string                            `bun:"project,pk"`
	Dataset       string                            `bun:"dataset,pk"`
	Number        int32                             `bun:"number,pk"`
	State         State                             `bun:"state"`
	Revision      int64                             `bun:"revision"`
	Fence         int64                             `bun:"fence"`
	LeaseUntil    int64                             `bun:"lease_until"`
	Worker        string                            `bun:"worker"`
	Attempts      int32                             `bun:"attempts"`
	BestExamples  int32                             `bun:"best_examples"`
	RequestID     string                            `bun:"request_id,nullzero"`
	FileName      string                            `bun:"file_name"`
	SizeBytes     int64                             `bun:"size_bytes"`
	Options       JSON[*ingestv1.ConversionOptions] `bun:"options"`
	Bucket        string                            `bun:"bucket"`
	ObjectKey     string                            `bun:"object_key"`
	UploadID      string                            `bun:"upload_id"`
	PartSize      int64                             `bun:"part_size"`
	PartCount     int32                             `bun:"part_count"`
	ETag          string                            `bun:"etag"`
	ObjectVersion string                            `bun:"object_version"`

	Progress JSON[*ingestv1.ConversionProgress] `bun:"progress"`
	Result   JSON[*ingestv1.ConversionResult]   `bun:"result"`
	Failure  JSON[*errorsv1.Failure]            `bun:"failure"`

	CreateTime int64 `bun:"create_time"`
	UpdateTime int64 `bun:"update_time"`
	ExpireTime int64 `bun:"expire_time"`
	NextCheck  int64 `bun:"next_check,nullzero"`
	Checks     int32 `bun:"checks"`

	changed bool
	events  []event
}

type event struct {
	kind    string
	payload *ingestv1.Version
}

const (
	stateEvent    = "version.state"
	progressEvent = "version.progress"
)

// ID is the row's key.
func (v *Version) ID() ID { return ID{v.Project, v.Dataset, v.Number} }

// Name is the version's resource name.
func (v *Version) Name() string { return v.ID().Name() }

// Plan is how its file is cut.
func (v *Version) Plan() upload.Plan {
	return upload.Plan{Size: v.SizeBytes, PartSize: v.PartSize, Count: v.PartCount}
}

// Upload is its multipart upload; ok is false when S3 has none yet.
func (v *Version) Upload() (u upload.Upload, ok bool) {
	return upload.Upload{Key: v.ObjectKey, ID: v.UploadID}, v.UploadID != ""
}

// OutputPrefix is where its converted dataset goes in the bucket.
func (v *Version) OutputPrefix() string {
	return fmt.Sprintf("datasets/%s/%s/%d/", v.Project, v.Dataset, v.Number)
}

// enter moves to a state. check is when the reconciler looks at it; 0 means never again.
func (v *Version) enter(state State, now, check int64) {
	v.State = state
	v.note(stateEvent, now)
	v.NextCheck, v.Checks = check, 0
}

func (v *Version) note(kind string, now int64) {
	v.UpdateTime, v.changed = now, true
	v.events = append(v.events, event{kind, v.Proto()})
}

func (v *Version) need(state State, want string) error {
	if v.State != state {
		return &StateError{Name: v.Name(), State: v.State, Want: want}
	}
	return nil
}

// Touch notes that the uploading client was heard of.
func (v *Version) Touch(now int64, quiet, ttl time.Duration) error {
	if err := v.need(Uploading, "UPLOADING"); err != nil {
		return err
	}
	v.ExpireTime, v.NextCheck, v.Checks = now+ttl.Microseconds(), now+quiet.Microseconds(), 0
	v.changed = true
	return nil
}

// SetUpload notes the multipart upload, if the row has none: of two that were begun at once the first stays.
func (v *Version) SetUpload(id string) error {
	if err := v.need(Uploading, "UPLOADING"); err != nil {
		return err
	}
	if v.UploadID == "" {
		v.UploadID, v.changed = id, true
	}
	return nil
}

// ForgetUpload notes that S3 has lost the multipart upload, so that a new one is begun when parts are signed next.
func (v *Version) ForgetUpload(id string) error {
	if v.State == Uploading && v.UploadID == id {
		v.UploadID, v.changed = "", true
	}
	return nil
}

// Complete pins the whole object: UPLOADED. A version that is further already stays as it is.
func (v *Version) Complete(now int64, wait time.Duration, object upload.Object) error {
	switch v.State {
	case Uploading:
	case Uploaded, Converting, Ready, Failed:
		return nil
	default:
		return v.need(Uploading, "UPLOADING")
	}
	if object.Size != v.SizeBytes {
		return &SourceError{Name: v.Name(), What: fmt.Sprintf("the object has %d bytes, %d were announced", object.Size, v.SizeBytes)}
	}
	v.ETag, v.ObjectVersion, v.UploadID = object.ETag, object.Version, ""
	v.enter(Uploaded, now, now+wait.Microseconds())
	return nil
}

// Abort gives the upload up. Safe to repeat.
func (v *Version) Abort(now int64) error {
	if v.State == Aborted {
		return nil
	}
	if err := v.need(Uploading, "UPLOADING"); err != nil {
		return err
	}
	v.enter(Aborted, now, 0)
	return nil
}

// Expire ends an upload that has been quiet for too long. One that was heard of meanwhile goes on.
func (v *Version) Expire(now int64) error {
	if v.State == Uploading && v.ExpireTime <= now {
		v.enter(Expired, now, 0)
	}
	return nil
}

// Claim gives the version to a worker, when its object is the one that the worker saw and nobody else has it.
func (v *Version) Claim(now int64, lease time.Duration, worker, etag string, size int64) error {
	switch {
	case v.State != Uploaded && v.State != Converting:
		return v.need(Uploaded, "UPLOADED")
	case v.State == Converting && v.LeaseUntil > now:
		return &LeaseError{Name: v.Name(), Worker: v.Worker, Until: store.Time(v.LeaseUntil)}
	case size != v.SizeBytes || upload.TrimETag(etag) != v.ETag:
		return &SourceError{Name: v.Name(), What: "the object's size or ETag is not the one that was uploaded"}
	}
	v.Fence++
	v.Attempts++
	v.Worker, v.LeaseUntil = worker, now+lease.Microseconds()
	v.enter(Converting, now, v.LeaseUntil)
	return nil
}

// holds checks that the caller's claim is the newest and the conversion goes on.
func (v *Version) holds(fence int64) error {
	if fence != v.Fence {
		return &FenceError{Name: v.Name(), Fence: v.Fence, Given: fence}
	}
	return v.need(Converting, "CONVERTING")
}

// Report notes progress and extends the lease.
func (v *Version) Report(now int64, lease time.Duration, fence int64, progress *ingestv1.ConversionProgress) error {
	if err := v.holds(fence); err != nil {
		return err
	}
	v.LeaseUntil = now + lease.Microseconds()
	v.NextCheck, v.Checks = v.LeaseUntil, 0
	if progress.GetDoneExamples() > v.BestExamples {
		v.BestExamples, v.Attempts = progress.GetDoneExamples(), 1
	}
	v.Progress.V = progress
	v.note(progressEvent, now)
	return nil
}

// Finish ends the conversion well. Safe to repeat with the same fence.
func (v *Version) Finish(now, fence int64, result *ingestv1.ConversionResult) error {
	if v.State == Ready && fence == v.Fence {
		return nil
	}
	if err := v.holds(fence); err != nil {
		return err
	}
	v.Result.V, v.LeaseUntil = result, 0
	v.enter(Ready, now, 0)
	return nil
}

// Fail ends the conversion badly. Safe to repeat with the same fence.
func (v *Version) Fail(now, fence int64, failure *errorsv1.Failure, rejected int32, uri string) error {
	if v.State == Failed && fence == v.Fence {
		return nil
	}
	if err := v.holds(fence); err != nil {
		return err
	}
	if uri != "" {
		v.Result.V = &ingestv1.ConversionResult{RejectedCount: rejected, Uri: uri}
	}
	v.fail(now, failure)
	return nil
}

// GiveUp fails a conversion whose workers ended without a result, again and again. One that was claimed anew meanwhile goes on.
func (v *Version) GiveUp(now int64) error {
	if v.State == Converting && v.LeaseUntil <= now {
		v.fail(now, &errorsv1.Failure{
			Reason: errorsv1.ErrorReason_CONVERTER_CRASHED,
			Message: fmt.Sprintf("The converter took this file %d times and ended each time without a result. "+
				"The file may be of a kind that breaks it: check that it opens elsewhere and upload it again; the operator finds the cause in the converter's log.", v.Attempts),
		})
	}
	return nil
}

// Spoil fails a version whose object is not, or no longer, the one that it describes. A worker that has it finds out by itself.
func (v *Version) Spoil(now int64, what string) error {
	if v.State == Uploading || v.State == Uploaded || (v.State == Converting && v.LeaseUntil <= now) {
		v.fail(now, &errorsv1.Failure{
			Reason:  errorsv1.ErrorReason_SOURCE_MISMATCH,
			Message: "The uploaded object can't be used: " + what + ". It was changed or removed behind Trainyard's back; upload the file again as a new version.",
		})
	}
	return nil
}

func (v *Version) fail(now int64, failure *errorsv1.Failure) {
	v.Failure.V, v.LeaseUntil = failure, 0
	v.enter(Failed, now, 0)
}

// Look notes that the reconciler looks at it now, if nothing has changed since it read the row: of several replicas one goes on. It reports
// whether it is this one. The next look is after wait, doubled with each look up to limit, and for an upload not later than it expires.
func (v *Version) Look(now, revision int64, wait, limit time.Duration) bool {
	if v.Revision != revision {
		return false
	}
	v.NextCheck = now + min(wait<<min(v.Checks, 16), limit).Microseconds()
	if v.State == Uploading && v.ExpireTime > now {
		v.NextCheck = min(v.NextCheck, v.ExpireTime)
	}
	v.Checks++
	v.changed = true
	return true
}

// Proto is the version as the API shows it.
func (v *Version) Proto() *ingestv1.Version {
	out := &ingestv1.Version{
		Name:       v.Name(),
		State:      ingestv1.Version_State(ingestv1.Version_State_value[string(v.State)]),
		FileName:   v.FileName,
		SizeBytes:  v.SizeBytes,
		Conversion: v.Options.V,
		Progress:   v.Progress.V,
		Error:      v.Failure.V,
		CreateTime: timestamppb.New(store.Time(v.CreateTime)),
		UpdateTime: timestamppb.New(store.Time(v.UpdateTime)),
	}
	if v.State == Uploading {
		out.Upload = &ingestv1.UploadPlan{
			PartSizeBytes: v.PartSize, PartCount: v.PartCount, ExpireTime: timestamppb.New(store.Time(v.ExpireTime)),
		}
	}
	if r := v.Result.V; r != nil {
		out.ExampleCount, out.Classes, out.Splits = r.GetExampleCount(), r.GetClasses(), r.GetSplits()
		out.ShardCount, out.ConvertedBytes, out.RejectedCount = r.GetShardCount(), r.GetConvertedBytes(), r.GetRejectedCount()
		out.Format, out.TfdsName, out.Uri, out.ManifestSha256 = r.GetFormat(), r.GetTfdsName(), r.GetUri(), r.GetManifestSha256()
	}
	return out
}

// JSON is a column that holds a message as JSON text; NULL is nil.
type JSON[M proto.Message] struct{ V M }

// Value gives the column's text.
func (j JSON[M]) Value() (driver.Value, error) {
	if !j.V.ProtoReflect().IsValid() {
		return nil, nil
	}
	text, err := protojson.Marshal(j.V)
	return string(text), err
}

// Scan reads the column.
func (j *JSON[M]) Scan(source any) error {
	var text []byte
	switch s := source.(type) {
	case nil:
		return nil
	case string:
		text = []byte(s)
	case []byte:
		text = s
	default:
		return fmt.Errorf("message column holds a %T", source)
	}
	message := j.V.ProtoReflect().New().Interface().(M)
	// A newer release may have written a field that this one doesn't know.
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(text, message); err != nil {
		return err
	}
	j.V = message
	return nil
}
