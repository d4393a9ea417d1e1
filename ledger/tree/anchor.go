package tree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/durable"
	"github.com/consent-ledger/consent-ledger/ledger/proof"
)

const (
	// anchorWait bounds one try of an anchor; anchorPause is between two after one
	// failed.
	anchorWait  = 10 * time.Second
	anchorPause = 5 * time.Second
	// hookEvery is how often a webhook is called at most.
	hookEvery = 10 * time.Second
)

// Anchor keeps checkpoints outside the ledger's folder, where whoever can change
// the folder cannot: what it keeps shows that an older copy was put in its place.
type Anchor interface {
	fmt.Stringer
	// Last is the newest checkpoint it keeps; nil if it has none, or cannot say.
	Last(ctx context.Context) ([]byte, error)
	// Keep makes a checkpoint durable there.
	Keep(ctx context.Context, note []byte) error
	// Every is the least time between two.
	Every() time.Duration
}

// NewAnchor makes an anchor: an http(s) URL to post checkpoints to, or the path of
// a file. The file must lie outside dir, the ledger's folder, best on a disk or
// share that the ledger's machine can write and others can read.
func NewAnchor(where, dir string) (Anchor, error) {
	if u, err := url.Parse(where); err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" {
		return &hook{url: u}, nil
	}
	if strings.Contains(where, "://") || where == "" {
		return nil, fmt.Errorf("anchor: %q is neither an http or https URL nor the path of a file", where)
	}
	path, err := filepath.Abs(where)
	if err != nil {
		return nil, fmt.Errorf("anchor: %w", err)
	}
	folder, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("anchor: %s: its folder cannot be read; is the disk there? %w", where, err)
	}
	inside, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, fmt.Errorf("anchor: %w", err)
	}
	if inside, err = filepath.Abs(inside); err != nil {
		return nil, fmt.Errorf("anchor: %w", err)
	}
	if rel, err := filepath.Rel(inside, folder); err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
		return nil, fmt.Errorf("anchor: %s lies in the ledger's own folder, and would be put back together with it; name a file on another disk", where)
	}
	return &file{filepath.Join(folder, filepath.Base(path))}, nil
}

// file is an anchor in one file, which holds the newest checkpoint.
type file struct{ path string }

func (a *file) String() string       { return a.path }
func (a *file) Every() time.Duration { return 0 }

func (a *file) Last(context.Context) ([]byte, error) {
	f, err := os.Open(a.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(io.LimitReader(f, proof.NoteBytesMax+1))
	if len(raw) == 0 && err == nil {
		err = errors.New("the file is empty; if this anchor is new, delete it")
	}
	return raw, errors.Join(err, f.Close())
}

// Keep replaces the file.
func (a *file) Keep(_ context.Context, note []byte) error {
	return durable.Replace(a.path, note, 0o644)
}

// hook is an anchor that is told and cannot be asked.
type hook struct{ url *url.URL }

// String leaves out what may be a secret.
func (a *hook) String() string       { return a.url.Scheme + "://" + a.url.Host }
func (a *hook) Every() time.Duration { return hookEvery }

func (a *hook) Last(context.Context) ([]byte, error) { return nil, nil }

func (a *hook) Keep(ctx context.Context, note []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.url.String(), bytes.NewReader(note))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "text/plain; charset=utf-8")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		var at *url.Error
		if errors.As(err, &at) { // its text holds the whole URL
			err = at.Err
		}
		return err
	}
	defer res.Body.Close()
	if res.StatusCode/100 != 2 {
		return fmt.Errorf("answered %s", res.Status)
	}
	return nil
}

// anchored is how one anchor fares.
type anchored struct {
	Anchor
	kept   atomic.Int64 // size of the newest checkpoint it keeps
	failed atomic.Pointer[string]
}

// Problems lists what somebody should look at, for doctor.
func (t *Tree) Problems() []string {
	var out []string
	if t.repaired > 0 {
		out = append(out, fmt.Sprintf("TAIL_REPAIRED: the ledger's stream had lost its last %d messages and got them back at the start, byte for byte; look at its disk", t.repaired))
	}
	for _, a := range t.anchors {
		if why := a.failed.Load(); why != nil {
			out = append(out, fmt.Sprintf("ANCHOR: %s does not take checkpoints, the last it keeps is of %d entries: %s", a, a.kept.Load(), *why))
		}
	}
	if why := t.unseen.Load(); why != nil {
		out = append(out, "WITNESS: the newest checkpoint is the ledger's word alone: "+*why)
	}
	return out
}

// anchor hands an anchor each newest checkpoint until ctx is done. What it does not
// take is tried again: the next checkpoint says more than the missed one did.
func (t *Tree) anchor(ctx context.Context, a *anchored) {
	for {
		c, changed := t.newest()
		pause := a.Every()
		if c.Size > a.kept.Load() {
			if err := t.keep(ctx, a, c); err != nil {
				pause = max(pause, anchorPause)
			}
		}
		if ledger.Pause(ctx, pause) != nil {
			break
		}
		if c.Size > a.kept.Load() {
			continue
		}
		select {
		case <-changed:
			continue
		case <-ctx.Done():
		}
		break
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), anchorPause)
	defer cancel()
	if c, _ := t.newest(); c.Size > a.kept.Load() {
		_ = t.keep(last, a, c) // logged; the next start does it again
	}
}

func (t *Tree) keep(ctx context.Context, a *anchored, c proof.Checkpoint) error {
	try, cancel := context.WithTimeout(ctx, anchorWait)
	defer cancel()
	err := a.Keep(try, c.Note)
	if err == nil {
		a.kept.Store(c.Size)
		a.failed.Store(nil)
		return nil
	}
	text := err.Error()
	if old := a.failed.Swap(&text); old == nil && ctx.Err() == nil {
		t.cfg.Logger.Warn("tree: an anchor takes no checkpoint; it is tried again", "anchor", a.String(), "error", text)
	}
	return err
}
