package stream

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Names of streams and subjects. They are a contract with everybody who looks at
// the server with ordinary NATS tools.
const (
	LedgerStream  = "CONSENT_LEDGER"
	LedgerSubject = "consent.v1.ledger"
	KeysStream    = "CONSENT_KEYS"
	KeysSubject   = "consent.v1.keys.>"
	// keysCommit carries wrapped keys; other subjects below keys are free.
	keysCommit      = "consent.v1.keys.commit"
	IntakeStream    = "CONSENT_INTAKE"
	IntakeSubject   = "consent.v1.intake.*"
	InboxStream     = "CONSENT_INBOX"
	InboxSubject    = "consent.v1.inbox"
	FeedStream      = "CONSENT_FEED"
	FeedSubject     = "consent.v1.feed.*"
	AttemptsStream  = "CONSENT_ATTEMPTS"
	AttemptsSubject = "consent.v1.attempts"
	FilesBucket     = "consent-files"

	CheckpointsStream  = "CONSENT_CHECKPOINTS"
	CheckpointsSubject = "consent.v1.checkpoints"
)

// ledgerIDKey is the metadata by which a stream names its ledger.
const ledgerIDKey = "consent-ledger-id"

// attemptsAge is how long contact attempts and decisions are kept: five years (16
// CFR 310.5), leap days included. An operator may keep them longer.
const attemptsAge = 1827 * 24 * time.Hour

// duplicatesLeast is the shortest duplicate window that the server accepts.
const duplicatesLeast = 100 * time.Millisecond

// Provision says whose streams they are and how many copies they have.
type Provision struct {
	LedgerID string
	Replicas int
}

// Pinned gives the configuration every stream must have, in the order in which
// they are created. Nothing evicts, except that attempts have an age: a full
// stream refuses. Deny flags stand on the ledger and its checkpoints only, because
// they can never be taken back. Direct get is off there, so that a lagging replica cannot look like
// a hole.
func Pinned(p Provision) []jetstream.StreamConfig {
	base := func(name, subject, description string) jetstream.StreamConfig {
		return jetstream.StreamConfig{
			Name: name, Description: description, Subjects: []string{subject},
			Retention: jetstream.LimitsPolicy, Storage: jetstream.FileStorage, Discard: jetstream.DiscardNew,
			MaxConsumers: -1, MaxMsgs: -1, MaxBytes: -1, MaxMsgsPerSubject: -1, MaxMsgSize: -1,
			Replicas: p.Replicas, Duplicates: 10 * time.Second, Compression: jetstream.NoCompression,
			Metadata: map[string]string{ledgerIDKey: p.LedgerID},
		}
	}
	ledger := base(LedgerStream, LedgerSubject, "consent ledger: the truth, one commit a message; never delete, purge or limit")
	ledger.DenyDelete, ledger.DenyPurge = true, true
	intake := base(IntakeStream, IntakeSubject, "consent ledger: facts published without waiting")
	intake.Retention = jetstream.WorkQueuePolicy
	// JetStream deduplicates Nats-Msg-Id over all sources, and drops a stop whose
	// source happens to use another's id. The window cannot be switched off.
	intake.Duplicates = duplicatesLeast
	attempts := base(AttemptsStream, AttemptsSubject, "consent ledger: contact attempts and decisions, one batch a message")
	attempts.MaxAge = attemptsAge
	checkpoints := base(CheckpointsStream, CheckpointsSubject, "consent ledger: signed checkpoints of its Merkle tree; never delete, purge or limit")
	checkpoints.DenyDelete, checkpoints.DenyPurge = true, true
	return []jetstream.StreamConfig{
		ledger,
		base(KeysStream, KeysSubject, "consent ledger: wrapped keys of persons"),
		intake,
		base(InboxStream, InboxSubject, "consent ledger: messages a person must read"),
		base(FeedStream, FeedSubject, "consent ledger: suppression updates by seller"),
		attempts,
		checkpoints,
	}
}

// freeFields may differ from the pinned configuration: they change nothing about
// what is kept, or belong to the operator of a cluster.
var freeFields = []string{"Name", "Description", "Metadata", "Placement", "ConsumerLimits", "Replicas"}

// Difference is one field of a stream that is not as pinned.
type Difference struct {
	Stream string
	Field  string // "stream" if it does not exist
	Want   string
	Have   string
}

func (d Difference) String() string {
	if d.Field == "stream" {
		return d.Stream + " does not exist"
	}
	if d.Field == "ledger" {
		return fmt.Sprintf("%s belongs to another ledger (%s, not %s)", d.Stream, d.Have, d.Want)
	}
	return fmt.Sprintf("%s: %s is %s and must be %s", d.Stream, d.Field, d.Have, d.Want)
}

// DifferenceError refuses to serve on streams that are not as pinned.
type DifferenceError struct{ Differences []Difference }

func (e *DifferenceError) Error() string {
	s := "streams are not as pinned"
	for _, d := range e.Differences {
		s += "; " + d.String()
	}
	return s
}

// Plan compares every stream with its pinned configuration. Nothing is changed.
func Plan(ctx context.Context, js jetstream.JetStream, p Provision) ([]Difference, error) {
	var out []Difference
	for _, want := range Pinned(p) {
		s, err := js.Stream(ctx, want.Name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			out = append(out, Difference{Stream: want.Name, Field: "stream"})
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("stream %s: read configuration: %w", want.Name, err)
		}
		out = append(out, compare(want, s.CachedInfo().Config)...)
	}
	return out, nil
}

// Verify is Plan that refuses any difference with a *DifferenceError.
func Verify(ctx context.Context, js jetstream.JetStream, p Provision) error {
	diffs, err := Plan(ctx, js, p)
	if err != nil {
		return err
	}
	if len(diffs) > 0 {
		return &DifferenceError{diffs}
	}
	return nil
}

// Apply creates streams that do not exist. An existing stream that differs is
// never changed by us: whoever changed the ledger's stream must be asked why.
func Apply(ctx context.Context, js jetstream.JetStream, p Provision) ([]Difference, error) {
	diffs, err := Plan(ctx, js, p)
	if err != nil {
		return nil, err
	}
	for _, cfg := range Pinned(p) {
		if !slices.Contains(diffs, Difference{Stream: cfg.Name, Field: "stream"}) {
			continue
		}
		if _, err := js.CreateStream(ctx, cfg); err != nil {
			return nil, fmt.Errorf("stream %s: create: %w", cfg.Name, err)
		}
	}
	if _, err := js.CreateObjectStore(ctx, jetstream.ObjectStoreConfig{
		Bucket: FilesBucket, Description: "consent ledger: files, content-addressed and encrypted",
		Storage: jetstream.FileStorage, Replicas: p.Replicas,
	}); err != nil && !errors.Is(err, jetstream.ErrBucketExists) {
		return nil, fmt.Errorf("object store %s: create: %w", FilesBucket, err)
	}
	return Plan(ctx, js, p)
}

// compare lists the fields in which two configurations differ.
func compare(want, have jetstream.StreamConfig) []Difference {
	var out []Difference
	if w, h := want.Metadata[ledgerIDKey], have.Metadata[ledgerIDKey]; w != h {
		out = append(out, Difference{want.Name, "ledger", w, h})
	}
	w, h := reflect.ValueOf(want), reflect.ValueOf(have)
	for i := range w.NumField() {
		name := w.Type().Field(i).Name
		if slices.Contains(freeFields, name) || keepsLonger(name, want, have) || reflect.DeepEqual(w.Field(i).Interface(), h.Field(i).Interface()) {
			continue
		}
		out = append(out, Difference{want.Name, name, show(w.Field(i)), show(h.Field(i))})
	}
	return out
}

// keepsLonger tells of an age limit that it only keeps more than is asked for.
func keepsLonger(field string, want, have jetstream.StreamConfig) bool {
	return field == "MaxAge" && want.MaxAge > 0 && (have.MaxAge == 0 || have.MaxAge > want.MaxAge)
}

func show(v reflect.Value) string {
	if v.Kind() == reflect.Pointer && v.IsNil() {
		return "unset"
	}
	return fmt.Sprint(v.Interface())
}
