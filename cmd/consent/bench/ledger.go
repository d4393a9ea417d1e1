package bench

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/consent-ledger/consent-ledger/ledger/index"
	"github.com/consent-ledger/consent-ledger/ledger/recorder"
	"github.com/consent-ledger/consent-ledger/ledger/seal"
	"github.com/consent-ledger/consent-ledger/ledger/stream"
	"github.com/consent-ledger/consent-ledger/ledger/writer"
	"github.com/consent-ledger/consent-ledger/node"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// bareLedger is the durable append and nothing else: declaring, the writer, its
// index, sealing, and the embedded JetStream with fsync. No projections and no
// feed share its cores.
type bareLedger struct {
	recorder *recorder.Recorder
	commits  commitCount

	dir  string
	keys *seal.Keyring
	js   jetstream.JetStream
	log  *stream.Log
}

// fill records a seller and grants for numbers 0 to persons-1.
func (l *bareLedger) fill(ctx context.Context, persons int) error {
	if err := registerSeller(ctx, l.recorder, "acme"); err != nil {
		return err
	}
	return recordPersons(ctx, l.recorder, persons)
}

// commitCount counts what a writer makes durable.
type commitCount struct{ commits, entries, bytes atomic.Int64 }

// Committed implements writer.Metrics.
func (m *commitCount) Committed(entries, bytes int, _ time.Duration) {
	m.commits.Add(1)
	m.entries.Add(int64(entries))
	m.bytes.Add(int64(bytes))
}

// AppendRetried implements writer.Metrics.
func (m *commitCount) AppendRetried() {}

func (m *commitCount) sum() commitSum {
	return commitSum{m.commits.Load(), m.entries.Load(), m.bytes.Load()}
}

// commitSum is a commitCount at one moment.
type commitSum struct{ commits, entries, bytes int64 }

func (s commitSum) since(b commitSum) commitSum {
	return commitSum{s.commits - b.commits, s.entries - b.entries, s.bytes - b.bytes}
}

func (s commitSum) bytesPerEntry() int64 { return s.bytes / max(1, s.entries) }

func (s commitSum) entriesPerCommit() float64 { return float64(s.entries) / float64(max(1, s.commits)) }

// withBareLedger runs do on a fresh ledger and closes it.
func withBareLedger(ctx context.Context, dir string, do func(ctx context.Context, l *bareLedger) error) (err error) {
	node.RoomForGarbage()
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	quiet := slog.New(slog.DiscardHandler)
	keys, err := seal.Create(dir + "/keys")
	if err != nil {
		return err
	}
	e, js, closeAll, err := benchJetStream(ctx, dir+"/jetstream", keys.JetStreamKey())
	if err != nil {
		return err
	}
	defer closeAll()
	if _, err := stream.Apply(ctx, js, stream.Provision{LedgerID: keys.LedgerID().String(), Replicas: 1}); err != nil {
		return err
	}
	log, err := stream.Open(ctx, js, consentv1.Durability_DURABILITY_FSYNC, e.Pulse())
	if err != nil {
		return err
	}
	ix, err := index.Open(dir+"/index", index.Options{Ledger: keys.LedgerID(), Live: keys.Live, Logger: quiet})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ix.Close()) }()
	l := &bareLedger{dir: dir, keys: keys, js: js, log: log}
	w, err := writer.Open(ctx, writer.Config{Log: log, Index: ix, Keys: keys, Clock: writer.SystemClock(), Metrics: &l.commits,
		Lagging: func() bool { return false }, Version: benchVersion, Instance: "bench"})
	if err != nil {
		return err
	}
	l.recorder = recorder.New(w, nil, keys, ix, nil)
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	err = do(ctx, l)
	cancel()
	return errors.Join(err, <-ended)
}
