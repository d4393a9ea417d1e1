package witness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/consent-ledger/consent-ledger/ledger/proof"
)

// askWait bounds one question to one witness.
const askWait = 5 * time.Second

// ErrQuorum: too few witnesses cosigned. The checkpoint is the ledger's word alone.
var ErrQuorum = errors.New("witness: too few witnesses cosigned")

// Policy is whose cosignatures are asked for and how many of them count: a C2SP
// tlog-policy file. Asking belongs to one goroutine.
type Policy struct {
	*proof.Policy
	witnesses []*asked
}

// asked is one witness as the ledger knows it.
type asked struct {
	url string
	key note.Verifier
	old int64 // what it saw last, as far as is known
}

// ParsePolicy reads a policy file.
func ParsePolicy(file []byte) (*Policy, error) {
	read, err := proof.ParsePolicy(file)
	if err != nil {
		return nil, err
	}
	p := &Policy{Policy: read}
	at := read.Endpoints()
	for _, u := range slices.Sorted(maps.Keys(at)) {
		p.witnesses = append(p.witnesses, &asked{url: u, key: at[u]})
	}
	return p, nil
}

// Cosign asks all witnesses at once for a checkpoint. prove gives the proof from an
// older size. It gives the note with every cosignature that came, and ErrQuorum
// with what went wrong if they are too few.
func (p *Policy) Cosign(ctx context.Context, c proof.Checkpoint, prove func(old int64) (tlog.TreeProof, error)) ([]byte, error) {
	lines, errs := make([][]byte, len(p.witnesses)), make([]error, len(p.witnesses))
	var wg sync.WaitGroup
	for i, w := range p.witnesses {
		wg.Go(func() { lines[i], errs[i] = w.ask(ctx, c, prove) })
	}
	wg.Wait()
	out := bytes.Clone(c.Note)
	for _, line := range lines {
		out = append(out, line...)
	}
	if !p.Satisfied(out) {
		return out, fmt.Errorf("%w: %w", ErrQuorum, errors.Join(errs...))
	}
	return out, nil
}

// Quorum counts the cosignatures on a checkpoint. It reads nothing that changes, so that
// anybody may ask.
func (p *Policy) Quorum(msg []byte) proof.Quorum {
	return proof.Quorum{Asked: len(p.witnesses), Cosigned: len(p.Cosigners(msg)), Demanded: p.Fewest(), Satisfied: p.Satisfied(msg)}
}

// ask asks one witness; if it saw another checkpoint last, once more from that.
func (w *asked) ask(ctx context.Context, c proof.Checkpoint, prove func(int64) (tlog.TreeProof, error)) ([]byte, error) {
	for range 2 {
		line, seen, err := w.try(ctx, c, prove)
		if seen < 0 || err != nil {
			return line, err
		}
		if seen > c.Size {
			return nil, fmt.Errorf("%s has seen %d entries of this ledger, which says it has %d", host(w.url), seen, c.Size)
		}
		w.old = seen
	}
	return nil, fmt.Errorf("%s does not say what it saw last", host(w.url))
}

// try sends one request. seen is what the witness says it saw last, if that is not
// what was assumed, else -1.
func (w *asked) try(ctx context.Context, c proof.Checkpoint, prove func(int64) (tlog.TreeProof, error)) (line []byte, seen int64, err error) {
	p, err := prove(min(w.old, c.Size))
	if err != nil {
		return nil, -1, err
	}
	code, body, err := w.post(ctx, encodeRequest(min(w.old, c.Size), p, c.Note))
	if err != nil {
		return nil, -1, err
	}
	switch {
	case code == http.StatusOK:
		if line, err = w.signature(c, body); err == nil {
			w.old = c.Size
		}
		return line, -1, err
	case code == http.StatusConflict:
		n, err := strconv.ParseInt(strings.TrimSuffix(string(body), "\n"), 10, 62)
		if err != nil {
			return nil, -1, fmt.Errorf("%s says that it saw another ledger of this size", host(w.url))
		}
		return nil, n, nil
	}
	return nil, -1, fmt.Errorf("%s answered %d", host(w.url), code)
}

func (w *asked) post(ctx context.Context, body []byte) (code int, answer []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		var at *url.Error
		if errors.As(err, &at) { // its text holds the whole URL
			err = at.Err
		}
		return 0, nil, fmt.Errorf("%s: %w", host(w.url), err)
	}
	defer res.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(res.Body, proof.NoteBytesMax))
	return res.StatusCode, answer, err
}

// signature gives the one line of an answer that this witness's key made.
func (w *asked) signature(c proof.Checkpoint, answer []byte) ([]byte, error) {
	n, err := proof.OpenNote(append(bytes.Clone(c.Note), answer...), w.key)
	if err != nil {
		return nil, fmt.Errorf("%s: its answer is no cosignature of its own: %w", host(w.url), err)
	}
	s := n.Sigs[0]
	return []byte("— " + s.Name + " " + s.Base64 + "\n"), nil
}

// Seen asks every witness how many entries of this ledger it has seen, with a
// checkpoint that was signed, and gives the largest answer and whose it is. Nothing
// proves the answer. Who does not answer is left out and named in the error.
func (p *Policy) Seen(ctx context.Context, c proof.Checkpoint) (most int64, who string, err error) {
	for _, w := range p.witnesses {
		code, body, askErr := w.post(ctx, encodeRequest(0, nil, c.Note))
		if askErr != nil {
			err = errors.Join(err, askErr)
			continue
		}
		if code == http.StatusOK {
			w.old = c.Size
		}
		if n, bad := strconv.ParseInt(strings.TrimSuffix(string(body), "\n"), 10, 62); code == http.StatusConflict && bad == nil {
			w.old = n
			if n > most {
				most, who = n, host(w.url)
			}
		}
	}
	return most, who, err
}

// host is what may be said of a URL.
func host(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "a witness"
	}
	return "witness " + u.Host
}
