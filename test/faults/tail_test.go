package faults

import (
	"bytes"
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// TestTailFromACopy: an old data folder that was put back is refused; from a copy that
// has what is missing it becomes what it was, byte for byte, and no position is used
// again. A copy that does not reach what was signed gives nothing.
func TestTailFromACopy(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	dir, old, middle, whole := filepath.Join(root, "ledger"), filepath.Join(root, "old"), filepath.Join(root, "middle"), filepath.Join(root, "whole")
	anchor := filepath.Join(root, "anchor")
	initLedger(t, dir)
	b, s := newBook(t), serve(t, dir, "--anchor", anchor)
	b.must(s, seller())
	b.must(s, grant("g-0", number(0), 0))
	s.stop()
	copyFolder(t, dir, old)
	for i, to := range []string{middle, whole} {
		s = serve(t, dir, "--anchor", anchor)
		for n := range 10 {
			b.must(s, grant(fmt.Sprintf("g-%d-%d", i, n), number(10*i+n+1), n))
		}
		b.must(s, stopped(fmt.Sprint("stop-", i), number(i)))
		if to == whole {
			break
		}
		s.stop()
		copyFolder(t, dir, to)
	}
	acked := s.doctor(&consentv1.DoctorRequest{}).GetPosition()
	s.stop()
	copyFolder(t, dir, whole)
	s = serve(t, whole)
	want, _ := s.stored()
	want = want[:len(want)-1] // this start's own entry
	keys := s.wrappings()
	s.stop()
	repair := func(from string) (int, string) {
		cmd := exec.Command(program, "repair", "--dir", dir, "--from", from, "--anchor", anchor)
		out, _ := cmd.CombinedOutput() // the exit code says it
		return cmd.ProcessState.ExitCode(), string(out)
	}
	for _, part := range []string{".", "jetstream"} {
		t.Run(part, func(t *testing.T) {
			copyFolder(t, whole, dir)
			copyFolder(t, filepath.Join(old, part), filepath.Join(dir, part))
			b.t = t
			refused(t, launch(t, dir, "--anchor", anchor), "ROLLED_BACK", "consent repair --dir D --from COPY")
			if code, said := repair(middle); code != 1 || !bytes.Contains([]byte(said), []byte("ROLLED_BACK")) {
				t.Fatalf("a copy that is too old: exit code %d\n%s", code, said)
			}
			refused(t, launch(t, dir, "--anchor", anchor), "ROLLED_BACK")
			if code, said := repair(whole); code != 0 {
				t.Fatalf("exit code %d\n%s", code, said)
			}
			s := serve(t, dir)
			defer s.stop()
			if got := s.doctor(&consentv1.DoctorRequest{}); got.GetIntegrity() != "OK" {
				t.Errorf("%s %q", got.GetIntegrity(), got.GetProblems())
			}
			have, _ := s.stored()
			for i, data := range want {
				if i >= len(have) || !bytes.Equal(have[i], data) {
					t.Fatalf("message %d is not what it was", i+1)
				}
			}
			b.verify(s, nil)
			x := &beside{t: t, keys: map[string]bool{}}
			for _, k := range keys {
				x.keys[k] = true
			}
			if n := x.missing(s); part == "." && n > 128 { // those of the copy's last start
				t.Errorf("%d keys are missing", n)
			}
			if r := newBook(t).must(s, stopped("after-"+t.Name(), number(3))); r.GetPosition() <= acked {
				t.Errorf("position %d was used before", r.GetPosition())
			}
		})
	}
}
