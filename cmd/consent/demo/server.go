package demo

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"sync"
	"time"

	"github.com/consent-ledger/consent-ledger/ledger/writer"
	"github.com/consent-ledger/consent-ledger/node"
)

// demoFiles are what a company would bring along: a CRM's export, its map, a list.
//
//go:embed *.csv *.yaml *.txt
var demoFiles embed.FS

// demoLog is the server's log in the demo's folder.
const demoLog = "server.log"

// unpackDemoFiles puts the embedded files into the demo's folder.
func unpackDemoFiles(dir string) error {
	return fs.WalkDir(demoFiles, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := demoFiles.ReadFile(name)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, path.Base(name)), data, 0o600)
	})
}

// storyBegin is when the story begins: a Monday, three days after its list.
var storyBegin = time.Date(2026, time.March, 2, 15, 0, 0, 0, time.UTC)

// storyClock stands still until the story moves it, so that recorded times are
// the same every time. Released, it goes on with the machine's. Safe for
// concurrent use.
type storyClock struct {
	mu       sync.Mutex
	passed   time.Duration // since storyBegin
	released time.Time     // zero: standing still
}

// mono is the time passed since the story began.
func (c *storyClock) mono() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.released.IsZero() {
		return c.passed
	}
	return c.passed + time.Since(c.released)
}

// move lets time pass.
func (c *storyClock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.passed += d
}

// release lets the clock run.
func (c *storyClock) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.released = time.Now()
}

// clock is the one the server sees.
func (c *storyClock) clock() writer.Clock {
	return writer.Clock{Wall: func() time.Time { return storyBegin.Add(c.mono()) }, Mono: c.mono}
}

// demoServer is the demo's own server, in this process.
type demoServer struct {
	node *node.Node
	log  *os.File
	end  context.CancelFunc
	done chan struct{} // closed when err is set
	err  error
}

// startDemoServer serves the ledger in dir/ledger on free ports of loopback. It
// outlives ctx: it ends with stop, so that the story's last verb is still answered.
func startDemoServer(ctx context.Context, p Program, dir string, clock writer.Clock) (*demoServer, error) {
	log, err := os.Create(filepath.Join(dir, demoLog))
	if err != nil {
		return nil, err
	}
	n, err := node.Open(ctx, node.Config{Dir: filepath.Join(dir, demoLedger), Listen: "127.0.0.1:0", NATSListen: "127.0.0.1:0",
		Version: p.Version, Clock: clock, Logger: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	ctx, end := context.WithCancel(context.WithoutCancel(ctx))
	s := &demoServer{node: n, log: log, end: end, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		s.err = n.Run(ctx)
	}()
	p.AwaitReady(ctx, n.URL()) // its rule packs are published: the story begins at the same position every time
	return s, nil
}

// wait waits until ctx is done, which is no error, or the server fails.
func (s *demoServer) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-s.done:
		return fmt.Errorf("demo: the server ended: %w", s.err)
	}
}

// stop ends the server in order.
func (s *demoServer) stop() error {
	s.end()
	<-s.done
	return errors.Join(s.err, s.node.Close(), s.log.Close())
}
