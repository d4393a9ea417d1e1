package node

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"connectrpc.com/connect"

	"github.com/consent-ledger/consent-ledger/ledger"
	ledgerrpc "github.com/consent-ledger/consent-ledger/ledger/rpc"
	"github.com/consent-ledger/consent-ledger/ledger/seal"
	"github.com/consent-ledger/consent-ledger/ledger/stream"
	"github.com/consent-ledger/consent-ledger/projections/registry"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// uploadBytesMax bounds the files of one list: they are held in memory, so that
// no plain number touches the disk.
const uploadBytesMax = 1 << 30

// objects keeps the numbers of lists, and rule packs, in the file store, encrypted.
type objects struct {
	files *stream.Files
	keys  *seal.Keyring
	kind  string // what they are: objects of one kind are never read as another
}

// Kinds of objects.
const (
	registryObject = "registry-object"
	rulePack       = "rule-pack"
)

func (o objects) context(name ledger.Hash) string {
	return "consent.v1/" + o.kind + "/" + name.String()
}

// Put stores an object under the SHA-256 of its plaintext.
func (o objects) Put(ctx context.Context, name ledger.Hash, plain []byte) error {
	return o.files.Put(ctx, name, bytes.NewReader(o.keys.SealBlob(o.context(name), plain)))
}

// Get implements registry.Objects.
func (o objects) Get(ctx context.Context, name ledger.Hash) (io.ReadCloser, error) {
	plain, err := o.read(ctx, name)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(bytes.NewReader(plain)), nil
}

func (o objects) read(ctx context.Context, name ledger.Hash) ([]byte, error) {
	r, err := o.files.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	sealed, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.kind, err)
	}
	plain, err := o.keys.OpenBlob(o.context(name), sealed)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.kind, err)
	}
	return plain, nil
}

// runRegistry fetches the numbers of announced lists until ctx is done.
func (n *Node) runRegistry(ctx context.Context) error {
	l := &registry.Loader{Projection: n.registry, Objects: objects{n.files, n.keys, registryObject}, Failed: func(object ledger.Hash, err error) {
		n.cfg.Logger.Warn("registry: list not fetched, what depends on it blocks", "object", object.String()[:8], "error", err)
	}}
	return l.Run(ctx)
}

// LoadRegistry takes a list's files, stores its numbers and records the list.
func (o *operations) LoadRegistry(ctx context.Context, st *connect.ClientStream[consentv1.LoadRegistryRequest]) (*consentv1.LoadRegistryResponse, error) {
	u, err := receiveFiles(st)
	if err != nil {
		return nil, err
	}
	built, object, err := u.build()
	if err == nil {
		err = registry.CheckVersionDate(built.Loaded.GetVersionDate(), o.n.cfg.Clock.Wall())
	}
	if err != nil {
		return nil, badList(err)
	}
	n, loaded := o.n, built.Loaded
	name := ledger.Hash(loaded.GetObjectSha256())
	if err := (objects{n.files, n.keys, registryObject}).Put(ctx, name, object); err != nil {
		return nil, err
	}
	defer n.registry.Prime(name, built.Set)()
	loaded.Licensees = u.files[0].about.GetLicensees()
	// The same numbers for the same sellers are the same event: loading them again adds nothing.
	event := sha256.Sum256(fmt.Appendf(nil, "%x %s %s %q", name, loaded.GetRegistry(), loaded.GetVersionDate(), loaded.GetLicensees()))
	receipt, err := n.recorder.System(ctx, &consentv1.Fact{Source: "consent-ledger", EventId: "registry-" + hex.EncodeToString(event[:16]),
		Kind: &consentv1.Fact_RegistryLoaded{RegistryLoaded: loaded}})
	if err != nil {
		return nil, err
	}
	if err := n.runner.WaitApplied(ctx, receipt.Position); err != nil {
		return nil, err
	}
	return &consentv1.LoadRegistryResponse{Receipt: ledgerrpc.Receipt(receipt), VersionDate: loaded.GetVersionDate(), Rows: loaded.GetRows(),
		Malformed: built.Lines.Malformed, MalformedLines: built.Lines.MalformedLines}, nil
}

// badList says why nothing of a list was loaded.
func badList(err error) error {
	if errors.Is(err, registry.ErrVersionDate) {
		return &ledger.InvalidError{Field: "version_date", Problem: strings.TrimPrefix(err.Error(), registry.ErrVersionDate.Error()+": ")}
	}
	return &ledger.InvalidError{Field: "file", Problem: strings.TrimPrefix(err.Error(), "registry: "), Fix: "give the registry's own file, unchanged"}
}

// upload is the files of one list.
type upload struct{ files []*uploaded }

type uploaded struct {
	about *consentv1.RegistryFile
	data  bytes.Buffer
}

func receiveFiles(st *connect.ClientStream[consentv1.LoadRegistryRequest]) (*upload, error) {
	u, size := &upload{}, 0
	for st.Receive() {
		if f := st.Msg().GetFile(); f != nil {
			u.files = append(u.files, &uploaded{about: f})
		}
		if len(u.files) == 0 {
			return nil, &ledger.InvalidError{Field: "file", Problem: "is not described in the first message", Fix: "name the registry and the file"}
		}
		if size += len(st.Msg().GetChunk()); size > uploadBytesMax {
			return nil, &ledger.InvalidError{Field: "file", Problem: fmt.Sprintf("has more than %d bytes", uploadBytesMax), Fix: "load the list's area codes one by one"}
		}
		u.files[len(u.files)-1].data.Write(st.Msg().GetChunk())
	}
	if err := st.Err(); err != nil {
		return nil, err
	}
	if len(u.files) == 0 {
		return nil, &ledger.InvalidError{Field: "file", Problem: "is missing", Fix: "name the registry and the file"}
	}
	return u, nil
}

// build reads all files into one list.
func (u *upload) build() (registry.Built, []byte, error) {
	first := u.files[0].about
	b, err := registry.NewBuilder(first.GetRegistry(), first.GetVersionDate())
	if err != nil {
		return registry.Built{}, nil, err
	}
	for _, f := range u.files {
		if err := b.AddFile(f.about.GetName(), bytes.NewReader(f.data.Bytes()), int64(f.data.Len())); err != nil {
			return registry.Built{}, nil, err
		}
	}
	var object bytes.Buffer
	built, err := b.Finish(&object)
	return built, object.Bytes(), err
}
