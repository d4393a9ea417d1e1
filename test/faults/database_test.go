package faults

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// TestDamagedDatabase: what follows from the ledger may be damaged. Whoever restarts
// the server gets it back as it was, and nobody has to know what to delete.
func TestDamagedDatabase(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	dir, whole := filepath.Join(root, "ledger"), filepath.Join(root, "whole")
	initLedger(t, dir)
	b, s := newBook(t), serve(t, dir)
	b.must(s, seller())
	for i := range 20 {
		b.must(s, grant(fmt.Sprintf("g-%d", i), number(i), i))
	}
	want := s.stateHash()
	s.stop()
	serve(t, dir).stop() // a start writes tables of what the log before holds
	copyFolder(t, dir, whole)
	kinds := []string{"*.sst", "MANIFEST-*"} // one is found when it is read, one when it is opened
	if os.Getenv("CONSENT_SOAK") != "" {
		kinds = append(kinds, "*.log")
	}
	for _, folder := range []string{"projections", "index", "tree", "directory"} {
		for _, files := range kinds {
			t.Run(folder+" "+files, func(t *testing.T) {
				copyFolder(t, whole, dir)
				if damage(t, filepath.Join(dir, folder, files)) == 0 {
					t.Fatal("there is no such file")
				}
				s := restarted(t, dir)
				if diff := cmp.Diff(want, s.stateHash()); diff != "" {
					t.Errorf("state (-before +after):\n%s", diff)
				}
				b.verify(s, nil)
				if got := s.doctor(&consentv1.DoctorRequest{}).GetIntegrity(); got != "OK" {
					t.Errorf("integrity %s", got)
				}
				s.stop()
				serve(t, dir).stop() // once more: what was healed is whole
			})
		}
	}
}

// damage flips a bit of every 64 bytes of each file, and gives how many files there are.
func damage(t *testing.T, pattern string) int {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for i := 5; i < len(data); i += 64 {
			data[i] ^= 0x10
		}
		if err := os.WriteFile(f, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return len(files)
}

// restarted serves a folder as a supervisor does: again, when the process has ended. A
// process may end only because it found damage.
func restarted(t *testing.T, dir string) *server {
	t.Helper()
	for range 3 {
		s := launch(t, dir)
		ended := false
		until(t, startLimit, "start", func(ctx context.Context) bool {
			select {
			case <-s.ended:
				ended = true
				return true
			default:
			}
			if s.url == "" && !s.find() {
				return false
			}
			res, err := s.client.Ledger.Doctor(ctx, connect.NewRequest(&consentv1.DoctorRequest{StateHash: true}))
			return err == nil && res.Msg.GetApplied()["projections"] == res.Msg.GetPosition()
		})
		if !ended {
			return s
		}
		if said := s.stderr.String(); s.cmd.ProcessState.ExitCode() != 1 || !strings.Contains(said, "a database is damaged") || !strings.Contains(said, "made anew from the ledger") {
			t.Fatalf("exit code %d:\n%s", s.cmd.ProcessState.ExitCode(), said)
		}
	}
	t.Fatal("it ends at every start")
	return nil
}
