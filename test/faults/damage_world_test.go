package faults

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"github.com/consent-ledger/consent-ledger/ledger/stream"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// damaged is a ledger that each row of the damage table breaks anew: some numbers
// with consent, one of them stopped, in several files of the stream, and a whole copy.
type damaged struct {
	t         *testing.T
	dir, copy string
	b         *book
	ids       []string // events whose receipts each row looks for
	acked     uint64
	stopped   string            // its number
	commits   [][]byte          // of the stream, as they were
	headers   []int64           // how long each one's headers are in its record
	hash      map[string]string // state
}

// Records of JetStream's files: length (4), sequence (8), time (8), length of the
// subject (2), subject, length of the headers (4), headers, message, checksum (8).
const (
	recordHead = 22
	recordSum  = 8
)

// region is a part of a record: where it is in one that has so many bytes of headers
// and is so long.
type region struct {
	name string
	at   func(headers, length int64) int64
}

var (
	subjectBytes = int64(len(stream.LedgerSubject))
	regions      = []region{
		{"length", func(_, _ int64) int64 { return 1 }},
		{"sequence", func(_, _ int64) int64 { return 5 }},
		{"time", func(_, _ int64) int64 { return 15 }},
		{"length of the subject", func(_, _ int64) int64 { return 20 }},
		{"subject", func(_, _ int64) int64 { return recordHead + 3 }},
		{"length of the headers", func(_, _ int64) int64 { return recordHead + subjectBytes }},
		{"headers", func(_, _ int64) int64 { return recordHead + subjectBytes + 4 + 12 }},
		{"first byte of the message", func(headers, _ int64) int64 { return recordHead + subjectBytes + 4 + headers }},
		{"middle of the message", func(headers, length int64) int64 { return (recordHead + subjectBytes + 4 + headers + length) / 2 }},
		{"last byte of the message", func(_, length int64) int64 { return length - recordSum - 1 }},
		{"checksum", func(_, length int64) int64 { return length - 3 }},
	}
)

func newDamaged(t *testing.T) *damaged {
	t.Helper()
	root := t.TempDir()
	d := &damaged{t: t, dir: filepath.Join(root, "ledger"), copy: filepath.Join(root, "copy"), b: newBook(t), stopped: number(7)}
	initLedger(t, d.dir)
	s := serve(t, d.dir)
	d.b.must(s, seller())
	single := func(n int) {
		for range n {
			d.b.must(s, grant("g-"+strconv.Itoa(len(d.ids)), number(len(d.ids)), len(d.ids)))
			d.ids = append(d.ids, "g-"+strconv.Itoa(len(d.ids)))
		}
	}
	single(30)
	var many []*consentv1.Fact // JetStream begins another file every 2 MiB
	for i := range 1500 {
		f := grant("many-"+strconv.Itoa(i), number(1000+i), i)
		f.GetConsentGranted().Evidence.Words = strings.Repeat("I agree to be texted. ", 90)
		many = append(many, f)
	}
	d.b.send(many...)
	d.b.sendAgain(s, many)
	single(30)
	d.b.must(s, stopped("stop", d.stopped))
	d.ids = append(d.ids, "seller-acme", "stop", "many-0", "many-700", "many-1499")
	s.stop()
	s = serve(t, d.dir)
	doctor := s.doctor(&consentv1.DoctorRequest{StateHash: true})
	d.acked, d.hash = doctor.GetPosition(), doctor.GetStateHash()
	d.commits, d.headers = s.stored()
	s.stop()
	copyFolder(t, d.dir, d.copy)
	if n := len(d.blocks()); n < 2 {
		t.Fatalf("the stream lies in %d files, the table needs more", n)
	}
	return d
}

// stored reads the stream's messages as an outsider may.
func (s *server) stored() (commits [][]byte, headers []int64) {
	s.t.Helper()
	l, err := s.outside().Stream(s.t.Context(), stream.LedgerStream)
	if err != nil {
		s.t.Fatal(err)
	}
	for seq := uint64(1); seq <= l.CachedInfo().State.LastSeq; seq++ {
		m, err := l.GetMsg(s.t.Context(), seq)
		if err != nil {
			s.t.Fatalf("message %d: %v", seq, err)
		}
		length := int64(len("NATS/1.0\r\n\r\n"))
		for name, values := range m.Header {
			for _, v := range values {
				length += int64(len(name) + len(": \r\n") + len(v))
			}
		}
		commits, headers = append(commits, m.Data), append(headers, length)
	}
	return commits, headers
}

// anew puts the whole copy in the folder's place.
func (d *damaged) anew() { copyFolder(d.t, d.copy, d.dir) }

// blocks are the stream's files, oldest first.
func (d *damaged) blocks() []string {
	blocks, err := filepath.Glob(filepath.Join(d.dir, "jetstream", "jetstream", "*", "streams", stream.LedgerStream, "msgs", "*.blk"))
	if err != nil {
		d.t.Fatal(err)
	}
	slices.SortFunc(blocks, func(a, b string) int { return cmp.Or(len(a)-len(b), strings.Compare(a, b)) })
	return slices.DeleteFunc(blocks, func(b string) bool { info, err := os.Stat(b); return err != nil || info.Size() == 0 })
}

// record gives the file and the place in it of a message's record, and its length.
func (d *damaged) record(seq int) (file string, off, length int64) {
	d.t.Helper()
	blocks := d.blocks()
	for i := 1; i <= len(d.commits); i++ {
		info, err := os.Stat(blocks[0])
		if err != nil {
			d.t.Fatal(err)
		}
		if off == info.Size() {
			blocks, off = blocks[1:], 0
		}
		length = recordHead + subjectBytes + 4 + d.headers[i-1] + int64(len(d.commits[i-1])) + recordSum
		if i == seq {
			return blocks[0], off, length
		}
		off += length
	}
	d.t.Fatalf("there is no message %d", seq)
	return "", 0, 0
}

// seqOf is the message of an event.
func (d *damaged) seqOf(event string) int {
	d.t.Helper()
	at := d.b.receipts[event].GetPosition()
	for i, data := range d.commits {
		var c consentv1.Commit
		if err := proto.Unmarshal(data, &c); err != nil {
			d.t.Fatal(err)
		}
		if at >= c.GetFirstPosition() && at < c.GetFirstPosition()+uint64(len(c.GetEntries())) {
			return i + 1
		}
	}
	d.t.Fatalf("no message holds %s", event)
	return 0
}

// loseOne damages one grant, that of g-3, of which the tree has no copy either.
func (d *damaged) loseOne() {
	d.withoutTail()
	d.flipIn(d.seqOf("g-3"), regions[8], true)
}

// known damages the same one, and lets a server find it.
func (d *damaged) known(t *testing.T) {
	t.Helper()
	d.loseOne()
	s := serve(t, d.dir)
	if got := s.scrubbed().GetIntegrity(); got != "DAMAGED" {
		t.Fatalf("integrity %s", got)
	}
	s.stop()
}

// flip turns one bit of a file.
func (d *damaged) flip(file string, off int64) {
	d.t.Helper()
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], off); err != nil {
		d.t.Fatal(err)
	}
	b[0] ^= 0x10
	if _, err := f.WriteAt(b[:], off); err != nil {
		d.t.Fatal(err)
	}
}

// withoutIndex takes away what JetStream writes at a clean stop, as a crash does.
func (d *damaged) withoutIndex() {
	for _, b := range d.blocks()[:1] {
		_ = os.Remove(filepath.Join(filepath.Dir(b), "index.db")) // it need not be there
	}
}

// scrubbed waits until a start's scrubber has read everything once.
func (s *server) scrubbed() *consentv1.DoctorResponse {
	s.t.Helper()
	var d *consentv1.DoctorResponse
	until(s.t, startLimit, "a pass of the scrubber", func(context.Context) bool {
		d = s.doctor(&consentv1.DoctorRequest{})
		return d.GetScrub().GetFinishedAt().AsTime().After(s.began)
	})
	return d
}

// check asks about a number, for what may be said at any hour.
func (s *server) check(number string) *consentv1.Decision {
	s.t.Helper()
	res, err := s.client.Decisions.Check(s.t.Context(), connect.NewRequest(&consentv1.CheckRequest{Question: &consentv1.Question{Number: number, Seller: "acme",
		Channel: consentv1.Channel_CHANNEL_SMS, Purpose: consentv1.Purpose_PURPOSE_INFORMATIONAL}}))
	if err != nil {
		s.t.Fatalf("check: %v\n%s", err, s.stderr)
	}
	return res.Msg.GetDecision()
}

func codes(d *consentv1.Decision) (out []string) {
	for _, r := range d.GetReasons() {
		out = append(out, r.GetCode())
	}
	return out
}

// repair runs the verb, and gives what it printed.
func (s *server) repair(from ...string) (map[string]int, error) {
	s.t.Helper()
	args := []string{"repair", "--server", s.url, "--key-file", filepath.Join(s.dir, "admin.key"), "-o", "json"}
	for _, f := range from {
		if !strings.HasPrefix(f, "-") {
			f = "--from=" + f
		}
		args = append(args, f)
	}
	cmd := exec.Command(program, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	s.t.Log(strings.TrimSpace(string(out) + stderr.String()))
	said := map[string]int{}
	if jerr := json.Unmarshal(out, &said); jerr != nil {
		s.t.Fatalf("repair: %v %v\n%s\n%s", err, jerr, out, &stderr)
	}
	return said, err
}

// withoutTail takes away the tree's own copies of the newest messages.
func (d *damaged) withoutTail() {
	for _, f := range []string{"tail-0", "tail-1"} {
		if err := os.Remove(filepath.Join(d.dir, "tree", f)); err != nil {
			d.t.Fatal(err)
		}
	}
}

// start starts a server on the folder; nil and what it said if that is refused.
func (d *damaged) start(flags ...string) (*server, string) {
	d.t.Helper()
	s := launch(d.t, d.dir, flags...)
	refused := false
	until(d.t, startLimit, "start", func(context.Context) bool {
		select {
		case <-s.ended:
			refused = true
		default:
		}
		return refused || s.find()
	})
	if !refused {
		return s, ""
	}
	if code := s.exit(startLimit); code != 1 {
		d.t.Fatalf("a refused start has exit code %d:\n%s", code, s.stderr)
	}
	return nil, lastLine(s)
}

// row breaks the whole folder and demands one of the states that are named, and
// what holds in each of them. A start may be refused once where `again` says so.
func (d *damaged) row(t *testing.T, breaks func(), again bool, states ...string) {
	t.Helper()
	d.t, d.b.t = t, t
	d.anew()
	breaks()
	s, said := d.start()
	if s == nil && again && strings.Contains(said, "start again") {
		s, said = d.start()
	}
	if s == nil {
		if !slices.ContainsFunc(states, func(state string) bool {
			return strings.HasPrefix(state, "refused ") && strings.Contains(said, state[len("refused "):])
		}) {
			t.Fatalf("want %q, the start is refused: %s", states, said)
		}
		return
	}
	defer s.stop()
	doctor := s.scrubbed()
	state, mended := doctor.GetIntegrity(), slices.ContainsFunc(doctor.GetDamages(), (*consentv1.Damage).GetMended)
	if mended {
		state += ", mended"
	}
	if !slices.Contains(states, state) {
		t.Fatalf("want %q, it is %s: %q", states, state, doctor.GetProblems())
	}
	d.answers(s, doctor)
	// Nothing is recorded at a place that was taken, and a stop is taken in every state.
	stop := "stop-" + t.Name()
	if r := d.b.must(s, stopped(stop, number(20))); r.GetPosition() <= d.acked {
		t.Errorf("position %d was used before", r.GetPosition())
	}
	if state == "DAMAGED" {
		d.mend(s)
	}
	d.verify(s)
}

// answers demands BLOCK for what is lost or stopped, and an answer for the rest.
func (d *damaged) answers(s *server, doctor *consentv1.DoctorResponse) {
	d.t.Helper()
	lost := map[uint64]bool{}
	// At the very end the projections look at their last entry again, and wait for it.
	everybody := slices.ContainsFunc(doctor.GetProblems(), func(p string) bool { return strings.Contains(p, "wait for it") })
	for _, m := range doctor.GetDamages() {
		for at := m.GetFirst(); at <= m.GetLast() && !m.GetMended(); at++ {
			lost[at] = true
		}
		everybody = everybody || m.GetEverybody()
	}
	if c := s.check(d.stopped); c.GetVerdict() != consentv1.Verdict_VERDICT_BLOCK {
		d.t.Errorf("a number that asked to stop: %s %q", c.GetVerdict(), codes(c))
	}
	for event, n := range map[string]int{"g-3": 3, "g-25": 25, "g-40": 40, "g-59": 59, "many-0": 1000, "many-700": 1700, "many-1499": 2499} {
		c := s.check(number(n))
		broken := slices.Contains(codes(c), "LEDGER_INTEGRITY")
		if want := everybody || lost[d.b.receipts[event].GetPosition()]; broken != want || (c.GetVerdict() == consentv1.Verdict_VERDICT_ALLOW) == want {
			d.t.Errorf("%s: %s %q; is anything lost about it: %t", event, c.GetVerdict(), codes(c), want)
		}
	}
}

// mend puts everything back from the copy.
func (d *damaged) mend(s *server) {
	d.t.Helper()
	if said, err := s.repair(d.copy); err != nil || said["left"] != 0 || said["mended"] == 0 || said["refused"] != 0 {
		d.t.Fatalf("repair: %v %v", said, err)
	}
	if doctor := s.doctor(&consentv1.DoctorRequest{}); doctor.GetIntegrity() != "OK" {
		d.t.Fatalf("after the repair: %s %q", doctor.GetIntegrity(), doctor.GetProblems())
	}
}

// verify demands every byte that was recorded, and the same state from it.
func (d *damaged) verify(s *server) {
	d.t.Helper()
	d.b.verify(s, d.ids)
	var g errgroup.Group
	g.SetLimit(8)
	for _, data := range d.commits {
		var c consentv1.Commit
		if err := proto.Unmarshal(data, &c); err != nil {
			d.t.Fatal(err)
		}
		for i, entry := range c.GetEntries() {
			g.Go(func() error {
				at := c.GetFirstPosition() + uint64(i)
				res, err := s.client.Ledger.GetReceipt(d.t.Context(), connect.NewRequest(&consentv1.GetReceiptRequest{Position: at}))
				if err != nil || !bytes.Equal(res.Msg.GetEntry(), entry) {
					return fmt.Errorf("position %d is not what was recorded: %v", at, err)
				}
				return nil
			})
		}
	}
	if err := g.Wait(); err != nil {
		d.t.Fatal(err)
	}
	before := s.stateHash()
	if after := s.rebuild(); !maps.Equal(before, after) {
		d.t.Errorf("a rebuild gives another state: %v, it was %v", after, before)
	}
}
