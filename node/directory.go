package node

import (
	"context"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/directory/keeper"
	"github.com/consent-ledger/consent-ledger/ledger/reader"
	"github.com/consent-ledger/consent-ledger/ledger/store"
	"github.com/consent-ledger/consent-ledger/ledger/tree"
	"github.com/consent-ledger/consent-ledger/projections/parties"
	"github.com/consent-ledger/consent-ledger/projections/runner"
	"github.com/consent-ledger/consent-ledger/projections/suppression"
	"github.com/consent-ledger/consent-ledger/projections/timeline"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// openDirectory binds the directory of all numbers. It follows by itself: no check
// waits for it, and it holds back nothing.
func (n *Node) openDirectory(ctx context.Context) error { return n.mender.Ask(ctx, n.directory) }

// openDerived opens what was made of the ledger. That comes before the writer appends:
// the folders tell how far the ledger once went.
func (n *Node) openDerived() (err error) {
	n.stateDB, err = store.Open(n.folder.path(projectionsDir), store.Options{Logger: n.cfg.Logger, CacheBytes: stateCacheBytes, Derived: true})
	if err != nil {
		return err
	}
	n.onClose(n.stateDB.Close)
	record := func(ctx context.Context, f *consentv1.Fact) (ledger.Receipt, error) { return n.recorder.System(ctx, f) }
	acked := func() ledger.Position { return n.writer.Acked() }
	n.directory, err = keeper.Open(keeper.Config{Dir: n.folder.path(directoryDir), Ledger: n.keys.LedgerID(), Source: n.reader, Keys: n.keys,
		Record: record, Acked: acked, Logger: n.cfg.Logger})
	if err != nil {
		return err
	}
	n.onClose(n.directory.Close)
	return nil
}

// reaches refuses a ledger that ends before what a part of its folder was made of:
// entries are missing, however whole the stream and its tree are. A directory of another
// ledger is empty by now; projections do not say whose they are.
func (n *Node) reaches(end ledger.Position) error {
	short := func(part string, at ledger.Position, or string) error {
		if at <= end {
			return nil
		}
		return tree.RolledBack(fmt.Sprintf("the folder %s was made of entries up to position %d, the ledger ends at %d", part, at, end),
			"ledger's whole folder"+or)
	}
	if err := short(directoryDir, n.directory.Status().Applied, ""); err != nil {
		return err
	}
	at, err := runner.Reached(n.stateDB, suppression.Projection{}, timeline.Projection{}, parties.Projection{})
	if err != nil {
		return err
	}
	return short(projectionsDir, at, "; or, if projections is another ledger's, move it away")
}

// Directory commits the directory of all numbers now, and gives it for proofs.
// The caller closes it before the node.
func (n *Node) Directory(ctx context.Context) (*keeper.Committed, error) {
	return n.directory.Commit(ctx)
}

// directoryStatus is what doctor shows.
func (n *Node) directoryStatus() *consentv1.DirectoryStatus {
	s := n.directory.Status()
	out := &consentv1.DirectoryStatus{Position: uint64(s.Last.Position), CoversPosition: uint64(s.Last.Statement.Covers),
		Numbers: s.Last.Statement.Numbers, Uncommitted: s.Uncommitted()}
	if s.Last.Position > 0 {
		out.RecordedAt = timestamppb.New(s.Last.RecordedAt)
	}
	return out
}

// directory adds what is read whenever somebody asks. It may be called once.
func (m *metrics) directory(n *Node) {
	opened := n.cfg.Clock.Wall()
	gauge := func(name, help string, read func(keeper.Status) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return read(n.directory.Status()) })
	}
	m.registry.MustRegister(
		gauge("consent_directory_age_seconds", "Time since the last DirectoryCommitted, or since the start if there is none.", func(s keeper.Status) float64 {
			if s.Last.Position > 0 {
				return n.cfg.Clock.Wall().Sub(s.Last.RecordedAt).Seconds()
			}
			return n.cfg.Clock.Wall().Sub(opened).Seconds()
		}),
		gauge("consent_directory_uncommitted_entries", "Entries about numbers that no directory covers yet.", func(s keeper.Status) float64 { return float64(s.Uncommitted()) }),
		gauge("consent_directory_position", "Position that the last directory covers.", func(s keeper.Status) float64 { return float64(s.Last.Statement.Covers) }),
		gauge("consent_directory_applied_position", "Position that the directory's records hold.", func(s keeper.Status) float64 { return float64(s.Applied) }),
	)
}

// Reader reads entries in process: who shows a history needs their exact bytes.
func (n *Node) Reader() *reader.Reader { return n.reader }
