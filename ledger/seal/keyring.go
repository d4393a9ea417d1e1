package seal

import (
	"bytes"
	"crypto/cipher"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
	"golang.org/x/crypto/chacha20poly1305"

	"github.com/consent-ledger/consent-ledger/ledger/durable"
)

// Names of the files in the keys folder; a contract.
const (
	// KEKFile holds the key-encryption key, a Tink keyset as JSON, in clear: the
	// one file to copy to another place, and the one to guard. Without it the
	// ledger is only proof and no longer knowledge.
	KEKFile = "kek.json"
	// KeyringFile holds the keys that never change, wrapped by the KEK.
	KeyringFile = "keyring"
	// EpochsFile holds the live epoch keys of all buckets, wrapped by the KEK as a
	// whole. A backup of it older than an erasure undoes the erasure.
	EpochsFile = "epochs"
)

var (
	// ErrNoKeys: the folder has no keys. A ledger is made by `consent init`; if
	// there was one, its keys folder must come back from the backup.
	ErrNoKeys = errors.New("seal: no keys in this folder; make a ledger with: consent init")

	// ErrKeysExist: there are keys already. They were not touched.
	ErrKeysExist = errors.New("seal: keys exist already and were not touched")

	// ErrWrongKEK: the file was wrapped by another key-encryption key, or changed.
	ErrWrongKEK = errors.New("seal: does not open with this folder's kek.json, or was changed; restore all three files of the keys folder from one backup")
)

// LedgerID is the random id of a ledger: an index or a backup of another one is
// refused by it.
type LedgerID [16]byte

// String gives it in hex.
func (id LedgerID) String() string { return hex.EncodeToString(id[:]) }

// keyringFormat is the first byte of the opened keyring.
const keyringFormat = 1

// ringKeys are the keys that never change, in the order in which they are stored.
type ringKeys struct {
	Ledger     LedgerID
	Exchange   [32]byte // Kx
	Token      [32]byte // Kt
	FeedMaster [32]byte
	Hash       [32]byte // Ki
	Retention  [32]byte
	JetStream  [32]byte
	Spare      [64]byte // drawn and stored, used by nothing yet
}

const ringBytes = 1 + 16 + 6*32 + 64

// fields lists the keys in their stored order.
func (k *ringKeys) fields() [][]byte {
	return [][]byte{k.Ledger[:], k.Exchange[:], k.Token[:], k.FeedMaster[:], k.Hash[:], k.Retention[:], k.JetStream[:], k.Spare[:]}
}

// Keyring holds all keys of one ledger. All methods are safe for concurrent use.
type Keyring struct {
	*Tokens
	dir       string
	kek       tink.AEAD
	keys      ringKeys
	hashes    *hashes
	retention cipher.AEAD
	blobs     cipher.AEAD

	// epochs is replaced as a whole, after the file; readers never wait.
	epochs atomic.Pointer[epochTable]
	// mu orders changes of the epochs file.
	mu sync.Mutex
}

// Create makes the keys of a new ledger in dir, the keys folder, which it makes
// too; its parent must exist. ErrKeysExist if there is any of the files. A crash
// in the middle leaves files that Open refuses and that hold no ledger's keys
// yet: remove the folder and create again.
func Create(dir string) (*Keyring, error) {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("seal: %w", err)
	}
	for _, name := range []string{KEKFile, KeyringFile, EpochsFile} {
		if _, err := os.Lstat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			return nil, errors.Join(fmt.Errorf("%w: %s", ErrKeysExist, filepath.Join(dir, name)), err)
		}
	}
	kek, err := createKEK(filepath.Join(dir, KEKFile))
	if err != nil {
		return nil, err
	}
	plain := make([]byte, ringBytes)
	random(plain)
	plain[0] = keyringFormat
	if err := writeWrapped(dir, KeyringFile, kek, plain, nil); err != nil {
		return nil, err
	}
	t, err := newEpochTable()
	if err != nil {
		return nil, err
	}
	if err := writeWrapped(dir, EpochsFile, kek, t.encode(), plain[1:17]); err != nil {
		return nil, err
	}
	return Open(dir)
}

// Open opens the keys in dir. Its errors name the file and what to do.
func Open(dir string) (*Keyring, error) {
	kek, err := readKEK(filepath.Join(dir, KEKFile))
	if err != nil {
		return nil, err
	}
	r := &Keyring{dir: dir, kek: kek}
	plain, err := readWrapped(dir, KeyringFile, kek, nil)
	if err != nil {
		return nil, err
	}
	if len(plain) != ringBytes || plain[0] != keyringFormat {
		return nil, fmt.Errorf("seal: %s is of another format; it was written by a newer program", filepath.Join(dir, KeyringFile))
	}
	for at, rest := 0, plain[1:]; at < len(r.keys.fields()); at++ {
		rest = rest[copy(r.keys.fields()[at], rest):]
	}
	if err := r.derive(); err != nil {
		return nil, err
	}
	raw, err := readWrapped(dir, EpochsFile, kek, r.keys.Ledger[:])
	if err != nil {
		return nil, err
	}
	t, err := decodeEpochs(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, EpochsFile), err)
	}
	r.epochs.Store(t)
	return r, nil
}

// derive makes what the keys are used through.
func (r *Keyring) derive() (err error) {
	if r.Tokens, err = newTokens(r.keys.Exchange[:], r.keys.Token[:], r.keys.FeedMaster[:]); err != nil {
		return err
	}
	r.hashes = newHashes(r.keys.Hash[:])
	if r.retention, err = chacha20poly1305.NewX(r.keys.Retention[:]); err != nil {
		return fmt.Errorf("seal: %w", err)
	}
	if r.blobs, err = chacha20poly1305.NewX(derive(r.keys.Retention[:], "consent.v1/blob", chacha20poly1305.KeySize)); err != nil {
		return fmt.Errorf("seal: %w", err)
	}
	return nil
}

// LedgerID is the ledger's random id.
func (r *Keyring) LedgerID() LedgerID { return r.keys.Ledger }

// JetStreamKey is the key of JetStream's own cipher, in hex.
func (r *Keyring) JetStreamKey() string { return hex.EncodeToString(r.keys.JetStream[:]) }

// String keeps the keys out of every message.
func (r *Keyring) String() string { return "keyring of ledger " + r.keys.Ledger.String() }

// GoString does the same for %#v.
func (r *Keyring) GoString() string { return r.String() }

// createKEK draws the key-encryption key. It is stored in clear because nothing
// beside it could unwrap it; a KMS takes its place by giving another tink.AEAD.
func createKEK(path string) (tink.AEAD, error) {
	h, err := keyset.NewHandle(aead.XChaCha20Poly1305KeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("seal: draw a key-encryption key: %w", err)
	}
	var b bytes.Buffer
	if err := insecurecleartextkeyset.Write(h, keyset.NewJSONWriter(&b)); err != nil {
		return nil, fmt.Errorf("seal: %s: %w", path, err)
	}
	if err := writeFile(path, b.Bytes()); err != nil {
		return nil, err
	}
	return readKEK(path)
}

func readKEK(path string) (tink.AEAD, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", ErrNoKeys, path)
	}
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	h, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(b)))
	if err != nil {
		return nil, fmt.Errorf("seal: %s is no Tink keyset; restore it from its copy", path)
	}
	a, err := aead.New(h)
	if err != nil {
		return nil, fmt.Errorf("seal: %s holds no key for an AEAD; restore it from its copy", path)
	}
	return a, nil
}

// writeWrapped seals plain under the KEK, bound to the file's name and extra, and
// replaces the file durably.
func writeWrapped(dir, name string, kek tink.AEAD, plain, extra []byte) error {
	b, err := kek.Encrypt(plain, append([]byte("consent.v1/"+name+"/"), extra...))
	if err != nil {
		return fmt.Errorf("seal: wrap %s: %w", name, err)
	}
	return writeFile(filepath.Join(dir, name), b)
}

func readWrapped(dir, name string, kek tink.AEAD, extra []byte) ([]byte, error) {
	path := filepath.Join(dir, name)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("seal: %s is missing beside %s; restore it from the backup of the keys folder", path, KEKFile)
	}
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	plain, err := kek.Decrypt(b, append([]byte("consent.v1/"+name+"/"), extra...))
	if err != nil {
		return nil, fmt.Errorf("%w: %s", ErrWrongKEK, path)
	}
	return plain, nil
}

func writeFile(path string, data []byte) error {
	if err := durable.Replace(path, data, 0o600); err != nil {
		return fmt.Errorf("seal: write %s: %w", path, err)
	}
	return nil
}
