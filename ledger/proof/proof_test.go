package proof_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/ledger"
	ours "github.com/consent-ledger/consent-ledger/ledger/proof"
	"github.com/consent-ledger/consent-ledger/ledger/seal"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

var recorded = time.Date(2026, 3, 1, 12, 0, 0, 250_000_000, time.UTC)

func keys(t testing.TB) *seal.Signing {
	t.Helper()
	s, err := seal.NewSigning("ledger.example.com/test", bytes.Repeat([]byte{9}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// commitOf makes the entries of one commit.
func commitOf(t testing.TB, first ledger.Position, count int) []*ledger.Entry {
	t.Helper()
	var out []*ledger.Entry
	for i := range count {
		at := first + ledger.Position(i)
		msg := &consentv1.Entry{Position: uint64(at), RecordedAt: timestamppb.New(recorded), EntryId: bytes.Repeat([]byte{byte(at)}, 16),
			Idempotency: make([]byte, 32), Content: make([]byte, 32), Fact: &consentv1.Fact{Source: "crm"}}
		raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(msg)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, &ledger.Entry{Position: at, RecordedAt: recorded, ID: ledger.EntryID(msg.EntryId), Leaf: ledger.LeafHash(raw), Msg: msg, Bytes: raw})
	}
	return out
}

func receiptOf(t testing.TB, entries []*ledger.Entry, i int, whole bool) ours.Receipt {
	t.Helper()
	c, err := ours.SignCommit(entries, consentv1.Durability_DURABILITY_FSYNC, keys(t).Receipts)
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.Receipt(entries[i].Position)
	if err != nil {
		t.Fatal(err)
	}
	if whole {
		r.Entry = entries[i].Bytes
	}
	return r
}

// checkFile decodes and checks a receipt as somebody does who has only the key.
func checkFile(t testing.TB, file []byte) (ours.Promise, error) {
	t.Helper()
	r, err := ours.DecodeReceipt(file)
	if err != nil {
		return ours.Promise{}, err
	}
	return r.Check(keys(t).Receipts.Verifier)
}

func TestReceiptsOfEveryEntry(t *testing.T) {
	for _, count := range []int{1, 2, 3, 7, 8, 100} {
		entries := commitOf(t, 41, count)
		for i, e := range entries {
			p, err := checkFile(t, receiptOf(t, entries, i, i%2 == 0).Encode())
			if err != nil {
				t.Fatalf("entry %d of %d: %v", i, count, err)
			}
			if p.Position != e.Position || p.Leaf != e.Leaf || !p.RecordedAt.Equal(recorded) || (p.Entry != nil) != (i%2 == 0) ||
				p.Durability != consentv1.Durability_DURABILITY_FSYNC || p.Origin != "ledger.example.com/test" {
				t.Fatalf("entry %d of %d: the receipt says %+v", i, count, p)
			}
		}
	}
}

// bits are those of byte i that a test changes: the lowest, which base64 may not
// use, that of upper and lower case, and one more.
func bits(i int) []int { return []int{0, 5, 1 + i%4} }

// Every byte of a receipt is changed: none is accepted.
func TestEveryChangedByteOfAReceiptIsRefused(t *testing.T) {
	entries := commitOf(t, 41, 6)
	for _, whole := range []bool{true, false} {
		file := receiptOf(t, entries, 3, whole).Encode()
		for i := range file {
			for _, bit := range bits(i) {
				changed := bytes.Clone(file)
				changed[i] ^= 1 << bit
				if _, err := checkFile(t, changed); err == nil {
					t.Fatalf("byte %d, bit %d: accepted\n%s", i, bit, changed)
				}
			}
		}
		for i := range file {
			if _, err := checkFile(t, file[:i]); err == nil {
				t.Fatalf("cut at %d: accepted", i)
			}
		}
	}
}

func TestReceiptsThatProveNothing(t *testing.T) {
	entries := commitOf(t, 41, 6)
	r := receiptOf(t, entries, 3, false)
	moved := r
	moved.Position++
	beyond := r
	beyond.Position = 47
	other := r
	other.Entry, other.Leaf = entries[2].Bytes, entries[2].Leaf
	for name, r := range map[string]ours.Receipt{"another position": moved, "beyond the commit": beyond, "another entry": other} {
		if _, err := checkFile(t, r.Encode()); !errors.Is(err, ours.ErrRefuted) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Its own entry, with a position in it that was not signed.
	lying := commitOf(t, 41, 2)
	lying[1].Msg.Position = 99
	lying[1].Bytes, _ = proto.Marshal(lying[1].Msg)
	lying[1].Leaf = ledger.LeafHash(lying[1].Bytes)
	if _, err := checkFile(t, receiptOf(t, lying, 1, true).Encode()); !errors.Is(err, ours.ErrRefuted) {
		t.Errorf("an entry that says another position: %v", err)
	}
	stranger, err := seal.NewSigning("ledger.example.com/test", bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Check(stranger.Receipts.Verifier); !errors.Is(err, ours.ErrUnsigned) {
		t.Errorf("another key of the same name: %v", err)
	}
	if _, err := r.Check(keys(t).Log.Verifier); !errors.Is(err, ours.ErrUnsigned) {
		t.Errorf("the key for checkpoints: %v", err)
	}
}

// A checkpoint signed with the key of receipts, or the reverse, is never taken.
func TestOneKeyOnePurpose(t *testing.T) {
	k := keys(t)
	if _, err := ours.SignCommit(commitOf(t, 1, 1), consentv1.Durability_DURABILITY_FSYNC, k.Log); err == nil {
		t.Error("the key for checkpoints signs a receipt")
	}
	msg, err := note.Sign(&note.Note{Text: "ledger.example.com/test\n1\n" + base64.StdEncoding.EncodeToString(make([]byte, 32)) + "\n"}, k.Receipts)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ours.OpenCheckpoint(msg, k.Log.Verifier); !errors.Is(err, ours.ErrUnsigned) {
		t.Errorf("signed by the key of receipts: %v", err)
	}
	if _, err := ours.OpenCheckpoint(msg, k.Receipts.Verifier); !errors.Is(err, ours.ErrRefuted) {
		t.Errorf("a checkpoint of another origin than its key's: %v", err)
	}
}

// memory is a tree of leaves in memory.
type memory struct{ hashes []tlog.Hash }

func (m *memory) ReadHashes(at []int64) ([]tlog.Hash, error) {
	var out []tlog.Hash
	for _, i := range at {
		out = append(out, m.hashes[i])
	}
	return out, nil
}

func grow(t testing.TB, n int) (*memory, []tlog.Hash) {
	t.Helper()
	m := &memory{}
	var leaves []tlog.Hash
	for i := range n {
		leaf := tlog.Hash(ledger.LeafHash(fmt.Appendf(nil, "entry %d", i)))
		leaves = append(leaves, leaf)
		hashes, err := tlog.StoredHashesForRecordHash(int64(i), leaf, m)
		if err != nil {
			t.Fatal(err)
		}
		m.hashes = append(m.hashes, hashes...)
	}
	return m, leaves
}

func signAt(t testing.TB, m *memory, size int64) ours.Checkpoint {
	t.Helper()
	root, err := tlog.TreeHash(size, m)
	if err != nil {
		t.Fatal(err)
	}
	c, err := ours.SignCheckpoint(size, root, keys(t).Log)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func include(t testing.TB, m *memory, size int64, at ledger.Position) ours.Inclusion {
	t.Helper()
	path, err := tlog.ProveRecord(size, int64(at-1), m)
	if err != nil {
		t.Fatal(err)
	}
	return ours.Inclusion{Position: at, Path: path, Checkpoint: signAt(t, m, size).Note}
}

// The proof library of transparency-dev accepts our paths, and refuses them for
// other leaves.
func TestTransparencyDevAcceptsOurPaths(t *testing.T) {
	const size = 300
	m, leaves := grow(t, size)
	root, err := tlog.TreeHash(size, m)
	if err != nil {
		t.Fatal(err)
	}
	raw := func(hashes []tlog.Hash) (out [][]byte) {
		for _, h := range hashes {
			out = append(out, h[:])
		}
		return out
	}
	for i := range leaves {
		p := include(t, m, size, ledger.Position(i)+1)
		if err := proof.VerifyInclusion(rfc6962.DefaultHasher, uint64(i), size, leaves[i][:], raw(p.Path), root[:]); err != nil {
			t.Fatalf("position %d: %v", i+1, err)
		}
		if err := proof.VerifyInclusion(rfc6962.DefaultHasher, uint64(i), size, leaves[(i+1)%size][:], raw(p.Path), root[:]); err == nil {
			t.Fatalf("position %d: another leaf is accepted", i+1)
		}
	}
	for old := int64(1); old < size; old += 7 {
		p, err := tlog.ProveTree(size, old, m)
		if err != nil {
			t.Fatal(err)
		}
		before := signAt(t, m, old)
		if err := proof.VerifyConsistency(rfc6962.DefaultHasher, uint64(old), size, raw(p), before.Root[:], root[:]); err != nil {
			t.Fatalf("%d to %d: %v", old, size, err)
		}
		if err := signAt(t, m, size).Consistent(before, p); err != nil {
			t.Fatal(err)
		}
	}
	// Receipts are paths in a tree of their own.
	entries := commitOf(t, 1, 11)
	r := receiptOf(t, entries, 6, false)
	n, err := ours.OpenNote(r.Commit, keys(t).Receipts.Verifier)
	if err != nil {
		t.Fatal(err)
	}
	commitRoot, err := base64.StdEncoding.DecodeString(strings.Split(n.Text, "\n")[6])
	if err != nil {
		t.Fatal(err)
	}
	if err := proof.VerifyInclusion(rfc6962.DefaultHasher, 6, 11, entries[6].Leaf[:], raw(r.Path), commitRoot); err != nil {
		t.Fatal(err)
	}
}

func TestEveryChangedByteOfAProofIsRefused(t *testing.T) {
	m, leaves := grow(t, 20)
	file := include(t, m, 20, 7).Encode()
	check := func(file []byte) error {
		p, err := ours.DecodeInclusion(file)
		if err == nil && p.Position == 7 {
			_, err = p.Check(ledger.Hash(leaves[6]), keys(t).Log.Verifier)
		} else if err == nil {
			err = errors.New("of another position")
		}
		return err
	}
	if err := check(file); err != nil {
		t.Fatal(err)
	}
	for i := range file {
		for _, bit := range bits(i) {
			changed := bytes.Clone(file)
			changed[i] ^= 1 << bit
			if check(changed) == nil {
				t.Fatalf("byte %d, bit %d: accepted\n%s", i, bit, changed)
			}
		}
	}
}

func TestCheckpointsDoNotContradictEachOther(t *testing.T) {
	m, _ := grow(t, 100)
	at60, at100 := signAt(t, m, 60), signAt(t, m, 100)
	p, err := tlog.ProveTree(100, 60, m)
	if err != nil {
		t.Fatal(err)
	}
	fork := at60
	fork.Root[0] ^= 1
	for name, err := range map[string]error{
		"shrunk": at60.Consistent(at100, nil), "forked": at100.Consistent(fork, p), "equal size, forked": fork.Consistent(at60, nil),
		"no proof": at100.Consistent(at60, nil),
	} {
		if !errors.Is(err, ours.ErrRefuted) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := at60.Consistent(at60, p); !errors.Is(err, ours.ErrForm) {
		t.Errorf("a proof where none is needed: %v", err)
	}
	for _, fine := range []error{at100.Consistent(at60, p), at60.Consistent(at60, nil), at60.Consistent(ours.Checkpoint{}, nil)} {
		if fine != nil {
			t.Error(fine)
		}
	}
}

func TestKeyFiles(t *testing.T) {
	k := keys(t)
	good := "# checkpoints\n" + k.Log.Public + "\n\n" + k.Receipts.Public + "\n"
	parsed, err := ours.ParseKeys([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	if v, err := parsed.Log(); err != nil || v.Name() != "ledger.example.com/test" {
		t.Errorf("%v, %v", v, err)
	}
	if v, err := parsed.Receipts(); err != nil || v.Name() != "ledger.example.com/test/receipts" {
		t.Errorf("%v, %v", v, err)
	}
	for name, bad := range map[string]string{"empty": "# nothing\n", "no key": "hello\n", "twice": k.Log.Public + "\n" + k.Log.Public + "\n",
		"damaged": strings.Replace(k.Log.Public, "+A", "+B", 1)} {
		if _, err := ours.ParseKeys([]byte(bad)); !errors.Is(err, ours.ErrForm) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// openssl, which knows nothing of notes, checks the signature of a checkpoint and
// of a commit: Ed25519 over the text.
func TestOpenSSLChecksOurSignatures(t *testing.T) {
	m, _ := grow(t, 20)
	k := keys(t)
	for name, tc := range map[string]struct {
		note   []byte
		public string
	}{"checkpoint": {signAt(t, m, 20).Note, k.Log.Public}, "commit": {receiptOf(t, commitOf(t, 1, 3), 1, false).Commit, k.Receipts.Public}} {
		t.Run(name, func(t *testing.T) {
			text, signature := split(t, tc.note)
			der := derKey(t, tc.public)
			if err := openssl(t, der, text, signature); err != nil {
				t.Errorf("refused: %v", err)
			}
			text[3] ^= 1
			if openssl(t, der, text, signature) == nil {
				t.Error("a changed text is accepted")
			}
		})
	}
}

// derKey is the key of a verifier line as SubjectPublicKeyInfo (RFC 8410): a fixed
// head, then the key.
func derKey(t *testing.T, public string) []byte {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString(strings.SplitN(public, "+", 3)[2])
	if err != nil {
		t.Fatal(err)
	}
	return append([]byte{0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00}, key[1:]...)
}

// split takes a note apart as a person with a text editor would.
func split(t *testing.T, msg []byte) (text, signature []byte) {
	t.Helper()
	body, lines, ok := bytes.Cut(msg, []byte("\n\n"))
	words := strings.Fields(string(lines))
	if !ok || len(words) != 3 || words[0] != "—" {
		t.Fatalf("no note with one signature:\n%s", msg)
	}
	raw, err := base64.StdEncoding.DecodeString(words[2])
	if err != nil {
		t.Fatal(err)
	}
	return append(body, '\n'), raw[4:] // behind the key's id
}

func openssl(t *testing.T, key, text, signature []byte) error {
	t.Helper()
	dir := t.TempDir()
	for name, data := range map[string][]byte{"key": key, "text": text, "signature": signature} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	path, err := exec.LookPath("openssl")
	if err != nil {
		t.Fatalf("openssl is needed: apt-get install openssl: %v", err)
	}
	cmd := exec.Command(path, "pkeyutl", "-verify", "-rawin", "-pubin", "-keyform", "DER", "-inkey", "key", "-in", "text", "-sigfile", "signature")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

func FuzzDecodeReceipt(f *testing.F) {
	f.Add(receiptOf(f, commitOf(f, 41, 3), 1, true).Encode())
	f.Add(receiptOf(f, commitOf(f, 41, 3), 1, false).Encode())
	f.Fuzz(func(t *testing.T, file []byte) {
		if r, err := ours.DecodeReceipt(file); err == nil && !bytes.Equal(r.Encode(), file) {
			t.Fatal("another encoding of the same receipt is accepted")
		}
	})
}

func FuzzDecodeInclusion(f *testing.F) {
	m, _ := grow(f, 5)
	f.Add(include(f, m, 5, 3).Encode())
	f.Fuzz(func(t *testing.T, file []byte) {
		if p, err := ours.DecodeInclusion(file); err == nil && !bytes.Equal(p.Encode(), file) {
			t.Fatal("another encoding of the same proof is accepted")
		}
	})
}
