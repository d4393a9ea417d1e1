package faults

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	"github.com/consent-ledger/consent-ledger/ledger/stream"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// TestDamagedByHand: what somebody with rights on an outside NATS server does to
// the stream: limits lowered, the whole stream deleted and made again.
func TestDamagedByHand(t *testing.T) {
	c := startNATS(t)
	dir := filepath.Join(t.TempDir(), "ledger")
	initLedger(t, dir, "--nats-url", c.url())
	b, s := newBook(t), serve(t, dir, "--nats-url", c.url())
	b.must(s, seller())
	for i := range 40 {
		b.must(s, grant(fmt.Sprint("g-", i), number(i), i))
	}
	s.stop()
	l, err := c.js.Stream(t.Context(), stream.LedgerStream)
	if err != nil {
		t.Fatal(err)
	}
	pinned := l.CachedInfo().Config

	changed := pinned
	changed.MaxMsgs, changed.Discard = 10, jetstream.DiscardOld
	if _, err := c.js.UpdateStream(t.Context(), changed); err != nil {
		t.Fatal(err)
	}
	refused(t, launch(t, dir, "--nats-url", c.url()), "MaxMsgs is 10 and must be -1")
	if _, err := c.js.UpdateStream(t.Context(), pinned); err != nil {
		t.Fatal(err)
	}
	s = serve(t, dir, "--nats-url", c.url())
	doctor := s.scrubbed()
	if lost := len(doctor.GetDamages()); doctor.GetIntegrity() != "OK" || lost < 30 {
		t.Fatalf("%d messages erased by a limit: %s %q", lost, doctor.GetIntegrity(), doctor.GetProblems())
	}
	b.verify(s, nil)
	b.readAll(s)
	s.stop()

	if err := c.js.DeleteStream(t.Context(), stream.LedgerStream); err != nil {
		t.Fatal(err)
	}
	refused(t, launch(t, dir, "--nats-url", c.url()), "CONSENT_LEDGER does not exist")
	if out, err := exec.Command(program, "streams", "apply", "--dir", dir, "--nats-url", c.url()).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	s = serve(t, dir, "--nats-url", c.url()) // all of it is among the tree's copies
	if got := s.doctor(&consentv1.DoctorRequest{}).GetIntegrity(); got != "TAIL_REPAIRED" {
		t.Fatalf("a stream made again is %s", got)
	}
	b.verify(s, nil)
	b.readAll(s)
	s.stop()

	for _, f := range []string{"tail-0", "tail-1"} {
		if err := os.Remove(filepath.Join(dir, "tree", f)); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.js.DeleteStream(t.Context(), stream.LedgerStream); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(program, "streams", "apply", "--dir", dir, "--nats-url", c.url()).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	refused(t, launch(t, dir, "--nats-url", c.url()), "ROLLED_BACK")
}

// TestRepairFrom: copies may come from a bundle and from another server; what is
// lost in both stays lost, and a changed copy is refused.
func TestRepairFrom(t *testing.T) {
	d := newDamaged(t)
	root := filepath.Dir(d.dir)
	other := filepath.Join(root, "other")
	copyFolder(t, d.copy, other)
	standby := serve(t, other)
	bundle := filepath.Join(root, "case.zip")
	out, err := exec.Command(program, "export", "--server", standby.url, "--key-file", filepath.Join(other, "admin.key"),
		"--number", number(3), "--purpose", "test", "--recipient", "test", "--out", bundle).CombinedOutput()
	if err != nil {
		t.Fatalf("export: %v\n%s", err, out)
	}
	d.withoutTail()
	three, four := d.seqOf("g-3"), d.seqOf("g-4")
	for _, seq := range []int{three, four} {
		d.flipIn(seq, regions[8], true)
	}
	s := serve(t, d.dir)
	s.scrubbed()
	said, err := s.repair(bundle)
	if err == nil || said["mended"] != 1 || said["left"] != 1 {
		t.Errorf("a bundle has one of two: %v %v", said, err)
	}
	if c := codes(s.check(number(3))); slices.Contains(c, "LEDGER_INTEGRITY") {
		t.Errorf("mended, and blocked: %q", c)
	}
	if c := codes(s.check(number(4))); !slices.Contains(c, "LEDGER_INTEGRITY") {
		t.Errorf("lost, and answered: %q", c)
	}
	changed := bytes.Clone(d.commits[four-1])
	changed[len(changed)-1] ^= 1
	var c consentv1.Commit
	if err := proto.Unmarshal(changed, &c); err != nil {
		t.Fatal(err)
	}
	res, err := s.client.Ledger.Repair(t.Context(), connect.NewRequest(&consentv1.RepairRequest{Entries: c.GetEntries()}))
	if err != nil || res.Msg.GetRefused() != 1 || res.Msg.GetLeft() != 1 {
		t.Errorf("a changed copy: %v %v", res, err)
	}
	said, err = s.repair(standby.url, "--from-key-file="+filepath.Join(other, "admin.key"))
	if err != nil || said["mended"] != 1 || said["left"] != 0 {
		t.Errorf("another server has it: %v %v", said, err)
	}
	standby.stop()
	d.verify(s)
	s.stop()
}

// TestRepairOfAFolder: a stopped ledger whose stream ends where it should, and has a hole
// before, is mended by its folder.
func TestRepairOfAFolder(t *testing.T) {
	d := newDamaged(t)
	d.known(t)
	out, err := exec.Command(program, "repair", "--dir", d.dir, "--from", d.copy, "-o", "json").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	s := serve(t, d.dir)
	d.verify(s)
	s.stop()
}

// TestDoctorOfAFolder: doctor says the state of a folder whose start is refused, and
// asks the anchors as serve does.
func TestDoctorOfAFolder(t *testing.T) {
	root := t.TempDir()
	dir, old, anchor := filepath.Join(root, "ledger"), filepath.Join(root, "old"), filepath.Join(root, "anchor")
	initLedger(t, dir)
	b, s := newBook(t), serve(t, dir, "--anchor", anchor)
	b.must(s, seller())
	s.stop()
	copyFolder(t, dir, old)
	s = serve(t, dir, "--anchor", anchor)
	b.must(s, grant("g", number(1), 1))
	s.stop()
	for _, tc := range []struct {
		verb      string
		dir       string
		code      int
		integrity string
	}{{"doctor", dir, 0, "OK"}, {"doctor", old, 5, "ROLLED_BACK"}, {"rebuild", old, 1, ""}} {
		cmd := exec.Command(program, tc.verb, "--dir", tc.dir, "--anchor", anchor, "-o", "json")
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, _ := cmd.Output() // the exit code says it
		var said struct {
			Integrity, IntegrityMeans string
			Problems                  []string
		}
		if len(out) > 0 {
			if err := json.Unmarshal(out, &said); err != nil {
				t.Fatal(err)
			}
		}
		if code := cmd.ProcessState.ExitCode(); code != tc.code || said.Integrity != tc.integrity {
			t.Errorf("%s of %s: exit code %d, %+v\n%s", tc.verb, tc.dir, code, said, &stderr)
		}
		if tc.code == 5 && (said.IntegrityMeans == "" || len(said.Problems) != 1 || !strings.Contains(said.Problems[0], "ROLLED_BACK")) {
			t.Errorf("what it says: %+v", said)
		}
	}
}

// TestDamagedMended: what stands in for lost messages, and who is blocked because of
// them, is nowhere else. When that is damaged itself, nobody is answered as if it had
// never been.
func TestDamagedMended(t *testing.T) {
	d := newDamaged(t)
	d.known(t)
	serve(t, d.dir).stop() // a start writes tables of what the log before holds
	whole := filepath.Join(filepath.Dir(d.dir), "mended")
	copyFolder(t, filepath.Join(d.dir, "mended"), whole)
	for _, files := range []string{"*.sst", "MANIFEST-*"} {
		if damage(t, filepath.Join(d.dir, "mended", files)) == 0 {
			t.Fatalf("there is no file %s", files)
		}
		for range 2 { // a restart makes nothing better
			refused(t, launch(t, d.dir), "what it holds is nowhere else", "newest backup")
		}
		copyFolder(t, whole, filepath.Join(d.dir, "mended"))
	}
	s := serve(t, d.dir)
	if c := codes(s.check(number(3))); !slices.Contains(c, "LEDGER_INTEGRITY") {
		t.Errorf("put back, and answered: %q", c)
	}
	s.stop()
}
