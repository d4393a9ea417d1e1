package seal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestNothingPrintsKeys guards promise 8 against a careless %v.
func TestNothingPrintsKeys(t *testing.T) {
	k := DrawKey(DrawPerson(), words)
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if s := fmt.Sprintf(format, k); strings.Contains(s, fmt.Sprintf("%x", k.key[:])) || strings.Contains(s, fmt.Sprintf("%v", k.key[:4])[1:8]) {
			t.Errorf("%s prints the key: %s", format, s)
		}
		if s := fmt.Sprintf(format, testRing(t)); !strings.HasPrefix(s, "keyring of ledger ") {
			t.Errorf("%s prints %s", format, s)
		}
	}
}

func TestKeyringFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	r, err := Create(dir)
	must(t, err)
	again, err := Open(dir)
	must(t, err)
	if again.LedgerID() != r.LedgerID() || again.JetStreamKey() != r.JetStreamKey() || len(r.JetStreamKey()) != 64 {
		t.Error("another keyring comes back")
	}
	for _, name := range []string{KEKFile, KeyringFile, EpochsFile} {
		fi, err := os.Stat(filepath.Join(dir, name))
		must(t, err)
		if fi.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", name, fi.Mode())
		}
	}
	if _, err := Create(dir); !errors.Is(err, ErrKeysExist) {
		t.Errorf("second create: %v", err)
	}
	must(t, os.Remove(filepath.Join(dir, KEKFile)))
	if _, err := Create(dir); !errors.Is(err, ErrKeysExist) {
		t.Errorf("create beside half a keyring: %v", err)
	}
}

func TestOpenSaysWhichFileAndWhatToDo(t *testing.T) {
	foreign := filepath.Join(t.TempDir(), "keys")
	if _, err := Create(foreign); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name   string
		damage func(t *testing.T, dir string)
		want   error
		text   []string
	}{
		{"no folder", func(t *testing.T, dir string) { must(t, os.RemoveAll(dir)) }, ErrNoKeys, []string{KEKFile, "consent init"}},
		{"no keyring", removeFile(KeyringFile), nil, []string{KeyringFile, "backup"}},
		{"no epochs", removeFile(EpochsFile), nil, []string{EpochsFile, "backup"}},
		{"KEK of another ledger", copyFrom(foreign, KEKFile), ErrWrongKEK, []string{KeyringFile, "backup"}},
		{"epochs of another ledger", copyFrom(foreign, EpochsFile), ErrWrongKEK, []string{EpochsFile, "backup"}},
		{"keyring in place of epochs", func(t *testing.T, dir string) { copyFile(t, dir, KeyringFile, dir, EpochsFile) }, ErrWrongKEK, []string{EpochsFile}},
		{"KEK damaged", func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, KEKFile), []byte("{}"), 0o600))
		}, nil, []string{KEKFile, "restore"}},
		{"one bit of epochs", func(t *testing.T, dir string) {
			b, err := os.ReadFile(filepath.Join(dir, EpochsFile))
			must(t, err)
			b[len(b)/2] ^= 1
			must(t, os.WriteFile(filepath.Join(dir, EpochsFile), b, 0o600))
		}, ErrWrongKEK, []string{EpochsFile}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "keys")
			_, err := Create(dir)
			must(t, err)
			tc.damage(t, dir)
			_, err = Open(dir)
			if err == nil || (tc.want != nil && !errors.Is(err, tc.want)) {
				t.Fatalf("open: %v, want %v", err, tc.want)
			}
			for _, s := range tc.text {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("%q does not say %q", err, s)
				}
			}
		})
	}
}

func removeFile(name string) func(*testing.T, string) {
	return func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, name))) }
}

func copyFrom(from, name string) func(*testing.T, string) {
	return func(t *testing.T, dir string) { copyFile(t, from, name, dir, name) }
}

func copyFile(t *testing.T, fromDir, from, toDir, to string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(fromDir, from))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(toDir, to), b, 0o600))
}
