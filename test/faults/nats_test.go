package faults

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"
	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/consent-ledger/consent-ledger/consumers/client"
	"github.com/consent-ledger/consent-ledger/ledger/stream"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// cluster is a NATS server outside of any ledger's process, in the test's.
type cluster struct {
	t      *testing.T
	opts   *natsserver.Options
	server *natsserver.Server
	conn   *nats.Conn
	js     jetstream.JetStream
}

// startNATS starts one on a free port.
func startNATS(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t, opts: &natsserver.Options{Host: "127.0.0.1", Port: natsserver.RANDOM_PORT, JetStream: true,
		StoreDir: t.TempDir(), SyncAlways: true, NoLog: true, NoSigs: true}}
	c.start()
	t.Cleanup(c.stop)
	return c
}

// start starts it where it was before, with what it held.
func (c *cluster) start() {
	c.t.Helper()
	var err error
	if c.server, err = natsserver.NewServer(c.opts.Clone()); err != nil {
		c.t.Fatal(err)
	}
	go c.server.Start()
	if !c.server.ReadyForConnections(startLimit) {
		c.t.Fatal("the NATS server is not ready")
	}
	if c.conn, err = nats.Connect(c.url()); err != nil {
		c.t.Fatal(err)
	}
	if c.js, err = jetstream.New(c.conn); err != nil {
		c.t.Fatal(err)
	}
	c.opts.Port = c.port()
}

func (c *cluster) port() int {
	var port int
	if _, err := fmt.Sscanf(c.url(), "nats://127.0.0.1:%d", &port); err != nil {
		c.t.Fatal(err)
	}
	return port
}

// stop may be called twice.
func (c *cluster) stop() {
	if c.conn != nil {
		c.conn.Close()
	}
	c.server.Shutdown()
	c.server.WaitForShutdown()
}

func (c *cluster) url() string { return c.server.ClientURL() }

// commits gives what the ledger's stream holds.
func (c *cluster) commits() [][]byte {
	c.t.Helper()
	s, err := c.js.Stream(c.t.Context(), stream.LedgerStream)
	if err != nil {
		c.t.Fatal(err)
	}
	var out [][]byte
	for seq := uint64(1); seq <= s.CachedInfo().State.LastSeq; seq++ {
		m, err := s.GetMsg(c.t.Context(), seq)
		if err != nil {
			c.t.Fatal(err)
		}
		out = append(out, m.Data)
	}
	return out
}

// ask is a check of the first number, for what may be said at any hour; the verdict
// and the first reason.
func ask(ctx context.Context, s *server) (verdict consentv1.Verdict, code string, err error) {
	res, err := s.client.Decisions.Check(ctx, connect.NewRequest(&consentv1.CheckRequest{Question: &consentv1.Question{
		Number: number(0), Seller: "acme", Channel: consentv1.Channel_CHANNEL_SMS, Purpose: consentv1.Purpose_PURPOSE_INFORMATIONAL}}))
	if err != nil {
		return consentv1.Verdict_VERDICT_UNSPECIFIED, "", err
	}
	d := res.Msg.GetDecision()
	if len(d.GetReasons()) > 0 {
		code = d.GetReasons()[0].GetCode()
	}
	return d.GetVerdict(), code, nil
}

// allowed waits for an ALLOW.
func allowed(s *server) {
	s.t.Helper()
	until(s.t, startLimit, "ALLOW", func(ctx context.Context) bool {
		v, _, _ := ask(ctx, s)
		return v == consentv1.Verdict_VERDICT_ALLOW
	})
}

// onLostNATS makes a ledger with a grant on an outside NATS server.
func onLostNATS(t *testing.T) (*cluster, *server, *book) {
	t.Helper()
	c := startNATS(t)
	dir := filepath.Join(t.TempDir(), "ledger")
	initLedger(t, dir, "--nats-url", c.url())
	b, s := newBook(t), serve(t, dir, "--nats-url", c.url())
	b.must(s, seller())
	for i := range 20 {
		b.must(s, grant(fmt.Sprint("g-", i), number(i), i))
	}
	allowed(s)
	return c, s, b
}

// TestLostNATS: without its NATS server a node stops saying ALLOW, says so, never
// acknowledges, and ends when an append has stayed without an answer for 10 s.
func TestLostNATS(t *testing.T) {
	t.Parallel()
	c, s, b := onLostNATS(t)
	c.stop()
	until(t, 10*time.Second, "BLOCK", func(ctx context.Context) bool {
		v, code, err := ask(ctx, s)
		if err != nil {
			t.Fatal(err)
		}
		return v == consentv1.Verdict_VERDICT_BLOCK && code == "STATE_STALE"
	})
	if v, code, err := ask(t.Context(), s); v != consentv1.Verdict_VERDICT_BLOCK || code != "STATE_STALE" || err != nil {
		t.Errorf("after STATE_STALE: %s %s, %v", v, code, err)
	}
	var callers sync.WaitGroup
	for i := range 8 {
		callers.Go(func() {
			err := b.record(t.Context(), s.client, stopped(fmt.Sprint("late-", i), number(i)))
			if !errors.Is(err, client.ErrUncertain) && !errors.Is(err, client.ErrNotReady) {
				t.Errorf("without a NATS server a caller hears %v", err)
			}
		})
	}
	callers.Go(func() {
		_, err := s.client.Ledger.Erase(t.Context(), connect.NewRequest(&consentv1.EraseRequest{Number: number(1), Reason: "erasure_request"}))
		if !errors.Is(err, client.ErrUncertain) && !errors.Is(err, client.ErrNotReady) {
			t.Errorf("without a NATS server an erasure hears %v", err)
		}
	})
	refused(t, s, "answer for 10s")
	callers.Wait()
	t.Log(lastLine(s))

	refused(t, launch(t, s.dir, "--nats-url", c.url()), "does not answer")
	c.start()
	s = serve(t, s.dir, "--nats-url", c.url())
	b.verify(s, nil)
	b.retry(s)
	b.readAll(s)
	s.stop()
}

// TestNATSComesBack: a NATS server that restarts within the 10 s costs time only.
func TestNATSComesBack(t *testing.T) {
	c, s, b := onLostNATS(t)
	c.stop()
	until(t, 10*time.Second, "BLOCK", func(ctx context.Context) bool {
		v, _, _ := ask(ctx, s)
		return v == consentv1.Verdict_VERDICT_BLOCK
	})
	var callers sync.WaitGroup
	for i := range 8 {
		callers.Go(func() {
			if err := b.record(t.Context(), s.client, grant(fmt.Sprint("meanwhile-", i), number(i), i)); err != nil {
				t.Errorf("a fact taken while NATS was away: %v", err)
			}
		})
	}
	c.start()
	callers.Wait()
	allowed(s)
	b.verify(s, nil)
	b.retry(s)
	b.readAll(s)
	s.stop()
}
