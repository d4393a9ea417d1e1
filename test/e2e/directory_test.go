package e2e

import (
	"bytes"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/directory"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
	"github.com/consent-ledger/consent-ledger/test/testenv"
)

// history is everything that a stranger is shown about a number.
type history struct {
	shown   directory.Shown
	entries []*ledger.Entry
}

// historyOf commits a directory and takes out what proves a number complete.
func historyOf(t *testing.T, e *testenv.Env, number string) (h history) {
	t.Helper()
	c, err := e.Node.Directory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}()
	h.shown.Number = number
	if h.shown.Token, h.shown.Proof, err = c.Prove(number); err != nil {
		t.Fatal(err)
	}
	positions, err := c.Positions(number)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range positions {
		entry, err := e.Node.Reader().Entry(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		h.entries = append(h.entries, entry)
		h.shown.Events = append(h.shown.Events, directory.Event{Position: at, Leaf: ledger.LeafHash(entry.Bytes)})
	}
	entry, err := e.Node.Reader().Entry(t.Context(), c.Position)
	if err != nil {
		t.Fatal(err)
	}
	h.shown.Directory = bytes.Clone(entry.Bytes)
	return h
}

// complete checks a history as a stranger would, and gives the kinds in it.
func (h history) complete(t *testing.T) (kinds []string) {
	t.Helper()
	a, err := directory.Verify(h.shown)
	if err != nil || a.Complete != len(h.shown.Events) {
		t.Fatalf("%+v, %v", a, err)
	}
	for _, e := range h.entries {
		kinds = append(kinds, string(ledger.KindOf(e.Fact())))
	}
	for i := range h.shown.Events {
		without := h.shown
		without.Events = slices.Delete(slices.Clone(h.shown.Events), i, i+1)
		if _, err := directory.Verify(without); !errors.Is(err, directory.ErrRefuted) {
			t.Errorf("event %d of %d left out: %v", i, len(h.shown.Events), err)
		}
	}
	return kinds
}

func sameKinds(t *testing.T, got []string, want string) {
	t.Helper()
	if strings.Join(got, " ") != want {
		t.Errorf("the history is %v, want %s", got, want)
	}
}

// TestCompleteHistory: every event of a number is in its history, through a change of
// holder, an erasure and what comes after it; nothing earlier stops being proven.
func TestCompleteHistory(t *testing.T) {
	const other, never = "+12125550144", "+12125550145"
	e := testenv.New(t)
	e.Seller("acme")
	hour := time.Now().Add(-time.Hour)
	e.Must(grant("g1", hour))
	e.Must(&consentv1.Fact{Number: number, Source: "carrier", EventId: "r1", Kind: &consentv1.Fact_NumberReassigned{
		NumberReassigned: &consentv1.NumberReassigned{Result: consentv1.QueryResult_QUERY_RESULT_YES}}})
	g2 := grant("g2", hour.Add(2*time.Minute))
	e.Must(g2)
	second := proto.CloneOf(g2)
	second.Number, second.EventId = other, "g3"
	e.Must(second)

	first := historyOf(t, e, number)
	sameKinds(t, first.complete(t), "consent_granted number_reassigned consent_granted")
	if a, b := first.entries[0].Msg, first.entries[2].Msg; bytes.Equal(a.GetPerson(), b.GetPerson()) {
		t.Error("two holders are one person: this test shows less than it should")
	}
	sameKinds(t, historyOf(t, e, other).complete(t), "consent_granted")
	sameKinds(t, historyOf(t, e, never).complete(t), "")

	if _, err := e.Ledger.Erase(t.Context(), connect.NewRequest(&consentv1.EraseRequest{Number: number, Reason: "erasure_request"})); err != nil {
		t.Fatal(err)
	}
	e.Must(grant("g4", time.Now()))
	sameKinds(t, historyOf(t, e, number).complete(t), "consent_granted number_reassigned consent_granted person_erased consent_granted")
	first.complete(t) // as it was handed out before

	statement := directoryOf(t, e)
	e.Restart() // a clean stop has nothing left to commit, and the next start neither
	if now := directoryOf(t, e); now != statement {
		t.Errorf("after a restart the directory is %q, before it %q", now, statement)
	}
	e.Stop()
	if err := os.RemoveAll(filepath.Join(e.Dir, "directory")); err != nil {
		t.Fatal(err)
	}
	e.Start()
	again := historyOf(t, e, number)
	sameKinds(t, again.complete(t), "consent_granted number_reassigned consent_granted person_erased consent_granted")
	if root := rootOf(t, again); root != rootOf(t, historyOf(t, e, other)) {
		t.Error("two numbers of one moment are proven under two roots")
	}
}

func rootOf(t *testing.T, h history) ledger.Hash {
	t.Helper()
	s, err := directory.ReadStatement(h.shown.Directory)
	if err != nil {
		t.Fatal(err)
	}
	return s.Root
}

// directoryOf waits until doctor says that every entry is in a directory, and gives
// what it says of the last.
func directoryOf(t *testing.T, e *testenv.Env) string {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; {
		res, err := e.Ledger.Doctor(t.Context(), connect.NewRequest(&consentv1.DoctorRequest{}))
		if err != nil {
			t.Fatal(err)
		}
		if d := res.Msg.GetDirectory(); d.GetUncommitted() == 0 && d.GetPosition() > 0 {
			return d.String()
		}
		if time.Now().After(deadline) {
			t.Fatalf("doctor says %v", res.Msg.GetDirectory())
		}
		<-time.After(10 * time.Millisecond)
	}
}

// TestDirectoryIsCommitted: a server that stops commits what came; an export commits
// before it; metrics show the age.
func TestDirectoryIsCommitted(t *testing.T) {
	e := testenv.New(t)
	e.Seller("acme")
	e.Must(grant("g1", time.Now().Add(-time.Hour)))
	e.Restart()
	res, err := e.Ledger.Doctor(t.Context(), connect.NewRequest(&consentv1.DoctorRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	directoryOf(t, e) // nothing was committed since the restart: it was at the stop
	if d := res.Msg.GetDirectory(); d.GetPosition() >= res.Msg.GetPosition() {
		t.Errorf("directory at %d, although the ledger's tail is a writer's start at %d", d.GetPosition(), res.Msg.GetPosition())
	}
	forged := &consentv1.Fact{Source: "crm", EventId: "d1", Kind: &consentv1.Fact_DirectoryCommitted{DirectoryCommitted: &consentv1.DirectoryCommitted{Format: 1}}}
	if _, err := e.Ledger.Record(t.Context(), connect.NewRequest(&consentv1.RecordRequest{Fact: forged})); connect.CodeOf(err) != connect.CodeInvalidArgument {
		t.Errorf("somebody else recorded a directory: %v", err)
	}
	receipt := e.Must(grant("g2", time.Now()))
	st, err := e.Export.Export(t.Context(), connect.NewRequest(&consentv1.ExportRequest{Number: number}))
	if err != nil {
		t.Fatal(err)
	}
	for st.Receive() {
		continue
	}
	if err := errors.Join(st.Err(), st.Close()); err != nil {
		t.Fatal(err)
	}
	directoryOf(t, e)
	res, err = e.Ledger.Doctor(t.Context(), connect.NewRequest(&consentv1.DoctorRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	if d := res.Msg.GetDirectory(); d.GetCoversPosition() < receipt.GetPosition() || d.GetNumbers() != 1 {
		t.Errorf("after an export the directory is %v, the last event at %d", d, receipt.GetPosition())
	}
	page, err := http.Get(e.Node.URL() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer page.Body.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(page.Body); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`consent_directory_age_seconds [0-9.]+\n`, `consent_directory_uncommitted_entries 0\n`, `consent_directory_position [1-9]`} {
		if !regexp.MustCompile(want).Match(text.Bytes()) {
			t.Errorf("metrics lack %s", want)
		}
	}
}
