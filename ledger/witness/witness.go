package witness

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	cosign "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"

	"github.com/consent-ledger/consent-ledger/ledger/durable"
	"github.com/consent-ledger/consent-ledger/ledger/proof"
)

const (
	// keyFile holds a witness's signing key, in clear.
	keyFile = "witness.key"
	// lockFile is held while a witness is open.
	lockFile = "lock"
)

// Witness cosigns. It implements http.Handler; safe for concurrent use. Its folder
// holds its key, the newest checkpoint of each ledger, and what contradicted one.
type Witness struct {
	dir    string
	lock   *os.File
	signer note.Signer
	logs   proof.Keys
	log    *slog.Logger
	// told hears of each checkpoint that was cosigned, one at a time.
	told func(origin string, c proof.Checkpoint)

	// mu is held from comparing with what was seen last until the new one is on disk:
	// two requests at once must not both follow from it.
	mu sync.Mutex
}

// Create makes the key of a new witness in a folder that is empty or not there, and
// gives its public key as a verifier line of cosignatures.
func Create(dir, name string) (public string, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("witness: %w", err)
	}
	secret, public, err := note.GenerateKey(rand.Reader, name)
	if err != nil {
		return "", fmt.Errorf("witness: name %q: %w; take a URL without https://, such as witness.example.com/w1", name, err)
	}
	err = durable.Create(filepath.Join(dir, keyFile), []byte(secret+"\n# "+public+"\n"), 0o600)
	if errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("witness: %s holds a key already; nothing was changed", dir)
	}
	if err != nil {
		return "", fmt.Errorf("witness: %w", err)
	}
	return cosign.VKeyToCosignatureV1(public)
}

// Open opens a witness of the ledgers whose keys are given, and keeps others out of
// its folder until Close: two at once could cosign two histories. told hears of each
// checkpoint it cosigns, one at a time; nil is skipped.
func Open(dir string, logs proof.Keys, log *slog.Logger, told func(origin string, c proof.Checkpoint)) (*Witness, error) {
	raw, err := os.ReadFile(filepath.Join(dir, keyFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("witness: %s holds no key; make one with: consent witness init", dir)
	}
	if err != nil {
		return nil, fmt.Errorf("witness: %w", err)
	}
	secret, _, _ := strings.Cut(string(raw), "\n")
	s, err := cosign.NewSignerForCosignatureV1(secret)
	if err != nil {
		return nil, fmt.Errorf("witness: %s: %w", filepath.Join(dir, keyFile), err)
	}
	if told == nil {
		told = func(string, proof.Checkpoint) {}
	}
	lock, err := durable.Lock(filepath.Join(dir, lockFile))
	if errors.Is(err, durable.ErrLocked) {
		return nil, fmt.Errorf("witness: %s is served by another process; two could cosign two histories", dir)
	}
	if err != nil {
		return nil, fmt.Errorf("witness: %w", err)
	}
	return &Witness{dir: dir, lock: lock, signer: s, logs: logs, log: log, told: told}, nil
}

// Close gives the folder back; no request may be under way.
func (w *Witness) Close() error { return w.lock.Close() }

// refusal is an answer other than 200.
type refusal struct {
	code int
	text string
	size bool // the text is a size
}

func (r *refusal) Error() string { return r.text }

// ServeHTTP takes add-checkpoint requests, and shows what was cosigned last.
func (w *Witness) ServeHTTP(out http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, addPath):
		body, err := io.ReadAll(http.MaxBytesReader(out, r.Body, requestBytesMax))
		if err != nil {
			http.Error(out, "the request is too large or broke off", http.StatusBadRequest)
			return
		}
		w.answer(out, body)
	case r.Method == http.MethodGet && strings.HasPrefix(r.URL.Path, "/seen/"):
		w.serveSeen(out, strings.TrimPrefix(r.URL.Path, "/seen/"))
	default:
		http.Error(out, "POST /add-checkpoint, or GET /seen/ORIGIN", http.StatusNotFound)
	}
}

func (w *Witness) answer(out http.ResponseWriter, body []byte) {
	line, err := w.add(body)
	var no *refusal
	switch {
	case errors.As(err, &no) && no.size:
		out.Header().Set("Content-Type", sizeType)
		out.WriteHeader(no.code)
		_, _ = io.WriteString(out, no.text+"\n") // the client is gone
	case errors.As(err, &no):
		http.Error(out, no.text, no.code)
	case err != nil:
		w.log.Error("witness: cannot keep what it saw; nothing is cosigned", "error", err)
		http.Error(out, "the witness cannot keep what it saw", http.StatusInternalServerError)
	default:
		_, _ = out.Write(line) // the client is gone
	}
}

// add is the protocol: it gives the cosignature line, once the checkpoint is on disk.
func (w *Witness) add(body []byte) ([]byte, error) {
	old, p, msg, err := decodeRequest(body)
	if err != nil {
		return nil, &refusal{code: http.StatusBadRequest, text: err.Error()}
	}
	origin, _, _ := strings.Cut(string(msg), "\n")
	key := w.logs[origin]
	if key == nil {
		return nil, &refusal{code: http.StatusNotFound, text: "this witness does not know the ledger"}
	}
	c, err := proof.OpenCheckpoint(msg, key)
	switch {
	case errors.Is(err, proof.ErrForm):
		return nil, &refusal{code: http.StatusBadRequest, text: err.Error()}
	case err != nil:
		return nil, &refusal{code: http.StatusForbidden, text: "no key of this ledger signed the checkpoint"}
	case old > c.Size:
		return nil, &refusal{code: http.StatusBadRequest, text: "the old size is above the checkpoint's"}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	last, err := w.seen(origin, key)
	if err != nil {
		return nil, err
	}
	if old != last.Size {
		return nil, &refusal{code: http.StatusConflict, text: strconv.FormatInt(last.Size, 10), size: true}
	}
	if err := c.Consistent(last, p); err != nil {
		if old > 0 {
			w.accuse(origin, last, c, body)
		}
		code := http.StatusUnprocessableEntity
		if old == c.Size {
			code = http.StatusConflict
		}
		return nil, &refusal{code: code, text: err.Error()}
	}
	line, err := w.cosign(origin, msg)
	if err == nil {
		w.told(origin, c)
	}
	return line, err
}

// cosign signs a checkpoint and keeps it before the signature leaves.
func (w *Witness) cosign(origin string, msg []byte) ([]byte, error) {
	text := msg[:bytes.LastIndex(msg, []byte("\n\n"))+1]
	alone, err := note.Sign(&note.Note{Text: string(text)}, w.signer)
	if err != nil {
		return nil, err
	}
	line := alone[len(text)+1:]
	return line, durable.Replace(w.path(origin), append(bytes.Clone(msg), line...), 0o600)
}

// path is the file of a ledger's newest checkpoint.
func (w *Witness) path(origin string) string {
	h := sha256.Sum256([]byte(origin))
	return filepath.Join(w.dir, "seen-"+hex.EncodeToString(h[:]))
}

// seen gives the newest checkpoint cosigned; that of the empty ledger if there is none.
func (w *Witness) seen(origin string, key note.Verifier) (proof.Checkpoint, error) {
	raw, err := os.ReadFile(w.path(origin))
	if errors.Is(err, fs.ErrNotExist) {
		return proof.Checkpoint{}, nil
	}
	if err != nil {
		return proof.Checkpoint{}, err
	}
	return proof.OpenCheckpoint(raw, key)
}

func (w *Witness) serveSeen(out http.ResponseWriter, origin string) {
	if w.logs[origin] == nil {
		http.Error(out, "this witness does not know the ledger", http.StatusNotFound)
		return
	}
	raw, err := os.ReadFile(w.path(origin))
	if err != nil {
		http.Error(out, "nothing of this ledger was cosigned yet", http.StatusNotFound)
		return
	}
	out.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = out.Write(raw) // the client is gone
}

// accuse keeps what a ledger signed and what does not follow from what it signed
// before. Two roots for one size are certain, and each is kept: whoever holds both
// can show them to anybody. A proof that fails may only be made badly, by anybody
// who has the checkpoint; the newest is kept, for the ledger to be asked about.
func (w *Witness) accuse(origin string, last, c proof.Checkpoint, request []byte) {
	name := "unproven-" + filepath.Base(w.path(origin))
	if last.Size == c.Size {
		name = fmt.Sprintf("conflict-%s-%d-%x", filepath.Base(w.path(origin)), c.Size, c.Root[:8])
	}
	evidence := append(append(bytes.Clone(last.Note), "\n---\n"...), request...)
	err := durable.Replace(filepath.Join(w.dir, name), evidence, 0o600)
	w.log.Error("witness: a checkpoint does not follow from the one this ledger signed before", "origin", origin, "kept", name, "error", err)
}
