package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/directory"
	"github.com/consent-ledger/consent-ledger/ledger/mend"
	"github.com/consent-ledger/consent-ledger/ledger/proof"
	"github.com/consent-ledger/consent-ledger/ledger/stream"
	"github.com/consent-ledger/consent-ledger/ledger/tree"
	"github.com/consent-ledger/consent-ledger/projections/attempts"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

const (
	// ScrubPaceDefault reads a ledger of 100 million entries, some 60 GB, in four hours.
	ScrubPaceDefault = 4 << 20
	// ScrubOff is a pace at which nothing is read.
	ScrubOff = -1
	// scrubEvery keeps a small ledger from being read all the time.
	scrubEvery = time.Hour
)

// openMender binds what stands in for messages that the stream has lost. Nobody
// reads commits but through it.
func (n *Node) openMender() (err error) {
	n.mender, err = mend.Open(mend.Config{Dir: n.folder.path(mendedDir), Ledger: n.keys.LedgerID(), Stream: n.log, Now: n.cfg.Clock.Wall, Logger: n.cfg.Logger}, n.directoryKey)
	if err == nil {
		n.onClose(n.mender.Close)
	}
	return err
}

// directoryKey is a number's in the directory.
func (n *Node) directoryKey(e164 string) directory.Key {
	return directory.KeyOf(e164, n.keys.Directory(directory.BucketOf(e164)))
}

// beginMending looks for what a start can know is lost. It comes before the tree is
// compared, so that what the tree itself keeps is put back first.
func (n *Node) beginMending(ctx context.Context) error {
	n.mender.Know(n.tree)
	missing, err := n.log.Missing(ctx)
	if err != nil {
		return err
	}
	return n.mender.Begin(ctx, missing)
}

// scrub reads the stream again and again, and beside it the other streams and the tiles
// of the tree, unless it is switched off.
func (n *Node) scrub(ctx context.Context, g *errgroup.Group) {
	if n.cfg.ScrubPace < 0 {
		return
	}
	s := mend.Scrub{PaceBytes: n.cfg.ScrubPace, Every: n.cfg.scrubEvery}
	g.Go(func() error { return n.named(ctx, "scrubber", n.mender.RunScrub(ctx, s)) })
	g.Go(func() error {
		return n.named(ctx, "scrubber of what lies beside", n.mender.RunBeside(ctx, s, n.scrubTiles))
	})
}

func (n *Node) scrubTiles(ctx context.Context, rest func(bytes int) error) error {
	healed, err := n.tree.ScrubTiles(ctx, n.mender.Stored, rest)
	n.tilesHealed.Add(int64(healed))
	if err == nil || errors.Is(err, ledger.ErrDamaged) {
		n.tilesBroken.Store(&err)
	}
	return err
}

// watchBeside tells the mender of the streams beside the ledger's, and what each is worth.
func (n *Node) watchBeside(ctx context.Context) error {
	isCheckpoint := func(data []byte) bool {
		_, err := proof.OpenCheckpoint(data, n.signing.Log.Verifier)
		return err == nil
	}
	healKeys := func(ctx context.Context) (bool, error) {
		_, err := n.writer.HealKeys(ctx)
		return err == nil, err
	}
	var watched []mend.Beside
	watch := func(name string, b mend.Beside) (err error) {
		b.Stream, err = stream.OpenBeside(ctx, n.js, name)
		watched = append(watched, b)
		return err
	}
	err := errors.Join(
		watch(stream.AttemptsStream, mend.Beside{Ages: true, Right: isAttempts,
			Means: "what this server has read of them it still counts, and a rebuild would forget it; decisions in them are " +
				"lost as evidence; look at the disk"}),
		watch(stream.CheckpointsStream, mend.Beside{Right: isCheckpoint,
			Means: "checkpoints in them are lost as evidence; the newest is kept elsewhere too, and nothing is blocked; look at the disk"}),
		watch(stream.KeysStream, mend.Beside{Right: isKeys, Grave: true, Heal: healKeys,
			Means: "personal parts sealed with their keys cannot be opened; nothing is blocked, and everything is recorded; " +
				"before anybody is erased: consent repair --from COPY, then restart"}),
	)
	if err != nil {
		return err
	}
	n.mender.Watch(watched...)
	return nil
}

func isKeys(data []byte) bool { return proto.Unmarshal(data, &consentv1.WrappedKeys{}) == nil }

func isAttempts(data []byte) bool {
	var b consentv1.AttemptBatch
	return proto.Unmarshal(data, &b) == nil && (len(b.GetRecords()) > 0 || b.GetLost())
}

// capsBlocked gives up to when attempts are lost, and until when every cap counts as
// reached because of it; both zero: none does.
func (n *Node) capsBlocked() (lost, until time.Time) {
	lost = n.attempts.LostUntil()
	until = lost.Add(attempts.CapsBlocked)
	if lost.IsZero() || !n.cfg.Clock.Wall().Before(until) {
		return time.Time{}, time.Time{}
	}
	return lost, until
}

// besideProblems lists what is damaged beside the ledger.
func (n *Node) besideProblems() []string {
	out := n.mender.BesideProblems()
	if lost, until := n.capsBlocked(); !until.IsZero() {
		out = append(out, fmt.Sprintf("ATTEMPTS: contact attempts up to %s are lost and not counted; every cap counts as reached until %s; "+
			"or put back the newest whole copy of the folder", lost.Format(time.RFC3339), until.Format(time.RFC3339)))
	}
	if healed := n.tilesHealed.Load(); healed > 0 {
		out = append(out, fmt.Sprintf("MENDED: %d tiles of the tree were damaged, and were made again from the stream; look at the disk and the memory", healed))
	}
	if broken := n.tilesBroken.Load(); broken != nil && *broken != nil {
		out = append(out, "TREE: "+(*broken).Error())
	}
	return out
}

// integrity is the ledger's state: the worst there is.
func (n *Node) integrity() string {
	if s := n.mender.State(); s != "" {
		return s
	}
	if _, until := n.capsBlocked(); !until.IsZero() {
		return mend.StateDamaged
	}
	return n.tree.State(n.writer.Acked())
}

// errMendFirst refuses to fold anew what cannot be read to its end.
var errMendFirst = errors.New("the ledger has lost messages, and a rebuild could not get past them; nothing was changed: first consent repair --from COPY")

// integrityStates are all that a served ledger can have; the others refuse a start.
var integrityStates = []string{tree.StateOK, tree.StateCatchingUp, tree.StateTailRepaired, mend.StateDamaged, mend.StateTampered}

// integrityMeans says what each state blocks and what helps (docs/reference/proof.md).
var integrityMeans = map[string]string{
	tree.StateOK:           "stream, tree and everything signed agree; nothing is blocked",
	tree.StateCatchingUp:   "the tree is far behind and no checkpoint covers the newest entries yet; nothing is blocked; wait",
	tree.StateTailRepaired: "the stream had lost its newest messages and got them back byte for byte; nothing is blocked; look at the disk",
	mend.StateDamaged: "messages are lost; of the ledger: checks of the numbers they are about are BLOCK, or all checks if that cannot be known; " +
		"of attempts: caps count as reached; of keys: personal parts cannot be opened; " +
		"everything is recorded, stops too; put them back: consent repair --from COPY",
	mend.StateTampered: "the stream holds other entries than were recorded; every check is BLOCK; everything is recorded, stops too; find out who " +
		"wrote them, then: consent repair --from COPY",
	stateRolledBack: "the stream ends before what was signed; nothing is served, or positions would be used twice; put back the newest copy of the folder",
}

// stateRolledBack is that of a folder whose start was refused.
const stateRolledBack = "ROLLED_BACK"

// Refused is what doctor says of a folder whose start was refused over its
// integrity; nil for any other error.
func Refused(err error) *consentv1.DoctorResponse {
	res := &consentv1.DoctorResponse{Problems: []string{}}
	switch {
	case errors.Is(err, tree.ErrRolledBack):
		res.Integrity, res.IntegrityMeans = stateRolledBack, integrityMeans[stateRolledBack]
	case errors.Is(err, tree.ErrTampered):
		res.Integrity = mend.StateTampered
		res.IntegrityMeans = "the stream holds other entries than were signed; nothing is served; compare with a copy whose leaves match, and put back the newest whole copy of the folder"
	case errors.Is(err, ledger.ErrDamaged):
		res.Integrity = mend.StateDamaged
		res.IntegrityMeans = "messages are lost where positions could be used twice, or cannot be compared; nothing is served; consent repair --dir D --from COPY, or put back the newest whole copy of the folder"
	default:
		return nil
	}
	res.Problems = append(res.Problems, err.Error())
	return res
}

// integrity adds what is read whenever somebody asks. It may be called once.
func (m *metrics) integrity(n *Node) {
	gauge := func(name, help string, read func() float64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, read))
	}
	for _, state := range integrityStates {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "consent_integrity_state", Help: "1 for the state the ledger's integrity is in, 0 for the others.",
			ConstLabels: prometheus.Labels{"state": state}}, func() float64 { return truth(n.integrity() == state) }))
	}
	gauge("consent_integrity_blocked_numbers", "Numbers that are blocked because something about them is lost.", func() float64 { numbers, _ := n.mender.Blocked(); return float64(numbers) })
	gauge("consent_integrity_blocks_all", "1 while every check is BLOCK because of damage.", func() float64 { _, all := n.mender.Blocked(); return truth(all) })
	gauge("consent_integrity_damaged_messages", "Damaged messages of the stream that are not mended.", func() float64 { open, _ := n.mender.Counts(); return float64(open) })
	gauge("consent_integrity_mended_messages", "Damaged messages of the stream that are read from verified copies.", func() float64 { _, mended := n.mender.Counts(); return float64(mended) })
	gauge("consent_scrub_pace_bytes_per_second", "How many bytes of the stream the scrubber reads a second; 0: it is off.", func() float64 { return float64(n.mender.ScrubStatus().PaceBytes) })
	gauge("consent_scrub_position", "Position compared last in the pass under way; 0 between two.", func() float64 { return float64(n.mender.ScrubStatus().Position) })
	gauge("consent_scrub_pass_positions", "Positions compared by the last full pass.", func() float64 { return float64(n.mender.ScrubStatus().Positions) })
	gauge("consent_scrub_pass_seconds", "Time the last full pass took.", func() float64 { return n.mender.ScrubStatus().Took.Seconds() })
	gauge("consent_scrub_pass_finished_timestamp_seconds", "When the last full pass ended; 0: none has.", func() float64 {
		if at := n.mender.ScrubStatus().Finished; !at.IsZero() {
			return float64(at.Unix())
		}
		return 0
	})
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
