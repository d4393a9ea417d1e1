package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/seal"
	"github.com/consent-ledger/consent-ledger/ledger/stream"
)

// Copy is the ledger's stream and that of keys of another folder of this ledger, a
// backup, open for reading. The folder itself is not touched: JetStream would cut off
// what it cannot read, so it is given a copy.
type Copy struct {
	log     *stream.Log
	closers []func() error
}

// OpenCopy copies both streams out of a folder into a temporary one, which takes as
// much room as they do, and opens that.
func OpenCopy(ctx context.Context, dir string, logger *slog.Logger) (c *Copy, err error) {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	f := &folder{dir: dir}
	if _, err := os.Stat(f.path(markerFile)); err != nil {
		return nil, fmt.Errorf("folder %s holds no ledger: %w", dir, err)
	}
	keys, err := seal.Open(f.path(keysDir))
	if err != nil {
		return nil, err
	}
	c = &Copy{}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
			c = nil
		}
	}()
	scratch, err := os.MkdirTemp("", "consent-copy-")
	if err != nil {
		return c, err
	}
	c.closers = append(c.closers, func() error { return os.RemoveAll(scratch) })
	for _, name := range []string{stream.LedgerStream, stream.KeysStream} {
		if err := copyStream(f.path(jetstreamDir), scratch, name); err != nil {
			return c, fmt.Errorf("folder %s cannot be copied: %w", dir, err)
		}
	}
	server, err := stream.StartEmbedded(stream.EmbeddedOptions{Dir: scratch, CipherKey: keys.JetStreamKey(), LazySync: true, Logger: logger})
	if err != nil {
		return c, err
	}
	c.closers = append(c.closers, func() error { server.Close(context.Background()); return nil })
	conn, err := server.Connect()
	if err != nil {
		return c, err
	}
	c.closers = append(c.closers, func() error { conn.Close(); return nil })
	js, err := jetstream.New(conn)
	if err != nil {
		return c, err
	}
	if c.log, err = stream.OpenCopy(ctx, js); err != nil {
		return c, fmt.Errorf("folder %s: its keys do not open its stream, or there is none: %w", dir, err)
	}
	return c, nil
}

// Message gives the message of a sequence; ledger.ErrNotFound if the copy has none,
// ledger.ErrUnreadable if it is damaged there too.
func (c *Copy) Message(ctx context.Context, seq uint64) (ledger.Message, error) {
	return c.log.Read(ctx, seq)
}

// Keys gives a message of the stream of keys, with the errors of Message.
func (c *Copy) Keys(ctx context.Context, seq uint64) (ledger.Message, error) {
	return c.log.ReadKeys(ctx, seq)
}

// Close ends the reading and removes the temporary copy.
func (c *Copy) Close() (err error) {
	for i := len(c.closers) - 1; i >= 0; i-- {
		err = errors.Join(err, c.closers[i]())
	}
	return err
}

// copyStream copies one stream's files of a JetStream folder.
func copyStream(from, to, stream string) error {
	found := false
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() || d.Name() != stream || filepath.Base(filepath.Dir(path)) != "streams" {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		found = true
		if err := os.CopyFS(filepath.Join(to, rel), os.DirFS(path)); err != nil {
			return err
		}
		return fs.SkipDir
	})
	if err == nil && !found {
		err = fmt.Errorf("%s holds no stream %s", from, stream)
	}
	return err
}
