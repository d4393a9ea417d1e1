package seal

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
)

func TestSigningKeysComeBack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	r, err := Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Signing(); !errors.Is(err, ErrNoSigning) {
		t.Fatalf("keys before they are made: %v", err)
	}
	if err := r.CreateSigning("ledger.example.com/2026"); err != nil {
		t.Fatal(err)
	}
	if err := r.CreateSigning("ledger.example.com/2026"); !errors.Is(err, ErrKeysExist) {
		t.Fatalf("made twice: %v", err)
	}
	first, err := r.Signing()
	if err != nil {
		t.Fatal(err)
	}
	again, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	second, err := again.Signing()
	if err != nil {
		t.Fatal(err)
	}
	if first.Log.Public != second.Log.Public || first.Receipts.Public != second.Receipts.Public || second.Origin != "ledger.example.com/2026" {
		t.Fatal("the keys changed with a restart")
	}
	for _, k := range []*SigningKey{first.Log, first.Receipts} {
		msg, err := note.Sign(&note.Note{Text: "a text\n"}, k)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := note.Open(msg, note.VerifierList(k.Verifier)); err != nil {
			t.Fatal(err)
		}
		other := first.Log
		if k == first.Log {
			other = first.Receipts
		}
		if _, err := note.Open(msg, note.VerifierList(other.Verifier)); err == nil {
			t.Fatal("one key's note opens with the other")
		}
	}
	raw, err := os.ReadFile(filepath.Join(dir, SigningFile))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(raw), "example.com") {
		t.Fatal("the file is not wrapped")
	}
	raw[len(raw)-1] ^= 1
	if err := os.WriteFile(filepath.Join(dir, SigningFile), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := again.Signing(); !errors.Is(err, ErrWrongKEK) {
		t.Fatalf("a changed file: %v", err)
	}
}

func TestSigningOfAnotherLedgerIsRefused(t *testing.T) {
	a, b := filepath.Join(t.TempDir(), "keys"), filepath.Join(t.TempDir(), "keys")
	one, err := Create(a)
	if err != nil {
		t.Fatal(err)
	}
	two, err := Create(b)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(one.CreateSigning(""), two.CreateSigning("")); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(a, SigningFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(b, SigningFile), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := two.Signing(); !errors.Is(err, ErrWrongKEK) {
		t.Fatalf("another ledger's keys: %v", err)
	}
}

func TestOrigins(t *testing.T) {
	for _, good := range []string{"ledger.example.com", "ledger.example.com/2026", "consent-ledger/0af1"} {
		if err := CheckOrigin(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", "https://ledger.example.com", "a b", "a+b", "/a", "a/", "Ledger", "a\nb", strings.Repeat("a", originBytesMax+1)} {
		if CheckOrigin(bad) == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
