package faults

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/consent-ledger/consent-ledger/ledger/directory"
	"github.com/consent-ledger/consent-ledger/node"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// directoryRounds is how often TestKillDirectory kills the server.
const directoryRounds = 8

// export commits a directory again and again: a kill falls between the records and
// their root, the root and its entry, or the entry and its answer.
func (l *load) export(ctx context.Context) {
	for {
		st, err := l.s.client.Exports.Export(ctx, connect.NewRequest(&consentv1.ExportRequest{Number: number(l.n)}))
		if err != nil {
			return
		}
		for st.Receive() {
			continue
		}
		if st.Err() != nil {
			return
		}
		_ = st.Close()
	}
}

// TestKillDirectory: after kills under load, erasures and exports, the directory that
// went on from each crash has the root of one that is built anew, and the ledger has
// no root that it contradicts.
func TestKillDirectory(t *testing.T) {
	r, b := random(t), newBook(t)
	dir := filepath.Join(t.TempDir(), "ledger")
	initLedger(t, dir)
	s := serve(t, dir)
	b.must(s, seller())
	for round := range directoryRounds {
		l := &load{s: s, b: b, round: round, n: r.IntN(5400)}
		l.begin(t.Context())
		l.wg.Go(func() { l.export(t.Context()) })
		l.killAfter(b.count()+50+r.IntN(150), time.Duration(r.IntN(5000))*time.Microsecond)
		s = serve(t, dir)
	}
	s.kill()
	went := statementOf(t, dir)
	removeAll(t, dir, "directory")
	built := statementOf(t, dir)
	if went.Root != built.Root || went.Numbers != built.Numbers || went.Entries != built.Entries {
		t.Errorf("after %d kills the directory is %+v; built anew it is %+v", directoryRounds+1, went, built)
	}
	if went.Numbers == 0 {
		t.Error("there is nobody in the directory: this test shows nothing")
	}
}

// statementOf opens the folder in this process and commits the directory.
func statementOf(t *testing.T, dir string) directory.Statement {
	t.Helper()
	n, err := node.Open(t.Context(), node.Config{Dir: dir, Listen: "127.0.0.1:0", NATSListen: node.NATSListenNone, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	c, err := n.Directory(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	return c.Statement
}
