package stream

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/consent-ledger/consent-ledger/ledger"
)

// Files is the object store `consent-files`. Objects are named by the SHA-256
// given and never change; whoever puts them has encrypted them.
type Files struct{ store jetstream.ObjectStore }

// OpenFiles binds to the object store.
func OpenFiles(ctx context.Context, js jetstream.JetStream) (*Files, error) {
	s, err := js.ObjectStore(ctx, FilesBucket)
	if err != nil {
		return nil, fmt.Errorf("object store %s: %w", FilesBucket, err)
	}
	return &Files{s}, nil
}

// Put stores an object under a name; storing the same name twice is harmless.
func (f *Files) Put(ctx context.Context, name ledger.Hash, r io.Reader) error {
	if _, err := f.store.GetInfo(ctx, name.String()); err == nil {
		return nil
	}
	if _, err := f.store.Put(ctx, jetstream.ObjectMeta{Name: name.String()}, r); err != nil {
		return fmt.Errorf("object store %s: put: %w", FilesBucket, err)
	}
	return nil
}

// Get reads an object; ledger.ErrNotFound if there is none.
func (f *Files) Get(ctx context.Context, name ledger.Hash) (io.ReadCloser, error) {
	r, err := f.store.Get(ctx, name.String())
	if errors.Is(err, jetstream.ErrObjectNotFound) {
		return nil, ledger.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("object store %s: get: %w", FilesBucket, err)
	}
	return r, nil
}

// PutBytes stores bytes under their own SHA-256.
func (f *Files) PutBytes(ctx context.Context, data []byte) (ledger.Hash, error) {
	name := ledger.Hash(sha256.Sum256(data))
	return name, f.Put(ctx, name, bytes.NewReader(data))
}

// GetBytes reads an object stored by PutBytes and checks it.
func (f *Files) GetBytes(ctx context.Context, name ledger.Hash) ([]byte, error) {
	r, err := f.Get(ctx, name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("object store %s: read: %w", FilesBucket, err)
	}
	if sha256.Sum256(data) != name {
		return nil, fmt.Errorf("object store %s: object %s does not match its name", FilesBucket, hex.EncodeToString(name[:4]))
	}
	return data, nil
}
