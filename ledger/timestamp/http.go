package timestamp

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/consent-ledger/consent-ledger/ledger"
)

// HTTPPrefix is where a server shows its stamps, beside its tree:
//
//	checkpoint      the newest checkpoint that is stamped
//	<N>/checkpoint  the one of N entries, as it was stamped
//	<N>/token       the token over it
const HTTPPrefix = "/tlog/timestamped/"

// ServeHTTP serves stamps. Like checkpoints they hold no personal data.
func (s *Shelf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET is served here", http.StatusMethodNotAllowed)
		return
	}
	path, _ := strings.CutPrefix(r.URL.Path, HTTPPrefix)
	st, file, err := s.at(path)
	if err != nil {
		status := http.StatusInternalServerError
		if errors.Is(err, ledger.ErrNotFound) {
			status = http.StatusNotFound
		}
		http.Error(w, "there is no such timestamp, or it cannot be read", status)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	if file == "token" {
		w.Header().Set("Content-Type", "application/timestamp-token")
		_, _ = w.Write(st.Token) // the client is gone
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write(st.Message) // the client is gone
}

func (s *Shelf) at(path string) (st Stamp, file string, err error) {
	if path == "checkpoint" {
		_, st, err = s.Newest()
		return st, path, err
	}
	of, file, _ := strings.Cut(path, "/")
	size, err := strconv.ParseInt(of, 10, 64)
	if err != nil || strconv.FormatInt(size, 10) != of || file != "checkpoint" && file != "token" {
		return st, file, ledger.ErrNotFound
	}
	st, err = s.Of(size)
	return st, file, err
}
