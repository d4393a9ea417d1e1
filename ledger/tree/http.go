package tree

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/consent-ledger/consent-ledger/ledger"
)

// HTTPPrefix is where a server shows its tree: C2SP tlog-tiles without the entries,
// which only the API gives out.
const HTTPPrefix = "/tlog/"

// ServeHTTP serves the newest checkpoint and the tiles under it, which are hashes
// and nothing else: an entry holds random bytes, so none can be guessed from its
// leaf. What they do show is how many entries there are, and how fast they grow.
func (t *Tree) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET is served here", http.StatusMethodNotAllowed)
		return
	}
	path, _ := strings.CutPrefix(r.URL.Path, HTTPPrefix)
	if path == "checkpoint" {
		t.serveCheckpoint(w)
		return
	}
	level, n, width, err := parseTilePath(path)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	data, err := t.Tile(level, n, width)
	switch {
	case errors.Is(err, ledger.ErrNotFound):
		http.Error(w, "there is no such tile under the newest checkpoint", http.StatusNotFound)
		return
	case err != nil:
		t.cfg.Logger.Warn("tree: a tile cannot be read", "level", level, "index", n, "error", err)
		http.Error(w, "the tile cannot be read", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	_, _ = w.Write(data) // the client is gone
}

func (t *Tree) serveCheckpoint(w http.ResponseWriter) {
	c, ok := t.Shown()
	if !ok {
		http.Error(w, "nothing is signed yet, or not enough witnesses cosigned it", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(c.Note) // the client is gone
}

// parseTilePath reads tile/<level>/<index>[.p/<width>], the index in groups of three
// digits, all but the last led by an x (C2SP tlog-tiles).
func parseTilePath(path string) (level int, n uint64, width int, err error) {
	bad := fmt.Errorf("no path of a tile: tile/<level>/<index>[.p/<width>]")
	parts := strings.Split(path, "/")
	if len(parts) < 3 || len(parts) > 9 || parts[0] != "tile" {
		return 0, 0, 0, bad
	}
	if level, err = strconv.Atoi(parts[1]); err != nil || level < 0 || level >= levelsMax {
		return 0, 0, 0, bad
	}
	groups := parts[2:]
	width = tileWidth
	if last, found := strings.CutSuffix(groups[max(0, len(groups)-2)], ".p"); found && len(groups) > 1 {
		if width, err = strconv.Atoi(groups[len(groups)-1]); err != nil || width < 1 || width >= tileWidth {
			return 0, 0, 0, bad
		}
		groups = append(groups[:len(groups)-2:len(groups)-2], last)
	}
	for i, g := range groups {
		digits, led := strings.CutPrefix(g, "x")
		if led != (i < len(groups)-1) || len(digits) != 3 {
			return 0, 0, 0, bad
		}
		d, err := strconv.ParseUint(digits, 10, 16)
		if err != nil {
			return 0, 0, 0, bad
		}
		n = n*1000 + d
	}
	if tilePath(level, n, width) != path {
		return 0, 0, 0, bad
	}
	return level, n, width, nil
}

// tilePath undoes parseTilePath.
func tilePath(level int, n uint64, width int) string {
	s := fmt.Sprintf("%03d", n%1000)
	for n >= 1000 {
		n /= 1000
		s = fmt.Sprintf("x%03d/%s", n%1000, s)
	}
	s = fmt.Sprintf("tile/%d/%s", level, s)
	if width < tileWidth {
		s += fmt.Sprintf(".p/%d", width)
	}
	return s
}
