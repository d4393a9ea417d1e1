package tree

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// outsider reads a tree over HTTP with nothing of ours: golang.org/x/mod's client of
// tiled logs, paths as C2SP tlog-tiles has them, and the ledger's public key.
type outsider struct {
	t    *testing.T
	base string
	key  string
}

func (o *outsider) get(path string) ([]byte, error) {
	res, err := http.Get(o.base + path)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", path, res.Status)
	}
	return body, err
}

// checkpoint opens the newest checkpoint by the text of the specification.
func (o *outsider) checkpoint() tlog.Tree {
	o.t.Helper()
	raw, err := o.get("checkpoint")
	if err != nil {
		o.t.Fatal(err)
	}
	v, err := note.NewVerifier(o.key)
	if err != nil {
		o.t.Fatal(err)
	}
	n, err := note.Open(raw, note.VerifierList(v))
	if err != nil {
		o.t.Fatal(err)
	}
	lines := strings.Split(n.Text, "\n")
	if len(lines) != 4 || lines[0] != v.Name() {
		o.t.Fatalf("no checkpoint:\n%s", n.Text)
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		o.t.Fatal(err)
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil {
		o.t.Fatal(err)
	}
	return tlog.Tree{N: size, Hash: tlog.Hash(root)}
}

// Height implements tlog.TileReader.
func (o *outsider) Height() int { return 8 }

// SaveTiles implements tlog.TileReader.
func (o *outsider) SaveTiles([]tlog.Tile, [][]byte) {}

// ReadTiles implements tlog.TileReader.
func (o *outsider) ReadTiles(tiles []tlog.Tile) (out [][]byte, err error) {
	for _, t := range tiles {
		// sumdb writes tile/8/0/x001/067.p/5, C2SP the same without the height.
		data, err := o.get(strings.Replace(t.Path(), "tile/8/", "tile/", 1))
		if err != nil {
			return nil, err
		}
		out = append(out, data)
	}
	return out, nil
}

// An ordinary client of tiled logs reads our tiles, which it checks against the
// checkpoint, and proves from them that one checkpoint follows from another.
func TestAnOutsiderReadsOurTiles(t *testing.T) {
	m := newMade(50)
	m.commit(700)
	s := newStand(t, m.messages)
	tr := s.whole()
	defer s.close(tr)
	server := httptest.NewServer(tr)
	defer server.Close()
	o := &outsider{t: t, base: server.URL + HTTPPrefix, key: s.keys.Log.Public}
	seen := []tlog.Tree{o.checkpoint()}
	for _, n := range []int{1, 67, 256, 300, 70_000} {
		m.commit(n)
		s.source.messages = m.messages
		s.rest(tr)
		now := o.checkpoint()
		r := tlog.TileHashReader(now, o)
		for _, old := range seen {
			p, err := tlog.ProveTree(now.N, old.N, r)
			if err != nil {
				t.Fatalf("%d to %d: %v", old.N, now.N, err)
			}
			if err := tlog.CheckTree(p, now.N, now.Hash, old.N, old.Hash); err != nil {
				t.Fatalf("%d to %d: %v", old.N, now.N, err)
			}
			if err := tlog.CheckTree(p, now.N, now.Hash, old.N, tlog.Hash{1}); err == nil {
				t.Fatal("another past is accepted")
			}
		}
		for range 20 {
			at := m.random.Int64N(now.N)
			p, err := tlog.ProveRecord(now.N, at, r)
			if err != nil {
				t.Fatal(err)
			}
			if err := tlog.CheckRecord(p, now.N, now.Hash, at, m.leaves[at]); err != nil {
				t.Fatal(err)
			}
		}
		seen = append(seen, now)
	}
	// Tiles of an older checkpoint can still be had, as it saw them.
	old := seen[1]
	if _, err := tlog.ProveTree(old.N, seen[0].N, tlog.TileHashReader(old, o)); err != nil {
		t.Fatalf("an older checkpoint's tiles: %v", err)
	}
}

func TestOnlyTilesThatExistAreServed(t *testing.T) {
	m := newMade(50)
	m.commit(300)
	s := newStand(t, m.messages)
	tr := s.open()
	defer s.close(tr)
	server := httptest.NewServer(tr)
	defer server.Close()
	o := &outsider{t: t, base: server.URL + HTTPPrefix}
	if _, err := o.get("checkpoint"); err == nil {
		t.Error("a checkpoint before anything was signed")
	}
	if err := tr.CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.rest(tr)
	for path, there := range map[string]bool{
		"checkpoint": true, "tile/0/000": true, "tile/0/001.p/44": true, "tile/0/001.p/1": true, "tile/1/000.p/1": true, "tile/0/000.p/255": true,
		"tile/0/001": false, "tile/0/001.p/45": false, "tile/1/000": false, "tile/1/000.p/2": false, "tile/2/000.p/1": false, "tile/0/002.p/1": false,
		"tile/0/x000/000": false, "tile/0/0": false, "tile/0/000.p/0": false, "tile/0/000.p/256": false, "tile/0/000.p/01": false, "tile/8/000": false,
		"tile/-1/000": false, "tile/00/000": false, "tile/0/000/": false, "tile/0": false, "tile/entries/000": false, "tile/0/000.p": false,
		"tile/0/x999/x999/x999/x999/x999/x999/999.p/1": false, "": false, "other": false, "tile/0/+00": false,
	} {
		data, err := o.get(path)
		if (err == nil) != there {
			t.Errorf("%s: %d bytes, %v", path, len(data), err)
		}
	}
	res, err := http.Post(server.URL+HTTPPrefix+"checkpoint", "text/plain", bytes.NewReader(nil))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %s", res.Status)
	}
}

func TestTilePaths(t *testing.T) {
	for path, want := range map[string]struct {
		n     uint64
		width int
	}{"tile/0/000": {0, 256}, "tile/0/x001/x234/067": {1_234_067, 256}, "tile/0/x001/000.p/17": {1000, 17}} {
		_, n, w, err := parseTilePath(path)
		if err != nil || n != want.n || w != want.width || tilePath(0, n, w) != path {
			t.Errorf("%s: %d, %d, %v", path, n, w, err)
		}
	}
}

func FuzzTilePath(f *testing.F) {
	for _, s := range []string{"tile/0/000", "tile/7/x001/x234/067.p/8", "tile/0/000.p/256", "tile//", "tile/0/.p/3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		if level, n, w, err := parseTilePath(path); err == nil && tilePath(level, n, w) != path {
			t.Fatalf("%q reads as %d, %d, %d", path, level, n, w)
		}
	})
}

// A webhook hears of each checkpoint, and what it refuses comes again.
func TestWebhookHearsOfCheckpoints(t *testing.T) {
	heard := make(chan []byte, 10)
	refuse := make(chan struct{}, 1)
	refuse <- struct{}{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-refuse:
			w.WriteHeader(http.StatusInternalServerError)
			return
		default:
		}
		body, _ := io.ReadAll(r.Body)
		heard <- body
	}))
	defer server.Close()
	m := newMade(20)
	m.commit(50)
	s := newStand(t, m.messages)
	a, err := NewAnchor(server.URL+"/checkpoints", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s.anchors = []Anchor{a}
	tr := s.whole()
	defer s.close(tr)
	c, _ := tr.Published()
	if err := tr.keep(t.Context(), tr.anchors[0], c); err == nil {
		t.Fatal("a refusal is taken for success")
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- tr.Run(ctx) }()
	if got, err := openOwn(s, <-heard); err != nil || got.Size != 50 {
		t.Errorf("the webhook heard %v, %v", got.Size, err)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}
