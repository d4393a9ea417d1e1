package witness

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	cosign "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/proof"
	"github.com/consent-ledger/consent-ledger/ledger/seal"
)

// log is a ledger's tree in memory, with its keys.
type log struct {
	t      *testing.T
	keys   *seal.Signing
	hashes []tlog.Hash
	size   int64
}

func newLog(t *testing.T, seed byte) *log {
	t.Helper()
	keys, err := seal.NewSigning("ledger.example.com/test", bytes.Repeat([]byte{seed}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return &log{t: t, keys: keys}
}

func (l *log) ReadHashes(at []int64) (out []tlog.Hash, err error) {
	for _, i := range at {
		out = append(out, l.hashes[i])
	}
	return out, nil
}

// grow adds n entries of a history.
func (l *log) grow(n int, history string) proof.Checkpoint {
	l.t.Helper()
	for range n {
		hashes, err := tlog.StoredHashesForRecordHash(l.size, tlog.Hash(ledger.LeafHash(fmt.Appendf(nil, "%s %d", history, l.size))), l)
		if err != nil {
			l.t.Fatal(err)
		}
		l.hashes, l.size = append(l.hashes, hashes...), l.size+1
	}
	return l.at(l.size)
}

func (l *log) at(size int64) proof.Checkpoint {
	l.t.Helper()
	root, err := tlog.TreeHash(size, l)
	if err != nil {
		l.t.Fatal(err)
	}
	c, err := proof.SignCheckpoint(size, root, l.keys.Log)
	if err != nil {
		l.t.Fatal(err)
	}
	return c
}

func (l *log) prove(old, size int64) tlog.TreeProof {
	l.t.Helper()
	if old == 0 || old == size {
		return nil
	}
	p, err := tlog.ProveTree(size, old, l)
	if err != nil {
		l.t.Fatal(err)
	}
	return p
}

// prover is what a ledger gives to Policy.Cosign.
func (l *log) prover(size int64) func(int64) (tlog.TreeProof, error) {
	return func(old int64) (tlog.TreeProof, error) { return l.prove(old, size), nil }
}

// served is a witness and where it listens.
type served struct {
	t      *testing.T
	dir    string
	public string
	keys   proof.Keys
	server *httptest.Server
}

func serveWitness(t *testing.T, name string, l *log) *served {
	t.Helper()
	s := &served{t: t, dir: t.TempDir()}
	var err error
	if s.public, err = Create(s.dir, name); err != nil {
		t.Fatal(err)
	}
	if s.keys, err = proof.ParseKeys([]byte(l.keys.Log.Public)); err != nil {
		t.Fatal(err)
	}
	s.server = httptest.NewServer(s)
	t.Cleanup(s.server.Close)
	return s
}

// ServeHTTP opens the witness anew, as after a restart: nothing is only in memory.
func (s *served) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	w, err := Open(s.dir, s.keys, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		s.t.Error(err)
		return
	}
	w.ServeHTTP(out, r)
	if err := w.Close(); err != nil {
		s.t.Error(err)
	}
}

// Two witnesses in one folder could cosign two histories at once.
func TestOneProcessAFolder(t *testing.T) {
	s := serveWitness(t, "witness.example.com/w1", newLog(t, 1))
	w, err := Open(s.dir, s.keys, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(s.dir, s.keys, slog.New(slog.DiscardHandler), nil); err == nil || !strings.Contains(err.Error(), "served by another process") {
		t.Errorf("a second one: %v", err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// post gives the code, content type and body of an answer.
func (s *served) post(body []byte) (int, string, string) {
	s.t.Helper()
	res, err := http.Post(s.server.URL+"/add-checkpoint", "text/plain", bytes.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return res.StatusCode, res.Header.Get("Content-Type"), string(answer)
}

// cosigned checks a line as any client of the protocol would.
func (s *served) cosigned(c proof.Checkpoint, line string) {
	s.t.Helper()
	v, err := cosign.NewVerifierForCosignatureV1(s.public)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := note.Open(append(bytes.Clone(c.Note), line...), note.VerifierList(v)); err != nil {
		s.t.Fatalf("%q is no cosignature: %v", line, err)
	}
}

// The protocol, answer by answer, as C2SP tlog-witness has it.
func TestAnswers(t *testing.T) {
	l := newLog(t, 1)
	w := serveWitness(t, "witness.example.com/w1", l)
	at5, at9 := l.grow(5, "true"), l.grow(4, "true")
	fork := newLog(t, 1)
	fork.grow(5, "true")
	fork9 := fork.grow(4, "other")
	stranger := newLog(t, 2)
	strange := stranger.grow(9, "true")
	unknown, err := seal.NewSigning("ledger.example.com/other", bytes.Repeat([]byte{3}, 32))
	if err != nil {
		t.Fatal(err)
	}
	other, err := proof.SignCheckpoint(9, at9.Root, unknown.Log)
	if err != nil {
		t.Fatal(err)
	}
	changed := bytes.Replace(at9.Note, []byte("\n9\n"), []byte("\n8\n"), 1)
	for _, step := range []struct {
		name string
		body []byte
		code int
		says string
	}{
		{"rubbish", []byte("hello"), 400, ""},
		{"unknown ledger", encodeRequest(0, nil, other.Note), 404, ""},
		{"another key", encodeRequest(0, nil, strange.Note), 403, ""},
		{"a changed checkpoint", encodeRequest(0, nil, changed), 403, ""},
		{"old above new", encodeRequest(10, nil, at9.Note), 400, ""},
		{"old never seen", encodeRequest(3, l.prove(3, 5), at5.Note), 409, "0\n"},
		{"proof where none is", encodeRequest(0, l.prove(3, 5), at5.Note), 422, ""},
		{"the first", encodeRequest(0, nil, at5.Note), 200, "— witness.example.com/w1 "},
		{"the same again", encodeRequest(5, nil, at5.Note), 200, "— witness.example.com/w1 "},
		{"from the beginning again", encodeRequest(0, nil, at9.Note), 409, "5\n"},
		{"no proof", encodeRequest(5, nil, at9.Note), 422, ""},
		{"a fork", encodeRequest(5, fork.prove(5, 9), at9.Note), 422, ""},
		{"the next", encodeRequest(5, l.prove(5, 9), at9.Note), 200, "— witness.example.com/w1 "},
		{"the other nine", encodeRequest(9, nil, fork9.Note), 409, ""},
		{"back again", encodeRequest(5, nil, at5.Note), 409, "9\n"},
		{"too many lines", encodeRequest(9, make(tlog.TreeProof, 64), at9.Note), 400, ""},
	} {
		code, kind, answer := w.post(step.body)
		if code != step.code || !strings.HasPrefix(answer, step.says) {
			t.Fatalf("%s: %d %q, want %d %q", step.name, code, answer, step.code, step.says)
		}
		if strings.HasSuffix(step.says, "\n") && (kind != "text/x.tlog.size" || answer != step.says) {
			t.Fatalf("%s: %s %q", step.name, kind, answer)
		}
		if code == 200 {
			c := at5
			if strings.Contains(string(step.body), string(at9.Note)) {
				c = at9
			}
			w.cosigned(c, answer)
		}
	}
	w.kept(t, fork9)
}

// kept looks for the two checkpoints that show what the ledger did.
func (s *served) kept(t *testing.T, fork proof.Checkpoint) {
	t.Helper()
	files, err := os.ReadDir(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !strings.HasPrefix(f.Name(), "conflict-") {
			continue
		}
		raw, err := os.ReadFile(s.dir + "/" + f.Name())
		if err != nil || !bytes.Contains(raw, fork.Note) {
			t.Errorf("%s does not hold the other checkpoint: %v", f.Name(), err)
		}
		return
	}
	t.Error("nothing is kept of a ledger that contradicted itself")
}

// Of many that follow from the same one, exactly one is cosigned at a time, and none
// that contradicts another.
func TestRequestsAtOnce(t *testing.T) {
	l := newLog(t, 1)
	served := serveWitness(t, "witness.example.com/w1", l)
	w, err := Open(served.dir, served.keys, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	base := l.grow(3, "true")
	if _, err := w.add(encodeRequest(0, nil, base.Note)); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var roots []tlog.Hash
	var wg sync.WaitGroup
	for i := range 20 {
		fork := newLog(t, 1)
		fork.grow(3, "true")
		c := fork.grow(1, fmt.Sprint("fork ", i))
		body := encodeRequest(3, fork.prove(3, 4), c.Note)
		wg.Go(func() {
			if _, err := w.add(body); err == nil {
				mu.Lock()
				roots = append(roots, c.Root)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(roots) != 1 {
		t.Fatalf("%d forks were cosigned", len(roots))
	}
}

func TestPolicy(t *testing.T) {
	l := newLog(t, 1)
	one, two, three := serveWitness(t, "witness.example.com/w1", l), serveWitness(t, "witness.example.com/w2", l), serveWitness(t, "witness.example.com/w3", l)
	file := fmt.Sprintf("witness one %s %s\nwitness two %s %s\nwitness three %s %s\ngroup most 2 one two three\nquorum most\n",
		one.public, one.server.URL, two.public, two.server.URL, three.public, three.server.URL)
	p, err := ParsePolicy([]byte(file))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{5, 1, 60} {
		c := l.grow(n, "true")
		got, err := p.Cosign(t.Context(), c, l.prover(c.Size))
		if err != nil || !p.Satisfied(got) || !bytes.HasPrefix(got, c.Note) || bytes.Count(got, []byte("\n—")) != 4 {
			t.Fatalf("%v\n%s", err, got)
		}
		if p.Satisfied(c.Note) {
			t.Fatal("satisfied without a cosignature")
		}
	}
	one.server.Close()
	c := l.grow(3, "true")
	if got, err := p.Cosign(t.Context(), c, l.prover(c.Size)); err != nil || !p.Satisfied(got) {
		t.Fatalf("two of three: %v", err)
	}
	// A ledger that starts anew knows nothing of what they saw, and asks.
	if p, err = ParsePolicy([]byte(file)); err != nil {
		t.Fatal(err)
	}
	if most, who, err := p.Seen(t.Context(), l.at(10)); most != c.Size || !strings.HasPrefix(who, "witness 127.0.0.1:") || err == nil {
		t.Fatalf("seen %d, %v: want %d, and the one that is away named", most, err, c.Size)
	}
	c = l.grow(3, "true")
	if got, err := p.Cosign(t.Context(), c, l.prover(c.Size)); err != nil || !p.Satisfied(got) {
		t.Fatalf("after a restart: %v", err)
	}
	// Another history: nobody helps.
	fork := newLog(t, 1)
	f := fork.grow(int(c.Size)+5, "other")
	if got, err := p.Cosign(t.Context(), f, fork.prover(f.Size)); !errors.Is(err, ErrQuorum) || p.Satisfied(got) {
		t.Fatalf("a fork is cosigned: %v", err)
	}
	two.server.Close()
	if _, err := p.Cosign(t.Context(), c, l.prover(c.Size)); !errors.Is(err, ErrQuorum) {
		t.Fatalf("one of three: %v", err)
	}
}

func TestPoliciesThatAskNobody(t *testing.T) {
	for _, bad := range []string{"", "quorum none\n", "witness one\nquorum one\n", "quorum missing\n"} {
		if _, err := ParsePolicy([]byte(bad)); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestSecondKeyIsRefused(t *testing.T) {
	dir := t.TempDir()
	if _, err := Create(dir, "witness.example.com/w1"); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(dir, "witness.example.com/w1"); err == nil {
		t.Error("the key was replaced")
	}
	if _, err := Create(t.TempDir(), "a name"); err == nil {
		t.Error("a name with a blank is taken")
	}
}

func FuzzRequest(f *testing.F) {
	f.Add([]byte("old 0\n\nnote"))
	f.Add([]byte("old 5\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\nnote"))
	f.Fuzz(func(t *testing.T, body []byte) {
		if old, p, note, err := decodeRequest(body); err == nil && !bytes.Equal(encodeRequest(old, p, note), body) {
			t.Fatal("another encoding is accepted")
		}
	})
}
