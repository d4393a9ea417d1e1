// Package node is a whole server in one process: it opens a ledger's folder,
// starts what stands on it in order, and closes it in the reverse order.
//
// Closing order: API and intake stop taking work; the writer settles what it has
// taken; feed and projections end; then the databases close, then the connection
// to NATS, then the embedded server, then the folder's lock goes.
package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/directory/keeper"
	"github.com/consent-ledger/consent-ledger/ledger/index"
	"github.com/consent-ledger/consent-ledger/ledger/intake"
	"github.com/consent-ledger/consent-ledger/ledger/mend"
	"github.com/consent-ledger/consent-ledger/ledger/reader"
	"github.com/consent-ledger/consent-ledger/ledger/recorder"
	"github.com/consent-ledger/consent-ledger/ledger/seal"
	"github.com/consent-ledger/consent-ledger/ledger/store"
	"github.com/consent-ledger/consent-ledger/ledger/stream"
	"github.com/consent-ledger/consent-ledger/ledger/timestamp"
	"github.com/consent-ledger/consent-ledger/ledger/tree"
	"github.com/consent-ledger/consent-ledger/ledger/writer"
	"github.com/consent-ledger/consent-ledger/projections"
	"github.com/consent-ledger/consent-ledger/projections/attempts"
	"github.com/consent-ledger/consent-ledger/projections/feed"
	"github.com/consent-ledger/consent-ledger/projections/listing"
	"github.com/consent-ledger/consent-ledger/projections/parties"
	"github.com/consent-ledger/consent-ledger/projections/publication"
	"github.com/consent-ledger/consent-ledger/projections/registry"
	"github.com/consent-ledger/consent-ledger/projections/rules"
	"github.com/consent-ledger/consent-ledger/projections/runner"
	"github.com/consent-ledger/consent-ledger/projections/suppression"
	"github.com/consent-ledger/consent-ledger/projections/timeline"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// Config is how a node is started. Dir is all it needs.
type Config struct {
	// Dir is the ledger's folder, made by Init.
	Dir string
	// Listen is where the API listens; default 127.0.0.1:8420, port 0 for any.
	Listen string
	// TLSCert and TLSKey are PEM files. Anything but loopback demands them.
	TLSCert, TLSKey string
	// NATSListen is where the embedded NATS server listens for outside clients;
	// default 127.0.0.1:4222, `none` for nowhere.
	NATSListen string
	// NATSURL names an external NATS server instead of the embedded one.
	NATSURL string
	// LazySync gives up the fsync before each acknowledgement of the embedded
	// server. Receipts then say DURABILITY_LAZY.
	LazySync bool
	// RecordDecisions makes every decision of a check durable before it is
	// answered, in CONSENT_ATTEMPTS. Those of reservations always are.
	RecordDecisions bool
	// Anchors keep checkpoints outside the folder: paths of files on other disks, or
	// URLs to post to. An older copy of the folder is known by them.
	Anchors []string
	// CopyDir is the folder of a copy of this ledger, whose stream may have an end that
	// this one's has lost. Empty: none is at hand.
	CopyDir string
	// Policy is a C2SP tlog-policy file: witnesses that are asked to cosign, and how
	// many must. Empty: nobody is asked.
	Policy string
	// TimestampURL is an RFC 3161 authority that stamps checkpoints, every
	// TimestampEvery (0: hourly) and when somebody needs it; TimestampCA is a PEM file
	// with the certificate of those who vouch for it. Empty: none is asked.
	TimestampURL, TimestampCA string
	TimestampEvery            time.Duration
	// ScrubPace is how many bytes a second of the stream are read again and compared
	// with the tree; 0: ScrubPaceDefault, ScrubOff: none.
	ScrubPace int64
	// PublicTree shows checkpoint and tiles without a key on an address that is not
	// loopback.
	PublicTree bool
	// Origin names a new ledger in what it signs; empty: by its id. It never changes.
	Origin string
	// Version of the program.
	Version string
	// Clock is the machine's; zero means the system's.
	Clock writer.Clock
	// Logger hears everything; nil discards.
	Logger *slog.Logger

	scrubEvery time.Duration
}

// Defaults of Config.
const (
	ListenDefault     = "127.0.0.1:8420"
	NATSListenDefault = "127.0.0.1:4222"
	NATSListenNone    = "none"
)

func (c *Config) fill() {
	if c.Listen == "" {
		c.Listen = ListenDefault
	}
	if c.NATSListen == "" {
		c.NATSListen = NATSListenDefault
	}
	if c.ScrubPace == 0 {
		c.ScrubPace = ScrubPaceDefault
	}
	if c.scrubEvery == 0 {
		c.scrubEvery = scrubEvery
	}
	if c.Clock.Wall == nil {
		c.Clock = writer.SystemClock()
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
}

// Node is a running server.
type Node struct {
	cfg      Config
	folder   *folder
	adminKey string
	listener net.Listener
	metrics  *metrics

	bus
	keys    *seal.Keyring
	signing *seal.Signing
	tree    *tree.Tree
	shelf   *timestamp.Shelf
	stamps  *timestamp.Keeper
	mender  *mend.Mender
	// What the scrubber made of the tree's tiles: how many it healed, and why it could not.
	tilesHealed atomic.Int64
	tilesBroken atomic.Pointer[error]
	stateDB     *store.DB
	index       *index.Index
	writer      *writer.Writer
	reader      *reader.Reader
	recorder    *recorder.Recorder
	directory   *keeper.Keeper

	runner     *runner.Runner
	listing    *listing.Projection
	registry   *registry.Projection
	lists      lists
	packs      *publication.Projection
	feed       *feed.Publisher
	feedStream *feed.JetStream
	attempts   *attempts.Keeper
	fresh      *freshness

	// requests is the base of all requests; endRequests ends streams that would
	// otherwise never end.
	requests    context.Context
	endRequests func()

	closers []func() error // run in reverse
	once    sync.Once
}

// bus is the node's connection to NATS and what it reaches over it.
type bus struct {
	embedded *stream.Embedded
	conn     *nats.Conn
	js       jetstream.JetStream
	log      *stream.Log
	files    *stream.Files
	inbox    *stream.Inbox
	tries    *stream.Attempts
}

// Open opens the folder and everything on it, up to the writer's first entry.
// Nothing is served until Run. Errors say what to do; after one, nothing runs.
func Open(ctx context.Context, cfg Config) (n *Node, err error) {
	cfg.fill()
	n = &Node{cfg: cfg, metrics: newMetrics(), fresh: newFreshness()}
	requests, end := context.WithCancelCause(context.WithoutCancel(ctx))
	n.requests, n.endRequests = requests, func() { end(ledger.ErrClosed) }
	defer func() {
		if err != nil {
			err = errors.Join(err, n.Close())
			n = nil
		}
	}()
	for _, step := range []func(context.Context) error{
		n.openFolder, n.openListener, n.openBus, n.openTree, n.openTimestamps, n.openLedger, n.openDirectory, n.openProjections,
	} {
		if err := step(ctx); err != nil {
			return n, err
		}
	}
	return n, nil
}

func (n *Node) onClose(f func() error) { n.closers = append(n.closers, f) }

func (n *Node) openFolder(context.Context) (err error) {
	if n.folder, err = openFolder(n.cfg.Dir); err != nil {
		return err
	}
	n.onClose(n.folder.release)
	if n.adminKey, err = n.folder.adminKey(); err != nil {
		return err
	}
	if n.keys, err = seal.Open(n.folder.path(keysDir)); err != nil {
		return err
	}
	return nil
}

func (n *Node) openListener(context.Context) (err error) {
	n.listener, err = listen(n.cfg.Listen, n.cfg.TLSCert != "")
	if err == nil {
		n.onClose(func() error {
			if err := n.listener.Close(); !errors.Is(err, net.ErrClosed) {
				return err
			}
			return nil
		})
	}
	return err
}

func (n *Node) openBus(ctx context.Context) error {
	if err := n.connect(); err != nil {
		return err
	}
	if err := stream.Verify(ctx, n.js, n.provision()); err != nil {
		if n.lost(err) {
			return n.errLost()
		}
		return fmt.Errorf("%w; see: consent streams plan, consent streams apply; a stream that was there once lacks its files, or has another ledger's: "+
			"put them back from a backup", err)
	}
	var err error
	if n.log, err = stream.Open(ctx, n.js, n.durability(), n.pulse()); err != nil {
		return err
	}
	if n.files, err = stream.OpenFiles(ctx, n.js); err != nil {
		return err
	}
	if n.tries, err = stream.OpenAttempts(ctx, n.js, n.pulse()); err != nil {
		return err
	}
	n.inbox, err = stream.OpenInbox(ctx, n.js, n.pulse())
	return err
}

// connect starts the embedded server or dials the external one.
func (n *Node) connect() (err error) {
	if n.cfg.NATSURL != "" {
		n.conn, err = nats.Connect(n.cfg.NATSURL, nats.MaxReconnects(-1), nats.Name("consent-ledger"))
		if err != nil {
			return fmt.Errorf("nats-url: %s does not answer: %w", n.cfg.NATSURL, err)
		}
	} else {
		o := stream.EmbeddedOptions{Dir: n.folder.path(jetstreamDir), CipherKey: n.keys.JetStreamKey(), AdminKey: n.adminKey,
			LazySync: n.cfg.LazySync, Logger: n.cfg.Logger, Listen: n.cfg.NATSListen}
		if o.Listen == NATSListenNone {
			o.Listen = ""
		} else if local, err := loopback(o.Listen); err != nil || !local {
			return errors.Join(fmt.Errorf("nats-listen: %s is not loopback, and the embedded server has no TLS; use an external one with --nats-url", o.Listen), err)
		}
		if n.embedded, err = stream.StartEmbedded(o); err != nil {
			return err
		}
		n.onClose(func() error { n.embedded.Close(context.Background()); return nil })
		if n.conn, err = n.embedded.Connect(); err != nil {
			return err
		}
	}
	n.onClose(func() error { n.conn.Close(); return nil })
	n.js, err = jetstream.New(n.conn)
	return err
}

func (n *Node) provision() stream.Provision {
	return stream.Provision{LedgerID: n.keys.LedgerID().String(), Replicas: 1}
}

// pulse is that of the embedded server's disk.
func (n *Node) pulse() *stream.Pulse {
	if n.embedded == nil {
		return nil
	}
	return n.embedded.Pulse()
}

func (n *Node) durability() consentv1.Durability {
	switch {
	case n.cfg.NATSURL != "":
		return consentv1.Durability_DURABILITY_UNVERIFIED
	case n.cfg.LazySync:
		return consentv1.Durability_DURABILITY_LAZY
	}
	return consentv1.Durability_DURABILITY_FSYNC
}

// openLedger catches the index up and lets the writer take over.
func (n *Node) openLedger(ctx context.Context) (err error) {
	n.index, err = index.Open(n.folder.path(indexDir), index.Options{Ledger: n.keys.LedgerID(), Live: n.keys.Live, Logger: n.cfg.Logger})
	if err != nil {
		return err
	}
	n.onClose(n.index.Close)
	n.mender.Locate(n.index)
	n.reader = reader.New(n.mender.Patient(), n.index, n.keys, n.files)
	if err := n.openDerived(); err != nil {
		return err
	}
	cfg := writer.Config{Ready: n.reaches, Log: n.mender.Strict(), Index: n.index, Keys: n.keys, Files: n.files, Clock: n.cfg.Clock,
		Metrics: n.metrics, Lagging: n.lagging, Offer: n.reader.Offer, Version: n.cfg.Version, Instance: uuid.NewString()}
	if n.embedded != nil {
		cfg.Watch = n.embedded.Watch
	}
	n.writer, err = writer.Open(ctx, cfg)
	if err != nil {
		return err
	}
	n.recorder = recorder.New(n.writer, n.reader, n.keys, n.index, n.inbox)
	return nil
}

// stateCacheBytes holds the state of some twelve million numbers, as far as they are
// asked about. Half of it took a block from the file, checked and unpacked it for
// every third check of ten million.
const stateCacheBytes = 3 << 29

func (n *Node) openProjections(ctx context.Context) (err error) {
	embedded, err := rules.Embedded()
	if err != nil {
		return err
	}
	if err := n.openLists(); err != nil {
		return err
	}
	n.lists.law = embedded
	n.listing, n.registry, n.packs = listing.New(), registry.New(n.lists.shelf), publication.New(embedded.All()...)
	ps := []projections.Projection{suppression.Projection{}, timeline.Projection{}, parties.Projection{}, n.listing, n.registry, n.packs, attempts.Anchors{}}
	n.runner, err = runner.Open(n.stateDB, n.reader, ps, runner.Options{Logger: n.cfg.Logger, Through: n.writer.Acked, Metrics: runner.Metrics{
		Applied: n.fresh.applied(n.metrics),
	}})
	if err != nil {
		return err
	}
	if n.attempts, err = n.openAttempts(); err != nil {
		return err
	}
	n.feed, err = n.openFeed(ctx)
	return err
}

// Run serves until ctx is done or something that must not fail has failed; the
// error then says what, and a restart recovers. It may be called once.
func (n *Node) Run(ctx context.Context) error {
	// Two circles: what takes work in ends first, then what settles it.
	inner, stopInner := context.WithCancelCause(context.WithoutCancel(ctx))
	g, gctx := errgroup.WithContext(inner)
	g.Go(func() error { return n.named(gctx, "writer", n.writer.Run(gctx)) })
	g.Go(func() error { return n.named(gctx, "tree", n.tree.Run(gctx)) })
	n.scrub(gctx, g)
	g.Go(func() error { return n.named(gctx, "directory", n.directory.Run(gctx)) })
	g.Go(func() error { return n.named(gctx, "projections", n.runner.Run(gctx)) })
	g.Go(func() error { return n.named(gctx, "attempts", n.attempts.Run(gctx)) })
	g.Go(func() error { return n.named(gctx, "registry", n.runRegistry(gctx)) })
	g.Go(func() error { return n.named(gctx, "packs", n.runPacks(gctx)) })
	g.Go(func() error { return n.named(gctx, "feed", n.feed.Run(gctx)) })
	g.Go(func() error { return n.named(gctx, "freshness", n.fresh.run(gctx, n.log, n.writer.Foreign)) })

	edge, ectx := errgroup.WithContext(ctx)
	stop := context.AfterFunc(gctx, n.endRequests)
	defer stop()
	edge.Go(func() error { return n.serveHTTP(ectx, n.listener) })
	edge.Go(func() error { return intake.New(n.js, n.recorder, n.cfg.Logger).Run(ectx) })
	edge.Go(func() error { return n.serveMicro(ectx) })
	edge.Go(func() error { return n.anchorer().Run(ectx) })    // ends before the writer: a clean stop anchors
	edge.Go(func() error { return n.directory.Commits(ectx) }) // likewise
	edge.Go(func() error { n.stamps.Run(ectx); return nil })
	edge.Go(func() error { // the end of the inner circle ends the outer one
		select {
		case <-gctx.Done():
			return context.Cause(gctx)
		case <-ectx.Done():
			return nil
		}
	})
	err := edge.Wait()
	stopInner(errStopped)
	cause := g.Wait()
	if errors.Is(err, cause) { // the inner circle's end was what ended the outer one
		return err
	}
	return errors.Join(err, cause)
}

// errStopped is the cause of an orderly end.
var errStopped = errors.New("node: stopped")

// named says which part ended. It is no error only if all are told to end: a part
// that ends by itself, whatever it says, would leave a server without it.
func (n *Node) named(ctx context.Context, part string, err error) error {
	switch {
	case ctx.Err() == nil && err == nil:
		return fmt.Errorf("%s: ended by itself", part)
	case ctx.Err() != nil && (err == nil || errors.Is(err, errStopped) || errors.Is(err, context.Canceled)):
		return nil
	}
	return fmt.Errorf("%s: %w", part, err)
}

// Close closes everything in reverse order. Run must have returned.
func (n *Node) Close() (err error) {
	n.once.Do(func() {
		n.endRequests()
		for i := len(n.closers) - 1; i >= 0; i-- {
			err = errors.Join(err, n.closers[i]())
		}
	})
	return err
}

// URL is where the API listens.
func (n *Node) URL() string {
	scheme := "http"
	if n.cfg.TLSCert != "" {
		scheme = "https"
	}
	return scheme + "://" + n.listener.Addr().String()
}

// NATSURL is where the embedded server listens; empty if it does not.
func (n *Node) NATSURL() string {
	if n.embedded == nil {
		return n.cfg.NATSURL
	}
	return n.embedded.URL()
}

// AdminKey opens the API.
func (n *Node) AdminKey() string { return n.adminKey }

// lagBulkMax is how far the slowest projection may be behind before bulk waits.
const lagBulkMax = 50 * time.Millisecond

// lagging implements writer.Config.Lagging.
func (n *Node) lagging() bool {
	return n.writer != nil && n.fresh.lag(ledger.Position(n.writer.Acked())) > lagBulkMax
}

// Init makes a new ledger: folder, keys, and with an embedded server its streams.
// It is never implied: a typo must not look like an empty history. It gives the
// path of the admin key.
func Init(ctx context.Context, cfg Config) (adminKeyFilePath string, err error) {
	cfg.fill()
	if cfg.Origin != "" {
		if err := seal.CheckOrigin(cfg.Origin); err != nil {
			return "", err
		}
	}
	f, err := createFolder(cfg.Dir)
	if err != nil {
		return "", err
	}
	n := &Node{cfg: cfg, folder: f, endRequests: func() {}}
	n.onClose(f.release)
	defer func() { err = errors.Join(err, n.Close()) }()
	if n.keys, err = seal.Create(f.path(keysDir)); err != nil {
		return "", err
	}
	if n.adminKey, err = f.createAdminKey(); err != nil {
		return "", err
	}
	n.cfg.NATSListen = NATSListenNone
	if err := n.connect(); err != nil {
		return "", err
	}
	if _, err := stream.Apply(ctx, n.js, n.provision()); err != nil {
		return "", err
	}
	if err := errors.Join(stream.Verify(ctx, n.js, n.provision()), n.keys.CreateSigning(cfg.Origin)); err != nil {
		return "", err
	}
	return filepath.Join(cfg.Dir, adminKeyFile), f.seal()
}
