package faults

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/consent-ledger/consent-ledger/consumers/client"
	"github.com/consent-ledger/consent-ledger/ledger/stream"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// TestSecondServe: the folder's lock is the lease.
func TestSecondServe(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ledger")
	initLedger(t, dir)
	s, b := serve(t, dir), newBook(t)
	b.must(s, seller())
	refused(t, launch(t, dir), "is served by another process; two writers are refused")
	b.must(s, grant("g", number(1), 0))
	s.stop()
}

// TestChangedStream: a stream that evicts is refused, by the name of the field.
func TestChangedStream(t *testing.T) {
	c := startNATS(t)
	dir := filepath.Join(t.TempDir(), "ledger")
	initLedger(t, dir, "--nats-url", c.url())
	b, s := newBook(t), serve(t, dir, "--nats-url", c.url())
	b.must(s, seller())
	s.stop()

	ledgerStream, err := c.js.Stream(t.Context(), stream.LedgerStream)
	if err != nil {
		t.Fatal(err)
	}
	pinned := ledgerStream.CachedInfo().Config
	changed := pinned
	changed.MaxMsgs = 1000
	if _, err := c.js.UpdateStream(t.Context(), changed); err != nil {
		t.Fatal(err)
	}
	refused(t, launch(t, dir, "--nats-url", c.url()), "CONSENT_LEDGER: MaxMsgs is 1000 and must be -1", "consent streams plan")
	if _, err := c.js.UpdateStream(t.Context(), pinned); err != nil {
		t.Fatal(err)
	}
	s = serve(t, dir, "--nats-url", c.url())
	b.verify(s, nil)
	s.stop()
}

// TestStartsThatAreRefused: each says what is wrong and what helps, and leaves
// the folder as it was.
func TestStartsThatAreRefused(t *testing.T) {
	root := t.TempDir()
	dir, other := filepath.Join(root, "ledger"), filepath.Join(root, "other")
	initLedger(t, dir)
	initLedger(t, other)
	b, s := newBook(t), serve(t, dir)
	b.must(s, seller())
	s.stop()
	serve(t, other).stop()

	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	move := func(from, to string) {
		t.Helper()
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	missing := filepath.Join(root, "nothing")
	refused(t, launch(t, missing), "holds no ledger", "consent init --dir "+missing)
	if _, err := os.Stat(missing); !os.IsNotExist(err) {
		t.Errorf("a refused start left a folder: %v", err)
	}
	refused(t, launch(t, dir, "--listen", taken.Addr().String()), taken.Addr().String()+" is taken", "--listen")
	refused(t, launch(t, dir, "--nats-listen", taken.Addr().String()), taken.Addr().String()+" is taken", "--nats-listen")
	refused(t, launch(t, dir, "--listen", "0.0.0.0:0"), "is not loopback", "--tls-cert")
	refused(t, launch(t, dir, "--nats-url", "nats://"+closedPort(t)), "does not answer")

	const lost = "open no ledger in"
	for part, words := range map[string]string{"index": "belongs to another ledger", "jetstream": lost, "keys": lost} {
		t.Run("another ledger's "+part, func(t *testing.T) {
			aside, mine := filepath.Join(root, "aside"), filepath.Join(dir, part)
			move(mine, aside)
			move(filepath.Join(other, part), mine)
			refused(t, launch(t, dir), words)
			if out, err := exec.Command(program, "streams", "apply", "--dir", dir).CombinedOutput(); part != "index" && (err == nil || !strings.Contains(string(out), lost)) {
				t.Errorf("streams apply: %v\n%s", err, out)
			}
			move(mine, filepath.Join(other, part))
			move(aside, mine)
		})
	}
	s = serve(t, dir)
	b.verify(s, nil)
	s.stop()
}

// closedPort gives an address nobody listens on.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestForeignMessage: somebody publishes into the ledger behind the writer's back.
// The process ends, nothing acknowledged is lost, and the server does not start
// again over a ledger that holds what is not an entry.
func TestForeignMessage(t *testing.T) {
	for name, forge := range map[string]func(last []byte) []byte{
		"no commit":               func([]byte) []byte { return []byte("not a commit") },
		"an empty commit":         func([]byte) []byte { return nil },
		"a copy of the last one":  func(last []byte) []byte { return last },
		"positions after a hole":  func(last []byte) []byte { return moved(t, last, 3) },
		"the next position, once": func(last []byte) []byte { return moved(t, last, 1) },
	} {
		t.Run(name, func(t *testing.T) { foreignMessage(t, forge) })
	}
}

func foreignMessage(t *testing.T, forge func(last []byte) []byte) {
	c := startNATS(t)
	dir := filepath.Join(t.TempDir(), "ledger")
	initLedger(t, dir, "--nats-url", c.url())
	b, s := newBook(t), serve(t, dir, "--nats-url", c.url())
	if r := b.must(s, seller()); r.GetDurability() != consentv1.Durability_DURABILITY_UNVERIFIED {
		t.Errorf("durability %s on a server whose settings are unknown", r.GetDurability())
	}
	for i := range 20 {
		b.must(s, grant(fmt.Sprint("g-", i), number(i), i))
	}
	acked := s.doctor(&consentv1.DoctorRequest{}).GetPosition()
	commits := c.commits()
	if _, err := c.js.Publish(t.Context(), stream.LedgerSubject, forge(commits[len(commits)-1])); err != nil {
		t.Fatal(err)
	}
	if err := b.record(t.Context(), s.client, grant("late", number(1), 0)); err == nil {
		t.Error("a fact was acknowledged after a second writer wrote")
	}
	refused(t, s)
	t.Log(lastLine(s))
	again := launch(t, dir, "--nats-url", c.url())
	refused(t, again, "DAMAGED")
	t.Log(lastLine(again))

	entries := uint64(0)
	for _, data := range c.commits()[:len(commits)] {
		entries += b.inCommit(t, data)
	}
	if entries != acked {
		t.Errorf("the stream holds %d entries before the foreign message, %d were acknowledged", entries, acked)
	}
}

// moved is a commit with later positions, as a writer with an old index would make it.
func moved(t *testing.T, data []byte, by uint64) []byte {
	t.Helper()
	var c consentv1.Commit
	if err := proto.Unmarshal(data, &c); err != nil {
		t.Fatal(err)
	}
	c.FirstPosition += by
	for i, raw := range c.GetEntries() {
		var e consentv1.Entry
		if err := proto.Unmarshal(raw, &e); err != nil {
			t.Fatal(err)
		}
		e.Position += by
		var err error
		if c.Entries[i], err = proto.Marshal(&e); err != nil {
			t.Fatal(err)
		}
	}
	out, err := proto.Marshal(&c)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestSecondWriter: two servers on copies of one folder share a NATS server, which
// the folder's lock cannot see. The older one ends at its next commit, by the name
// of the reason; the newer one holds everything both have acknowledged.
func TestSecondWriter(t *testing.T) {
	c := startNATS(t)
	root := t.TempDir()
	dir, copied := filepath.Join(root, "ledger"), filepath.Join(root, "copy")
	initLedger(t, dir, "--nats-url", c.url())
	b, s := newBook(t), serve(t, dir, "--nats-url", c.url())
	b.must(s, seller())
	s.stop()
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	older := serve(t, dir, "--nats-url", c.url())
	for i := range 20 {
		b.must(older, grant(fmt.Sprint("g-", i), number(i), i))
	}
	newer := serve(t, copied, "--nats-url", c.url())
	b.must(newer, stopped("s", number(1)))
	err := b.record(t.Context(), older.client, grant("late", number(2), 0))
	if !errors.Is(err, client.ErrUncertain) && !errors.Is(err, client.ErrNotReady) {
		t.Errorf("the older writer answers %v", err)
	}
	refused(t, older, "was written by another writer")
	b.verify(newer, nil)
	b.retry(newer)
	b.readAll(newer)
	newer.stop()
}

// TestOlderCopies: whatever part of a folder is put back from an older copy, no
// position is used twice. What follows from the stream heals; a stream that is
// older than what was signed is refused, and the whole folder is known by its
// anchor.
func TestOlderCopies(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	dir, old, anchor := filepath.Join(root, "ledger"), filepath.Join(root, "old"), filepath.Join(root, "anchor")
	initLedger(t, dir)
	b, s := newBook(t), serve(t, dir, "--anchor", anchor)
	b.must(s, seller())
	end := fmt.Sprint(s.doctor(&consentv1.DoctorRequest{}).GetPosition())
	s.stop()
	copyFolder(t, dir, old)
	s = serve(t, dir, "--anchor", anchor)
	for i := range 20 {
		b.must(s, grant(fmt.Sprintf("g-%d", i), number(i), i))
	}
	s.stop()
	whole := filepath.Join(root, "whole")
	copyFolder(t, dir, whole)
	for _, tc := range []struct {
		part    string
		refused string
	}{{"tree", ""}, {"index", ""}, {"projections", ""}, {"jetstream", "ROLLED_BACK"}, {".", "ROLLED_BACK"}} {
		t.Run(tc.part, func(t *testing.T) {
			copyFolder(t, whole, dir)
			copyFolder(t, filepath.Join(old, tc.part), filepath.Join(dir, tc.part))
			if tc.refused != "" {
				refused(t, launch(t, dir, "--anchor", anchor), tc.refused, "positions would be used twice")
				return
			}
			s := serve(t, dir)
			b.verify(s, nil)
			s.stop()
		})
	}
	// All is old but a part that says how far the ledger went: without an anchor too, and a
	// restart uses up no position until it agrees.
	for _, part := range []string{"directory", "projections"} {
		t.Run("all but "+part, func(t *testing.T) {
			copyFolder(t, old, dir)
			copyFolder(t, filepath.Join(whole, part), filepath.Join(dir, part))
			for range 2 {
				refused(t, launch(t, dir), "ROLLED_BACK", "the folder "+part+" was made of entries", "the ledger ends at "+end)
			}
		})
	}
	for _, part := range []string{"tree", "index"} {
		t.Run(part+" removed", func(t *testing.T) {
			copyFolder(t, whole, dir)
			if err := os.RemoveAll(filepath.Join(dir, part)); err != nil {
				t.Fatal(err)
			}
			s := serve(t, dir) // the anchor must not hear of it: the next copy is older
			b.verify(s, nil)
			s.stop()
		})
	}
}

// copyFolder puts a copy of a closed folder in the place of another.
func copyFolder(t *testing.T, from, to string) {
	t.Helper()
	if err := errors.Join(os.RemoveAll(to), os.CopyFS(to, os.DirFS(from))); err != nil {
		t.Fatal(err)
	}
}

// TestLostTail: JetStream that finds the end of its last file damaged cuts it off,
// says nothing and uses the sequences again. The ledger gets its entries back, byte
// for byte, and says so.
func TestLostTail(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "ledger")
	initLedger(t, dir)
	b, s := newBook(t), serve(t, dir)
	b.must(s, seller())
	for i := range 30 {
		b.must(s, grant(fmt.Sprintf("g-%d", i), number(i), i))
	}
	s.stop()
	for _, cut := range []int64{1, 100, 3000} {
		cutLastBlock(t, dir, cut)
		s = serve(t, dir)
		doctor := s.doctor(&consentv1.DoctorRequest{})
		if doctor.GetIntegrity() != "TAIL_REPAIRED" {
			t.Fatalf("cut by %d bytes: integrity %s, problems %q\n%s", cut, doctor.GetIntegrity(), doctor.GetProblems(), s.stderr)
		}
		b.verify(s, nil)
		b.must(s, grant(fmt.Sprintf("after-%d", cut), number(int(cut)), 0))
		s.stop()
		s = serve(t, dir)
		if got := s.doctor(&consentv1.DoctorRequest{}).GetIntegrity(); got != "OK" {
			t.Errorf("at the start after: %s", got)
		}
		s.stop()
	}
}

// cutLastBlock takes bytes from the end of the ledger stream's newest file that has
// any, and the index by which JetStream would notice.
func cutLastBlock(t *testing.T, dir string, bytes int64) {
	t.Helper()
	blocks, err := filepath.Glob(filepath.Join(dir, "jetstream", "jetstream", "*", "streams", stream.LedgerStream, "msgs", "*.blk"))
	if err != nil || len(blocks) == 0 {
		t.Fatalf("no files of the ledger's stream: %v", err)
	}
	slices.SortFunc(blocks, func(a, b string) int { return cmp.Or(len(a)-len(b), strings.Compare(a, b)) })
	for i := len(blocks) - 1; i >= 0; i-- {
		info, err := os.Stat(blocks[i])
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() <= bytes {
			continue
		}
		if err := os.Truncate(blocks[i], info.Size()-bytes); err != nil {
			t.Fatal(err)
		}
		_ = os.Remove(filepath.Join(filepath.Dir(blocks[i]), "index.db")) // it need not be there
		return
	}
	t.Fatal("no file is so large")
}
