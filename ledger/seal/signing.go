package seal

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// SigningFile holds the ledger's origin and the seed of its signing keys, wrapped
// by the KEK and bound to the ledger. Whoever has it can sign another history.
const SigningFile = "signing"

// originBytesMax bounds an origin, which stands in every checkpoint and receipt.
const originBytesMax = 128

// noteEd25519 is the type byte of Ed25519 keys in notes (C2SP signed-note).
const noteEd25519 = 1

// signingFormat is the first byte of the opened file. Then follow the seed (32
// bytes) and the origin.
const signingFormat = 1

// ErrNoSigning: this ledger has no signing keys yet.
var ErrNoSigning = errors.New("seal: this ledger has no signing keys; make them with: consent streams apply")

// Signing holds the keys that sign for a ledger, all Ed25519, each for one purpose
// alone: what is signed for one can never be shown as the other.
type Signing struct {
	// Origin names the ledger to those who hold its keys: a URL without a scheme, as
	// C2SP tlog-checkpoint asks for. It never changes.
	Origin string
	// Log signs checkpoints and is named like the origin.
	Log *SigningKey
	// Receipts signs the roots of commits; its name is the origin and /receipts.
	Receipts *SigningKey
	// Exports signs export bundles; its name is the origin and /exports.
	Exports *SigningKey
}

// SigningKey signs notes. It implements note.Signer.
type SigningKey struct {
	note.Signer
	// Public is the key as a verifier line of a note: name, key id, key.
	Public string
	// Verifier checks what it signed.
	Verifier note.Verifier
}

// CheckOrigin tells whether a word can be an origin.
func CheckOrigin(origin string) error {
	ok := origin != "" && len(origin) <= originBytesMax && !strings.HasPrefix(origin, "/") && !strings.HasSuffix(origin, "/")
	for _, c := range origin {
		ok = ok && (c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || strings.ContainsRune("-._/", c))
	}
	if !ok {
		return errors.New("origin: it is empty, too long, or holds other characters than a-z 0-9 - . _ /; " +
			"give a URL without https://, such as ledger.example.com/2026")
	}
	return nil
}

// CreateSigning draws the signing keys of a ledger that has none. An empty origin
// becomes consent-ledger/ and the ledger's id. ErrKeysExist if there are some.
func (r *Keyring) CreateSigning(origin string) error {
	if origin == "" {
		origin = "consent-ledger/" + r.LedgerID().String()
	}
	if err := CheckOrigin(origin); err != nil {
		return err
	}
	path := filepath.Join(r.dir, SigningFile)
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(fmt.Errorf("%w: %s", ErrKeysExist, path), err)
	}
	plain := make([]byte, 1+ed25519.SeedSize, 1+ed25519.SeedSize+len(origin))
	random(plain)
	plain[0] = signingFormat
	return writeWrapped(r.dir, SigningFile, r.kek, append(plain, origin...), r.keys.Ledger[:])
}

// Signing opens the signing keys; ErrNoSigning if there are none.
func (r *Keyring) Signing() (*Signing, error) {
	if _, err := os.Lstat(filepath.Join(r.dir, SigningFile)); errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoSigning
	}
	plain, err := readWrapped(r.dir, SigningFile, r.kek, r.keys.Ledger[:])
	if err != nil {
		return nil, err
	}
	if len(plain) <= 1+ed25519.SeedSize || plain[0] != signingFormat {
		return nil, fmt.Errorf("seal: %s is of another format; it was written by a newer program", filepath.Join(r.dir, SigningFile))
	}
	return NewSigning(string(plain[1+ed25519.SeedSize:]), plain[1:1+ed25519.SeedSize])
}

// NewSigning derives the keys of an origin from a seed of 32 bytes.
func NewSigning(origin string, seed []byte) (*Signing, error) {
	if err := CheckOrigin(origin); err != nil {
		return nil, err
	}
	s := &Signing{Origin: origin}
	var err error
	if s.Log, err = signingKey(origin, derive(seed, "consent.v1/sign/log", ed25519.SeedSize)); err != nil {
		return nil, err
	}
	if s.Receipts, err = signingKey(origin+"/receipts", derive(seed, "consent.v1/sign/receipts", ed25519.SeedSize)); err != nil {
		return nil, err
	}
	s.Exports, err = signingKey(origin+"/exports", derive(seed, "consent.v1/sign/exports", ed25519.SeedSize))
	return s, err
}

// signingKey makes a note's signer from an Ed25519 seed, in the form in which
// package note takes it.
func signingKey(name string, seed []byte) (*SigningKey, error) {
	public, err := note.NewEd25519VerifierKey(name, ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey))
	if err != nil {
		return nil, fmt.Errorf("seal: signing key %s: %w", name, err)
	}
	id := strings.Split(public, "+")[1]
	s, err := note.NewSigner("PRIVATE+KEY+" + name + "+" + id + "+" + base64.StdEncoding.EncodeToString(append([]byte{noteEd25519}, seed...)))
	if err != nil {
		return nil, fmt.Errorf("seal: signing key %s: %w", name, err)
	}
	v, err := note.NewVerifier(public)
	if err != nil {
		return nil, fmt.Errorf("seal: signing key %s: %w", name, err)
	}
	return &SigningKey{Signer: s, Public: public, Verifier: v}, nil
}
