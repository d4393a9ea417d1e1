package e2e

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	gocmp "github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
	"github.com/consent-ledger/consent-ledger/test/testenv"
)

// scrubAll scrubs numbers in messages of a size, with each answer in a row of its own.
func scrubAll(t testing.TB, e *testenv.Env, q *consentv1.Question, numbers []string, size int, shared bool) (rows []*consentv1.ScrubRow) {
	t.Helper()
	st := e.Decision.Scrub(t.Context())
	sent := make(chan error, 1)
	go func() {
		for i, part := range slices.Collect(slices.Chunk(numbers, size)) {
			req := &consentv1.ScrubRequest{Numbers: part}
			if i%2 == 1 {
				req = &consentv1.ScrubRequest{Lines: []byte(strings.Join(part, "\n") + "\n")}
			}
			if i == 0 {
				req.Question, req.ShareAnswers = q, shared
			}
			if err := st.Send(req); err != nil {
				break // the answers say why
			}
		}
		sent <- st.CloseRequest()
	}()
	var given []*consentv1.ScrubRow
	for len(rows) < len(numbers) {
		res, err := st.Receive()
		if err != nil {
			t.Fatal(err)
		}
		if !shared {
			rows = append(rows, res.GetRows()...)
			continue
		}
		if res.GetRenumbered() {
			given = nil
		}
		given = append(given, res.GetRows()...)
		for _, a := range res.GetAnswers() {
			rows = append(rows, given[a])
		}
	}
	if err := cmp.Or(<-sent, st.CloseResponse()); err != nil {
		t.Fatal(err)
	}
	if len(rows) != len(numbers) {
		t.Fatalf("%d numbers, %d answers", len(numbers), len(rows))
	}
	return rows
}

// inShort is a decision as a scrub says it.
func inShort(d *consentv1.Decision) *consentv1.ScrubRow {
	row := &consentv1.ScrubRow{Verdict: d.GetVerdict(), Basis: d.GetBasis(), NextAllowedAt: d.GetNextAllowedAt(), Position: d.GetPosition(),
		Lists: d.GetLists(), At: d.GetAt()}
	for _, r := range d.GetReasons() {
		row.Reasons = append(row.Reasons, r.GetCode())
		row.Invalid = row.Invalid || r.GetCode() == "NUMBER_INVALID"
	}
	for _, p := range d.GetPacks() {
		row.Packs = append(row.Packs, p.GetId()+" "+p.GetVersion())
	}
	return row
}

// checkAll asks about each number by itself.
func checkAll(t testing.TB, e *testenv.Env, q *consentv1.Question, numbers []string) (rows []*consentv1.ScrubRow) {
	t.Helper()
	for part := range slices.Chunk(numbers, 1000) {
		req := &consentv1.CheckBatchRequest{}
		for _, n := range part {
			one := proto.CloneOf(q)
			one.Number = n
			req.Questions = append(req.Questions, one)
		}
		res, err := e.Decision.CheckBatch(t.Context(), connect.NewRequest(req))
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range res.Msg.GetDecisions() {
			rows = append(rows, inShort(d))
		}
	}
	return rows
}

// areaCodes lie in states with and without packs of their own, in Canada and in no
// country; some have several zones.
var areaCodes = []string{"212", "202", "850", "313", "415", "512", "405", "206", "416", "800", "242", "787", "317", "901"}

// fiction is a number nobody has, in one of the forms people write.
func fiction(r *rand.Rand) string {
	code, n := areaCodes[r.IntN(len(areaCodes))], r.IntN(100)
	switch r.IntN(12) {
	case 0:
		return fmt.Sprintf("(%s) 555-01%02d", code, n)
	case 1:
		return fmt.Sprintf("1-%s-555-01%02d", code, n)
	case 2:
		return fmt.Sprintf("+44 7700 900%03d", n)
	case 3:
		return fmt.Sprintf("+4416329600%02d", n)
	case 4:
		return []string{"", "call me", "12345", "+", "+999 1", "=1+1", "\x00", "555-0100"}[r.IntN(8)]
	case 5:
		return fmt.Sprintf("+33 6 39 98 00 %02d", n)
	}
	return fmt.Sprintf("+1%s55501%02d", code, n)
}

// anything is some fact about a number, of a kind that a decision looks at.
func anything(r *rand.Rand, id int) *consentv1.Fact {
	at := time.Now().Add(-time.Duration(1+r.IntN(90*24*60)) * time.Minute)
	f := &consentv1.Fact{Number: fiction(r), Sellers: []string{"acme"}, Source: "crm", EventId: fmt.Sprint("f", id), OccurredAt: timestamppb.New(at)}
	if r.IntN(8) == 0 {
		f.Sellers = []string{"other"}
	}
	scope := &consentv1.Scope{Channels: []consentv1.Channel{[]consentv1.Channel{consentv1.Channel_CHANNEL_SMS, consentv1.Channel_CHANNEL_VOICE_LIVE}[r.IntN(2)]},
		Purposes: []consentv1.Purpose{consentv1.Purpose_PURPOSE_MARKETING}}
	switch r.IntN(9) {
	case 0, 1, 2:
		level := []string{"express_written", "express", "implied", "opt_in"}[r.IntN(4)]
		f.Kind = &consentv1.Fact_ConsentGranted{ConsentGranted: &consentv1.ConsentGranted{Level: level, Scope: scope,
			Evidence: &consentv1.Evidence{Method: "web_form", Words: "I agree"}}}
	case 3:
		f.Kind = &consentv1.Fact_ConsentRevoked{ConsentRevoked: &consentv1.ConsentRevoked{Scope: scope, Words: "STOP"}}
	case 4:
		f.Sellers = nil
		f.Kind = &consentv1.Fact_ConsentRevoked{ConsentRevoked: &consentv1.ConsentRevoked{Words: "STOP"}}
	case 5:
		f.Kind = &consentv1.Fact_DncAdded{DncAdded: &consentv1.DncAdded{}}
		if r.IntN(3) == 0 {
			f.Party = fmt.Sprint("party-", r.IntN(5))
		}
	case 6:
		f.Kind = &consentv1.Fact_RelationshipRecorded{RelationshipRecorded: &consentv1.RelationshipRecorded{
			Relationship: consentv1.RelationshipKind_RELATIONSHIP_KIND_PURCHASE, Phase: consentv1.RelationshipPhase_RELATIONSHIP_PHASE_START}}
	case 7:
		f.Kind = &consentv1.Fact_LocationRecorded{LocationRecorded: &consentv1.LocationRecorded{Region: "US-FL", TimeZone: "America/New_York", Basis: "address"}}
	case 8:
		f.Kind = &consentv1.Fact_NumberReassigned{NumberReassigned: &consentv1.NumberReassigned{}}
	}
	return f
}

// busyWorld has two sellers, lists for some area codes, licensed and not, a change
// list, attempts, an emergency and hundreds of facts.
func busyWorld(t *testing.T, r *rand.Rand) *testenv.Env {
	e := testenv.New(t)
	e.Seller("acme")
	e.Seller("other")
	var first, change, state strings.Builder
	for _, code := range areaCodes[:10] {
		for n := range 100 {
			switch r.IntN(4) {
			case 0:
				fmt.Fprintf(&first, "%s,55501%02d\n", code, n)
			case 1:
				fmt.Fprintf(&change, "%s,55501%02d,%s,A\n", code, n, daysAgo(8))
			case 2:
				fmt.Fprintf(&state, "%s,55501%02d\n", code, n)
			}
		}
	}
	mustLoad(t, e, &consentv1.RegistryFile{VersionDate: daysAgo(9), Name: "list.txt"}, first.String())
	mustLoad(t, e, &consentv1.RegistryFile{VersionDate: daysAgo(8), Name: "changes.txt", Plan: &consentv1.RegistryPlan{BaseDate: daysAgo(9)}}, change.String())
	mustLoad(t, e, &consentv1.RegistryFile{Registry: "us_tx_no_call", VersionDate: daysAgo(2), Name: "list.txt", Licensees: []string{"acme"}}, state.String())
	mustLoad(t, e, &consentv1.RegistryFile{Registry: "us_in_dnc", VersionDate: daysAgo(2), Name: "list.txt", Licensees: []string{"other"}}, state.String())
	for i := range 700 {
		if _, err := e.Ledger.Record(t.Context(), connect.NewRequest(&consentv1.RecordRequest{Fact: anything(r, i)})); err != nil &&
			connect.CodeOf(err) != connect.CodeInvalidArgument {
			t.Fatal(err)
		}
	}
	for i := range 150 {
		at := timestamppb.New(time.Now().Add(-time.Duration(r.IntN(72)) * time.Hour))
		a := &consentv1.Attempt{Number: fiction(r), Seller: "acme", Channel: consentv1.Channel_CHANNEL_VOICE_LIVE,
			Purpose: consentv1.Purpose_PURPOSE_MARKETING, Reference: fmt.Sprint("call-", i), At: at}
		_, err := e.Attempt.RecordAttempt(t.Context(), connect.NewRequest(&consentv1.RecordAttemptRequest{Attempt: a}))
		if err != nil && connect.CodeOf(err) != connect.CodeInvalidArgument {
			t.Fatal(err)
		}
	}
	return e
}

// TestScrubIsManyChecks: every row of a scrub says what a check of that number
// says, whatever is known of it, on whatever list it stands, at whatever hour.
func TestScrubIsManyChecks(t *testing.T) {
	r := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	e := busyWorld(t, r)
	numbers := make([]string, 4000)
	for i := range numbers {
		numbers[i] = fiction(r)
	}
	noon := question().GetAt().AsTime()
	for _, channel := range []consentv1.Channel{consentv1.Channel_CHANNEL_SMS, consentv1.Channel_CHANNEL_VOICE_LIVE} {
		for _, hours := range []int{0, 3, 9, 5 * 24, 40 * 24} {
			q := &consentv1.Question{Seller: "acme", Channel: channel, Purpose: consentv1.Purpose_PURPOSE_MARKETING,
				At: timestamppb.New(noon.Add(time.Duration(hours) * time.Hour))}
			want := checkAll(t, e, q, numbers)
			sameRows(t, fmt.Sprint(channel, " +", hours, "h"), numbers, want, scrubAll(t, e, q, numbers, 1+r.IntN(1500), true))
		}
	}
	// About the past, as of then, of another purpose, and with a row for each number.
	few := numbers[:400]
	for _, q := range []*consentv1.Question{
		{At: timestamppb.New(time.Now().AddDate(0, 0, -20))},
		{At: timestamppb.New(noon), AsOf: timestamppb.New(time.Now().AddDate(0, 0, -1))}, // nothing was known then
		{At: timestamppb.New(noon), AsOf: timestamppb.Now()},
		{At: timestamppb.New(noon), Purpose: consentv1.Purpose_PURPOSE_TRANSACTIONAL},
	} {
		q.Seller, q.Channel, q.Purpose = "acme", consentv1.Channel_CHANNEL_VOICE_LIVE, cmp.Or(q.Purpose, consentv1.Purpose_PURPOSE_MARKETING)
		sameRows(t, q.String(), few, checkAll(t, e, q, few), scrubAll(t, e, q, few, 77, false))
	}
}

func sameRows(t *testing.T, what string, numbers []string, want, got []*consentv1.ScrubRow) {
	t.Helper()
	verdicts := map[consentv1.Verdict]int{}
	for i := range want {
		verdicts[want[i].GetVerdict()]++
		if diff := gocmp.Diff(want[i], got[i], protocmp.Transform()); diff != "" {
			t.Fatalf("%s: %q: a check (-) and the scrub (+) differ:\n%s", what, numbers[i], diff)
		}
	}
	t.Logf("%s: %v", what, verdicts)
}

// TestScrubAgainstSets: a naive model of three sets (listed, granted, stopped)
// says of each row what the scrub says.
func TestScrubAgainstSets(t *testing.T) {
	e := testenv.New(t)
	e.Seller("acme")
	r := rand.New(rand.NewPCG(7, 7))
	number := func(i int) string { return fmt.Sprintf("+121255501%02d", i) }
	listed, granted, stopped := map[int]bool{}, map[int]bool{}, map[int]bool{}
	var list strings.Builder
	for i := range 100 {
		if listed[i] = r.IntN(3) == 0; listed[i] {
			fmt.Fprintf(&list, "212,55501%02d\n", i)
		}
	}
	mustLoad(t, e, &consentv1.RegistryFile{VersionDate: daysAgo(3), Name: "list.txt"}, list.String())
	events := 0
	rapid.Check(t, func(rt *rapid.T) {
		for range rapid.IntRange(0, 6).Draw(rt, "facts") {
			i, f := rapid.IntRange(0, 99).Draw(rt, "number"), grant(fmt.Sprint("m", events), time.Now())
			events++
			if rapid.Bool().Draw(rt, "stop") {
				f.Kind = &consentv1.Fact_ConsentRevoked{ConsentRevoked: &consentv1.ConsentRevoked{}}
				stopped[i] = true
			} else {
				granted[i], stopped[i] = true, false
			}
			f.Number = number(i)
			e.Must(f)
		}
		asked := rapid.SliceOfN(rapid.IntRange(0, 99), 1, 60).Draw(rt, "asked")
		numbers := make([]string, len(asked))
		for k, i := range asked {
			numbers[k] = number(i)
		}
		for k, row := range scrubAll(t, e, question(), numbers, rapid.IntRange(1, 20).Draw(rt, "size"), rapid.Bool().Draw(rt, "shared")) {
			i := asked[k]
			allow := row.GetVerdict() == consentv1.Verdict_VERDICT_ALLOW
			if want := granted[i] && !stopped[i]; allow != want {
				rt.Fatalf("number %d: granted %t, stopped %t, listed %t: %v", i, granted[i], stopped[i], listed[i], row)
			}
			if got := slices.Contains(row.GetReasons(), "CONSENT_REVOKED"); got != stopped[i] {
				rt.Fatalf("number %d: stopped %t: %v", i, stopped[i], row)
			}
			if got := slices.Contains(row.GetReasons(), "REGISTRY_LISTED"); !allow && got != listed[i] {
				rt.Fatalf("number %d: listed %t: %v", i, listed[i], row)
			}
			if l := row.GetLists(); len(l) != 1 || l[0].GetListed() != listed[i] || l[0].GetVersionDate() != daysAgo(3) {
				rt.Fatalf("number %d: listed %t: lists %v", i, listed[i], l)
			}
		}
	})
}
