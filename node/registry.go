package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"

	"github.com/consent-ledger/consent-ledger/ledger"
	ledgerrpc "github.com/consent-ledger/consent-ledger/ledger/rpc"
	"github.com/consent-ledger/consent-ledger/ledger/store"
	"github.com/consent-ledger/consent-ledger/projections/registry"
	"github.com/consent-ledger/consent-ledger/projections/registry/listfile"
	"github.com/consent-ledger/consent-ledger/projections/rules"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// uploadBytesMax bounds the files of one list. They wait on disk, sealed: no plain
// number touches it.
const uploadBytesMax = 32 << 30

// lists is what a node has for loading lists.
type lists struct {
	db    *store.DB
	shelf *registry.Shelf
	spool *spool
	law   *rules.Packs // says how old a list may be

	mu    sync.Mutex
	loads map[string]*listLoad // by registry
}

// listLoad is a load that is going on.
type listLoad struct {
	step  atomic.Pointer[string]
	total atomic.Int64
	done  atomic.Int64                 // bytes of files read to their end
	read  atomic.Pointer[atomic.Int64] // of the file being read
	begun time.Time
}

func (l *listLoad) at(step string) { l.step.Store(&step) }

// openLists opens the copy of the lists on this server's disk. Large values read
// from end to end gain nothing from a cache.
func (n *Node) openLists() (err error) {
	n.lists.loads = map[string]*listLoad{}
	if n.lists.spool, err = openSpool(n.folder.path(spoolDir), n.keys, n.cfg.Clock.Wall()); err != nil {
		return err
	}
	if n.lists.db, err = store.Open(n.folder.path(listsDir), store.Options{Logger: n.cfg.Logger, CacheBytes: 8 << 20, BlockBytes: 64 << 10, NoLog: true, Derived: true}); err != nil {
		return err
	}
	n.onClose(n.lists.db.Close)
	n.lists.shelf, err = registry.OpenShelf(n.lists.db, n.keys)
	return err
}

// begin lets one load of a list go on at a time: the second would be built on
// what the first is about to replace.
func (s *lists) begin(registry string, now time.Time) (*listLoad, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.loads[registry]; l != nil {
		return nil, connect.NewError(connect.CodeFailedPrecondition, fmt.Errorf("registry: another load of this list is going on since %s; wait until it has ended, then load again",
			l.begun.UTC().Format(time.RFC3339)))
	}
	l := &listLoad{begun: now}
	l.at("receiving")
	s.loads[registry] = l
	return l, nil
}

func (s *lists) end(registry string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.loads, registry)
}

// runRegistry fetches the numbers of announced lists until ctx is done.
func (n *Node) runRegistry(ctx context.Context) error {
	l := &registry.Loader{Projection: n.registry, Objects: objects{n.files, n.keys, registryObject}, Failed: func(object ledger.Hash, err error) {
		n.cfg.Logger.Warn("registry: list not fetched or not kept, what depends on it blocks", "object", object.String()[:8], "error", err)
	}}
	return l.Run(ctx)
}

// LoadRegistry takes a list's files, stores its numbers and records the list.
//
// What a crash leaves: while files arrive, parts of them in the spool, from which
// the next try goes on; after the object is stored, an object nobody names; after
// the fact is recorded, the list.
func (o *operations) LoadRegistry(ctx context.Context, st *connect.ClientStream[consentv1.LoadRegistryRequest]) (*consentv1.LoadRegistryResponse, error) {
	u := &upload{n: o.n}
	defer u.close()
	if err := u.receive(st); err != nil {
		return nil, badList(err)
	}
	built, err := u.build()
	for _, b := range built {
		if err == nil && b.Before == 0 {
			err = registry.CheckVersionDate(b.Loaded.GetVersionDate(), o.n.cfg.Clock.Wall())
		}
	}
	if err != nil {
		return nil, badList(err)
	}
	u.load.at("storing")
	receipt, err := o.n.recordLists(ctx, built)
	if err != nil {
		return nil, err
	}
	u.loaded = true
	lines := built[0].Lines
	res := &consentv1.LoadRegistryResponse{Receipt: receipt, VersionDate: built[0].Loaded.GetVersionDate(), Malformed: lines.Malformed, MalformedLines: lines.MalformedLines,
		Versions: uint32(len(built)), Notices: o.n.listNotices(built)}
	for _, b := range built {
		res.Rows, res.Added, res.Removed = res.Rows+b.Loaded.GetRows(), res.Added+b.Loaded.GetAdded(), res.Removed+b.Loaded.GetRemoved()
		res.WithoutEffect, res.ReplacesPosition = res.WithoutEffect+b.WithoutEffect, max(res.ReplacesPosition, uint64(b.Replaces))
	}
	return res, nil
}

// badList says why nothing of a list was loaded.
func badList(err error) error {
	for _, known := range []struct {
		err        error
		field, fix string
	}{
		{registry.ErrVersionDate, "version_date", ""},
		{registry.ErrBase, "base_date", ""},
		{registry.ErrPlan, "registry", ""},
		{registry.ErrEmpty, "file", ""},
		{registry.ErrCover, "area_codes", ""},
		{registry.ErrShrunk, "file", ""},
		{listfile.ErrColumn, "file", ""},
		{listfile.ErrArchive, "file", ""},
	} {
		if errors.Is(err, known.err) {
			return &ledger.InvalidError{Field: known.field, Problem: afterSentinel(err, known.err), Fix: known.fix}
		}
	}
	var invalid *ledger.InvalidError
	var wire *connect.Error
	if errors.As(err, &invalid) || errors.As(err, &wire) || errors.Is(err, context.Canceled) {
		return err
	}
	return &ledger.InvalidError{Field: "file", Problem: err.Error(), Fix: "give the registry's own file, unchanged"}
}

// afterSentinel is what an error says beside the sentinel it begins with.
func afterSentinel(err, sentinel error) string {
	text, begin := err.Error(), sentinel.Error()+": "
	if len(text) > len(begin) && text[:len(begin)] == begin {
		return text[len(begin):]
	}
	return text
}

// upload is the files of one list.
type upload struct {
	n      *Node
	first  *consentv1.RegistryFile
	load   *listLoad
	files  []*uploaded
	loaded bool
	broken bool // the connection ended before the files did
}

type uploaded struct {
	about *consentv1.RegistryFile
	*spooled
}

// receive takes the files over. It ends with their connection; what arrived of
// announced files stays.
func (u *upload) receive(st *connect.ClientStream[consentv1.LoadRegistryRequest]) error {
	for st.Receive() {
		if f := st.Msg().GetFile(); f != nil {
			if err := u.open(f); err != nil {
				return err
			}
		}
		if len(u.files) == 0 {
			break
		}
		file := u.files[len(u.files)-1]
		if _, err := file.Write(st.Msg().GetChunk()); err != nil {
			return err
		}
		if u.load.total.Add(int64(len(st.Msg().GetChunk()))) > uploadBytesMax {
			return &ledger.InvalidError{Field: "file", Problem: fmt.Sprintf("has more than %d bytes", int64(uploadBytesMax)), Fix: "load the list's area codes one by one"}
		}
	}
	if err := st.Err(); err != nil {
		u.broken = true
		return err
	}
	if len(u.files) == 0 {
		return &ledger.InvalidError{Field: "file", Problem: "is not described in the first message", Fix: "name the registry and the file"}
	}
	return u.endLast()
}

func (u *upload) endLast() error {
	if len(u.files) == 0 {
		return nil
	}
	last := u.files[len(u.files)-1]
	return last.end(last.about.GetSha256())
}

func (u *upload) open(f *consentv1.RegistryFile) (err error) {
	if err := u.endLast(); err != nil {
		return err
	}
	if u.first == nil {
		if u.load, err = u.n.lists.begin(f.GetRegistry(), u.n.cfg.Clock.Wall()); err != nil {
			return err
		}
		u.first = f
		if _, err := registry.NewBuilder(planOf(f)); err != nil {
			return err // before anybody sends three gigabytes
		}
		if err := u.n.checkLicensees(f.GetLicensees()); err != nil {
			return err
		}
	}
	if n := len(f.GetSha256()); n != 0 && n != len(ledger.Hash{}) {
		return &ledger.InvalidError{Field: "sha256", Problem: "is no SHA-256", Fix: "leave it out, or give that of the whole file"}
	}
	s, err := u.n.lists.spool.create(f.GetSha256(), int64(f.GetOffset()))
	if err != nil {
		return err
	}
	u.load.total.Add(s.size)
	u.files = append(u.files, &uploaded{f, s})
	return nil
}

// build reads all files into one list.
func (u *upload) build() ([]registry.Built, error) {
	u.load.at("reading")
	b, err := registry.NewBuilder(planOf(u.first))
	if err != nil {
		return nil, err
	}
	for _, f := range u.files {
		u.load.read.Store(f.read)
		if err := b.AddFile(registry.File{Name: f.about.GetName(), Content: f, Size: f.size, Sum: ledger.Hash(f.sum.Sum(nil)), Submitted: f.about.GetSubmitted()}); err != nil {
			return nil, err
		}
		u.load.read.Store(nil)
		u.load.done.Add(f.size)
	}
	return b.Finish(u.n.registry.Snapshot())
}

// close lets the load end. Parts of files stay only for those who were cut off.
func (u *upload) close() {
	for _, f := range u.files {
		if err := f.close(u.broken); err != nil {
			u.n.cfg.Logger.Warn("registry: spool", "error", err)
		}
	}
	if u.load != nil {
		u.n.lists.end(u.first.GetRegistry())
	}
}

// planOf reads how a list's files are to be read.
func planOf(f *consentv1.RegistryFile) registry.Plan {
	p := f.GetPlan()
	out := registry.Plan{Registry: f.GetRegistry(), VersionDate: f.GetVersionDate(), Licensees: f.GetLicensees(), BaseDate: p.GetBaseDate(), Wash: registry.Wash(p.GetWash()),
		Publisher: p.GetPublisher(), Subscription: p.GetSubscription(), Format: p.GetFormat(), Column: p.GetColumn(), ChangeColumn: p.GetChangeColumn(),
		Region: p.GetRegion(), AreaCodes: p.GetAreaCodes(), WholeCountry: p.GetWholeCountry(), ExpectRows: p.GetExpectRows(),
		AcceptShrunk: p.GetAcceptShrunkAreas(), AcceptEmpty: p.GetAcceptEmptyAreas()}
	if p.GetAcceptShrunk() {
		out.AcceptShrunk = []string{"all"}
	}
	if p.GetAcceptEmpty() {
		out.AcceptEmpty = []string{"all"}
	}
	if p.GetFetchedAt() != nil {
		out.FetchedAt = p.GetFetchedAt().AsTime()
	}
	if d := p.GetDelimiter(); d != "" {
		out.Comma = d[0]
	}
	if p != nil {
		out.BadShareMax = p.BadShareMax
	}
	return out
}

// recordLists stores the objects of lists and records the lists, handed to the
// writer together; the receipt is that of the last. The numbers answer from the very
// commit that holds the fact.
func (n *Node) recordLists(ctx context.Context, built []registry.Built) (*consentv1.Receipt, error) {
	var facts []*consentv1.Fact
	for _, b := range built {
		if b.Before == 0 {
			name := ledger.Hash(b.Loaded.GetObjectSha256())
			err := objects{n.files, n.keys, registryObject}.Put(ctx, name, func(w io.Writer) error { _, err := b.Object.Encode(w); return err })
			if err != nil {
				return nil, err
			}
			defer n.registry.Prime(b)()
		}
		facts = append(facts, listFact(b))
	}
	receipts, err := n.recorder.SystemAll(ctx, facts)
	if err != nil {
		return nil, err
	}
	last := receipts[0]
	for _, r := range receipts[1:] {
		if duplicate := last.Duplicate && r.Duplicate; r.Position > last.Position {
			last, last.Duplicate = r, duplicate
		} else {
			last.Duplicate = duplicate
		}
	}
	if err := n.runner.WaitApplied(ctx, last.Position); err != nil {
		return nil, err
	}
	return ledgerrpc.Receipt(last), nil
}
