package faults

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"connectrpc.com/connect"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

const national = "us_national_dnc"

// The first list of TestKill9WhileAListLoads has the one number, all later ones
// the other, and many besides.
const onFirst, onLater = "+12125550101", "+12125550102"

// bigList is a flat list long enough to be killed in the middle of.
func bigList(round int) []byte {
	b := bytes.NewBufferString("212,5550102\n")
	for i := range 400_000 {
		fmt.Fprintf(b, "%d,%07d\n", 305+i%2*110, 2_000_000+i*5+round)
	}
	return b.Bytes()
}

// sendList loads a list from where an earlier try broke off; begun is told when
// its bytes have been sent.
func (s *server) sendList(ctx context.Context, day string, text []byte, begun func()) (*consentv1.LoadRegistryResponse, error) {
	sum := sha256.Sum256(text)
	at, err := s.client.Ledger.GetRegistryLoad(ctx, connect.NewRequest(&consentv1.GetRegistryLoadRequest{Registry: national, Sha256: [][]byte{sum[:]}}))
	if err != nil {
		return nil, err
	}
	offset := at.Msg.GetStaged()[0]
	st := s.client.Ledger.LoadRegistry(ctx)
	about := &consentv1.RegistryFile{Registry: national, VersionDate: day, Name: "list.txt", Sha256: sum[:], Offset: offset,
		Plan: &consentv1.RegistryPlan{AreaCodes: []string{"212", "305", "415"}, AcceptEmpty: true, AcceptShrunk: true}} // no version has a number of the one before
	for rest := text[offset:]; len(rest) > 0; about = nil {
		n := min(len(rest), 64<<10)
		if err := st.Send(&consentv1.LoadRegistryRequest{File: about, Chunk: rest[:n]}); err != nil {
			break // the answer says why
		}
		if rest = rest[n:]; len(rest) < len(text)/2 {
			begun()
		}
	}
	res, err := st.CloseAndReceive()
	if err != nil {
		return nil, err
	}
	return res.Msg, nil
}

// listed asks which list answers about a number, and how.
func (s *server) listed(number string) *consentv1.ListUse {
	s.t.Helper()
	res, err := s.client.Decisions.Check(s.t.Context(), connect.NewRequest(&consentv1.CheckRequest{Question: &consentv1.Question{Number: number,
		Seller: "acme", Channel: consentv1.Channel_CHANNEL_VOICE_LIVE, Purpose: consentv1.Purpose_PURPOSE_MARKETING}}))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, l := range res.Msg.GetDecision().GetLists() {
		if l.GetRegistry() == national {
			return l
		}
	}
	s.t.Fatalf("no list is named: %v", res.Msg)
	return nil
}

// TestKill9WhileAListLoads: whenever the server is killed, the list of before
// answers afterwards, or the new one, whole; and the same load, run again, goes
// through and adds nothing twice.
func TestKill9WhileAListLoads(t *testing.T) {
	dir, r := filepath.Join(t.TempDir(), "ledger"), random(t)
	initLedger(t, dir)
	s := serve(t, dir)
	if _, err := s.client.Record(t.Context(), &consentv1.RecordRequest{Fact: &consentv1.Fact{Source: "test", EventId: "seller",
		Kind: &consentv1.Fact_SellerRegistered{SellerRegistered: &consentv1.SellerRegistered{Id: "acme"}}}}); err != nil {
		t.Fatal(err)
	}
	day := func(ago int) string { return time.Now().UTC().AddDate(0, 0, -ago).Format(time.DateOnly) }
	const rounds = 8
	if _, err := s.sendList(t.Context(), day(rounds+1), []byte("212,5550101\n"), func() {}); err != nil {
		t.Fatal(err)
	}
	before := day(rounds + 1)
	for round := range rounds {
		text, next := bigList(round), day(rounds-round)
		half := make(chan struct{}, 1<<10)
		ended := make(chan error, 1)
		go func() {
			_, err := s.sendList(t.Context(), next, text, func() { half <- struct{}{} })
			ended <- err
		}()
		<-half
		wait := time.NewTimer(time.Duration(r.IntN(400)) * time.Millisecond) // from the middle of the file to after the answer
		<-wait.C
		s.kill()
		killed := <-ended
		s = serve(t, dir)
		until(t, startLimit, "an answer from the list", func(context.Context) bool { return s.listed(onFirst).GetVersionDate() != "" })
		a, b := s.listed(onFirst), s.listed(onLater)
		is := a.GetVersionDate()
		if is != before && is != next || a.GetListed() != (is == day(rounds+1)) || b.GetListed() == a.GetListed() || b.GetVersionDate() != is {
			t.Fatalf("round %d: after the kill (%v) the lists are %v and %v", round, killed, a, b)
		}
		if killed == nil && is != next {
			t.Fatalf("round %d: a list that was acknowledged is gone", round)
		}
		res, err := s.sendList(t.Context(), next, text, func() {})
		if err != nil {
			t.Fatalf("round %d: load again: %v", round, err)
		}
		if res.GetRows() != 400_001 || res.GetReceipt().GetDuplicate() != (is == next) {
			t.Fatalf("round %d: after %s: %v", round, is, res)
		}
		before = next
	}
	if hash := s.doctor(&consentv1.DoctorRequest{StateHash: true}); len(hash.GetProblems()) > 0 {
		t.Errorf("problems: %q", hash.GetProblems())
	}
}
