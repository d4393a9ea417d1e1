package faults

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	"github.com/consent-ledger/consent-ledger/ledger/stream"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// beside is a ledger whose other streams are broken anew by each row: persons whose keys
// came in messages of their own, contact attempts, checkpoints; and a whole copy.
type beside struct {
	t         *testing.T
	dir, copy string
	b         *book
	keys      map[string]bool // wrappings that the stream of keys held
	attempts  uint64          // its last message
	again     int             // starts that ended by themselves, of one row
}

// floridian is a number of a state that caps contacts.
func floridian(n int) string { return fmt.Sprintf("+13055550%03d", 100+n) }

func newBeside(t *testing.T) *beside {
	t.Helper()
	root := t.TempDir()
	x := &beside{t: t, dir: filepath.Join(root, "ledger"), copy: filepath.Join(root, "copy"), b: newBook(t), keys: map[string]bool{}}
	initLedger(t, x.dir)
	for start := range 3 { // each draws keys of its own
		s := serve(t, x.dir)
		if start == 0 {
			x.b.must(s, seller())
		}
		for i := range 12 {
			x.b.must(s, grant(fmt.Sprintf("g-%d-%d", start, i), floridian(start*12+i), i))
			x.attempt(s, fmt.Sprintf("call-%d-%d", start, i), floridian(start*12+i))
		}
		x.attempts = s.tail(stream.AttemptsStream)
		s.stop()
	}
	s := serve(t, x.dir)
	for _, k := range s.wrappings() {
		x.keys[k] = true
	}
	s.stop()
	copyFolder(t, x.dir, x.copy)
	return x
}

// attempt records a call that was made just now.
func (x *beside) attempt(s *server, ref, number string) *consentv1.AttemptReceipt {
	x.t.Helper()
	res, err := s.client.Attempts.RecordAttempt(x.t.Context(), connect.NewRequest(&consentv1.RecordAttemptRequest{Attempt: &consentv1.Attempt{
		Number: number, Seller: "acme", Channel: consentv1.Channel_CHANNEL_VOICE_LIVE, Purpose: consentv1.Purpose_PURPOSE_MARKETING, Subject: "roofs",
		Reference: ref, Outcome: consentv1.AttemptOutcome_ATTEMPT_OUTCOME_BUSY}}))
	if err != nil {
		x.t.Fatalf("attempt: %v\n%s", err, s.stderr)
	}
	return res.Msg.GetReceipt()
}

// capped tells whether a number's caps count as reached because nobody can count.
func (s *server) capped(number string) bool {
	s.t.Helper()
	res, err := s.client.Decisions.Check(s.t.Context(), connect.NewRequest(&consentv1.CheckRequest{Question: &consentv1.Question{Number: number, Seller: "acme",
		Channel: consentv1.Channel_CHANNEL_VOICE_LIVE, Purpose: consentv1.Purpose_PURPOSE_MARKETING, Subject: "roofs"}}))
	if err != nil {
		s.t.Fatalf("check: %v\n%s", err, s.stderr)
	}
	d := res.Msg.GetDecision()
	if d.GetVerdict() == consentv1.Verdict_VERDICT_ALLOW && len(d.GetCaps()) == 0 {
		s.t.Errorf("no cap is counted: %v", d)
	}
	return slices.Contains(codes(d), "NEEDS_SERVER") // who counts does not know
}

// outside is the server's JetStream as an outsider with the admin's key sees it.
func (s *server) outside() jetstream.JetStream {
	s.t.Helper()
	key, err := os.ReadFile(filepath.Join(s.dir, "admin.key"))
	if err != nil {
		s.t.Fatal(err)
	}
	conn, err := nats.Connect(s.natsURL(), nats.UserInfo("admin", strings.TrimSpace(string(key))))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		s.t.Fatal(err)
	}
	return js
}

func (s *server) tail(name string) uint64 {
	s.t.Helper()
	st, err := s.outside().Stream(s.t.Context(), name)
	if err != nil {
		s.t.Fatal(err)
	}
	return st.CachedInfo().State.LastSeq
}

// wrappings are the keys that the stream of keys holds: id, epoch and wrapped bytes.
func (s *server) wrappings() (out []string) {
	s.t.Helper()
	st, err := s.outside().Stream(s.t.Context(), stream.KeysStream)
	if err != nil {
		s.t.Fatal(err)
	}
	for seq := uint64(1); seq <= st.CachedInfo().State.LastSeq; seq++ {
		m, err := st.GetMsg(s.t.Context(), seq)
		if err != nil {
			continue
		}
		var keys consentv1.WrappedKeys
		if proto.Unmarshal(m.Data, &keys) != nil {
			continue
		}
		for _, k := range keys.GetKeys() {
			out = append(out, fmt.Sprintf("%x %d %x", k.GetKeyId(), k.GetEpoch(), k.GetWrapped()))
		}
	}
	return out
}

// blocksOf are a stream's files that hold something, oldest first.
func (x *beside) blocksOf(name string) []string {
	x.t.Helper()
	blocks, err := filepath.Glob(filepath.Join(x.dir, "jetstream", "jetstream", "*", "streams", name, "msgs", "*.blk"))
	if err != nil {
		x.t.Fatal(err)
	}
	slices.SortFunc(blocks, func(a, b string) int { return cmp.Or(len(a)-len(b), strings.Compare(a, b)) })
	blocks = slices.DeleteFunc(blocks, func(b string) bool { info, err := os.Stat(b); return err != nil || info.Size() == 0 })
	if len(blocks) == 0 {
		x.t.Fatalf("no files of %s", name)
	}
	return blocks
}

// harm is one way to damage a stream's files.
type harm struct {
	name string
	do   func(x *beside, file string, size int64)
}

var harms = []harm{
	{"a bit at the beginning", func(x *beside, f string, _ int64) { flipBit(x.t, f, 120) }},
	{"a bit in the middle", func(x *beside, f string, n int64) { flipBit(x.t, f, n/2) }},
	{"a bit at the end", func(x *beside, f string, n int64) { flipBit(x.t, f, n-12) }},
	{"the end cut off", func(x *beside, f string, n int64) {
		if err := os.Truncate(f, n-100); err != nil {
			x.t.Fatal(err)
		}
	}},
	{"half cut off", func(x *beside, f string, n int64) {
		if err := os.Truncate(f, n/2); err != nil {
			x.t.Fatal(err)
		}
	}},
	{"the file gone", func(x *beside, f string, _ int64) {
		if err := os.Remove(f); err != nil {
			x.t.Fatal(err)
		}
	}},
}

// flipBit turns one bit of a file.
func flipBit(t *testing.T, file string, off int64) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	data[off] ^= 0x10
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// each breaks a stream in every way, after a clean stop and after a crash, and tries
// what holds then.
func (x *beside) each(t *testing.T, name string, try func(t *testing.T)) {
	for _, h := range harms {
		for _, crashed := range []bool{false, true} {
			how := h.name
			if os.Getenv("CONSENT_SOAK") == "" && (!crashed || strings.HasPrefix(how, "a bit") && how != "a bit in the middle") {
				continue // a row is three starts: all of them by make soak
			}
			if crashed {
				how += ", crashed"
			}
			t.Run(how, func(t *testing.T) {
				x.t, x.b.t, x.again = t, t, 0
				copyFolder(t, x.copy, x.dir)
				blocks := x.blocksOf(name)
				last := blocks[len(blocks)-1]
				info, err := os.Stat(last)
				if err != nil {
					t.Fatal(err)
				}
				h.do(x, last, info.Size())
				if crashed {
					_ = os.Remove(filepath.Join(filepath.Dir(last), "index.db")) // it need not be there
				}
				try(t)
			})
		}
	}
}

// begin starts a server, as often as a start says that it should be tried again, and
// waits until everything beside the ledger was read.
func (x *beside) begin(t *testing.T) (*server, *consentv1.DoctorResponse) {
	t.Helper()
	d := &damaged{t: t, dir: x.dir}
	s, said := d.start()
	for range 2 {
		if s == nil && strings.Contains(said, "start again") {
			s, said = d.start()
		}
	}
	if s == nil {
		t.Fatalf("the start is refused: %s", said)
	}
	var doctor *consentv1.DoctorResponse
	ended := false
	until(t, startLimit, "a pass over what lies beside", func(ctx context.Context) bool {
		select {
		case <-s.ended:
			ended = true
			return true
		default:
		}
		res, err := s.client.Ledger.Doctor(ctx, connect.NewRequest(&consentv1.DoctorRequest{}))
		if err != nil {
			return false
		}
		doctor = res.Msg
		unread := func(p string) bool { return strings.Contains(p, "not read to their end") }
		return !slices.ContainsFunc(doctor.GetProblems(), unread) && doctor.GetScrub().GetOthersFinishedAt().IsValid() &&
			doctor.GetApplied()["projections"] == doctor.GetPosition()
	})
	if ended { // JetStream may contradict itself once after it has lost something
		if x.again++; x.again > 2 || !strings.Contains(s.stderr.String(), "a restart settles it") {
			t.Fatalf("it ends: %s", lastLine(s))
		}
		return x.begin(t)
	}
	return s, doctor
}

// missing are the wrappings that the stream of keys has no more.
func (x *beside) missing(s *server) int {
	have := s.wrappings()
	n := 0
	for k := range x.keys {
		if !slices.Contains(have, k) {
			n++
		}
	}
	return n
}

// TestDamagedKeys: while the index holds them, lost keys come back by themselves, byte
// for byte; without it they are DAMAGED until a copy gives them. Stops of new and known
// numbers are recorded all the time.
func TestDamagedKeys(t *testing.T) {
	t.Parallel()
	x := newBeside(t)
	x.each(t, stream.KeysStream, func(t *testing.T) {
		s, doctor := x.begin(t)
		if doctor.GetIntegrity() != "OK" || x.missing(s) > 0 {
			t.Fatalf("%s, %d keys are lost: %q", doctor.GetIntegrity(), x.missing(s), doctor.GetProblems())
		}
		for i := range 3 {
			x.b.must(s, stopped(fmt.Sprint("new-", t.Name(), i), floridian(60+i)))
			x.b.must(s, stopped(fmt.Sprint("known-", t.Name(), i), floridian(i)))
		}
		s.stop()
		if err := os.RemoveAll(filepath.Join(x.dir, "index")); err != nil {
			t.Fatal(err)
		}
		s, doctor = x.begin(t)
		if doctor.GetIntegrity() != "OK" {
			t.Errorf("with a new index: %s %q", doctor.GetIntegrity(), doctor.GetProblems())
		}
		s.stop()
	})
}

func TestDamagedKeysAndIndex(t *testing.T) {
	t.Parallel()
	x := newBeside(t)
	x.each(t, stream.KeysStream, func(t *testing.T) {
		spoilt := filepath.Join(t.TempDir(), "spoilt")
		copyFolder(t, x.dir, spoilt)
		if err := os.RemoveAll(filepath.Join(x.dir, "index")); err != nil {
			t.Fatal(err)
		}
		s, doctor := x.begin(t)
		lost := x.missing(s)
		if want := map[bool]string{true: "DAMAGED", false: "OK"}[len(doctor.GetLosses()) > 0]; doctor.GetIntegrity() != want {
			t.Fatalf("want %s, it is %s: %q", want, doctor.GetIntegrity(), doctor.GetProblems())
		}
		x.b.must(s, stopped(fmt.Sprint("new-", t.Name()), floridian(60)))
		x.b.must(s, stopped(fmt.Sprint("known-", t.Name()), floridian(1)))
		if len(doctor.GetLosses()) == 0 {
			if lost > 0 {
				t.Logf("%d keys were cut off, and nobody was told", lost)
			}
			s.stop()
			return
		}
		if said, err := s.repair(spoilt); err == nil || err.Error() != "exit status 5" || said["left"] == 0 || said["keys"] > 0 {
			t.Fatalf("repair from what lacks them too: %v %v", said, err)
		}
		if said, err := s.repair(x.copy); err != nil || said["keys"] == 0 || said["refused"] > 0 {
			t.Fatalf("repair: %v %v", said, err)
		}
		if n := x.missing(s); n > 0 {
			t.Errorf("%d keys are still lost", n)
		}
		s.stop()
		s, doctor = x.begin(t)
		if doctor.GetIntegrity() != "OK" {
			t.Errorf("after the repair: %s %q", doctor.GetIntegrity(), doctor.GetProblems())
		}
		s.stop()
	})
}

// TestDamagedAttempts: what was read before counts as before; what was not blocks every
// cap, and no sequence comes twice.
func TestDamagedAttempts(t *testing.T) {
	t.Parallel()
	x := newBeside(t)
	for _, projections := range []bool{true, false} {
		t.Run(fmt.Sprintf("projections %t", projections), func(t *testing.T) {
			x.each(t, stream.AttemptsStream, func(t *testing.T) {
				if !projections {
					removeAll(t, x.dir, "projections")
				}
				s, doctor := x.begin(t)
				if projections {
					if s.capped(floridian(40)) || doctor.GetIntegrity() != "OK" {
						t.Errorf("what was read before is forgotten: %s %q", doctor.GetIntegrity(), doctor.GetProblems())
					}
				} else if !s.capped(floridian(40)) || doctor.GetIntegrity() != "DAMAGED" {
					t.Errorf("a cap is open although attempts are lost: %s %q", doctor.GetIntegrity(), doctor.GetProblems())
				}
				x.b.must(s, stopped(fmt.Sprint("stop-", t.Name()), floridian(2)))
				if r := x.attempt(s, "after", floridian(3)); r.GetSequence() <= x.attempts {
					t.Errorf("message %d was used before", r.GetSequence())
				}
				s.stop()
				s, _ = x.begin(t)
				if s.capped(floridian(40)) == projections {
					t.Error("a restart made another answer of it")
				}
				s.stop()
			})
		})
	}
}

// TestDamagedCheckpoints: the newest is kept elsewhere too, so that nothing is refused.
func TestDamagedCheckpoints(t *testing.T) {
	t.Parallel()
	x := newBeside(t)
	x.each(t, stream.CheckpointsStream, func(t *testing.T) {
		s, doctor := x.begin(t)
		if doctor.GetIntegrity() != "OK" {
			t.Errorf("%s %q", doctor.GetIntegrity(), doctor.GetProblems())
		}
		r := x.b.must(s, stopped(fmt.Sprint("stop-", t.Name()), floridian(2)))
		until(t, startLimit, "a checkpoint", func(context.Context) bool {
			return s.doctor(&consentv1.DoctorRequest{}).GetApplied()["tree"] >= r.GetPosition()
		})
		s.stop()
		s, _ = x.begin(t)
		s.stop()
	})
}
