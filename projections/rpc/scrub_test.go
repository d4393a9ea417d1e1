package rpc

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// TestSharedAnswersAreTheRows: what a client puts together from shared answers is
// the answer of each row, through every new numbering.
func TestSharedAnswersAreTheRows(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	counted := map[uint64]int{}
	s := &sender{shared: true, observe: func(d *consentv1.Decision, n int, _ time.Duration) { counted[d.GetPosition()] += n }}
	var given []*consentv1.ScrubRow
	var next uint64
	var recent []*said
	rows, renumbered, sent := 0, 0, map[uint64]int{}
	for message := range 400 {
		if message%150 == 0 {
			s.renumber() // another view
		}
		var all []*said
		for range r.IntN(2000) {
			if len(recent) == 0 || r.IntN(3) == 0 {
				next++
				recent = append(recent, &said{row: &consentv1.ScrubRow{Position: next}, decision: &consentv1.Decision{Position: next}})
			}
			a := recent[r.IntN(len(recent))]
			sent[a.row.GetPosition()]++
			all = append(all, a)
		}
		res := s.numbered(all)
		if res.GetRenumbered() {
			given, renumbered = nil, renumbered+1
		}
		if given = append(given, res.GetRows()...); len(given) > sharedAnswersMax+2000 {
			t.Fatalf("a client must remember %d answers", len(given))
		}
		if len(res.GetAnswers()) != len(all) {
			t.Fatalf("%d answers for %d rows", len(res.GetAnswers()), len(all))
		}
		for i, a := range res.GetAnswers() {
			if given[a] != all[i].row {
				t.Fatalf("message %d, row %d has the answer of another", message, i)
			}
			rows++
		}
	}
	if renumbered < 3 {
		t.Errorf("numbered anew %d times in %d rows: this test proves little", renumbered, rows)
	}
	for p, n := range sent {
		if counted[p] != n {
			t.Fatalf("answer %d was given %d times and counted %d times", p, n, counted[p])
		}
	}
}

// TestNumbersOfAMessage: lines are what numbers are, empty ones too; what nobody can be sure of
// is refused.
func TestNumbersOfAMessage(t *testing.T) {
	each := func(req *consentv1.ScrubRequest) (out []string) {
		n, err := numbersOf(req)
		if err != nil {
			t.Fatal(err)
		}
		n.each(func(i int, raw []byte) {
			if i != len(out) {
				t.Fatalf("number %d comes as number %d", i, len(out))
			}
			out = append(out, string(raw))
		})
		return out
	}
	for _, want := range [][]string{nil, {""}, {"", ""}, {"a"}, {"", "a", "", "bc", ""}} {
		lines := strings.Join(append(slices.Clone(want), ""), "\n")
		for _, req := range []*consentv1.ScrubRequest{{Numbers: want}, {Lines: []byte(lines)}} {
			if got := each(req); !slices.Equal(got, want) {
				t.Errorf("%v: %q, want %q", req, got, want)
			}
		}
	}
	if got := each(&consentv1.ScrubRequest{Numbers: []string{"a\nb"}}); !slices.Equal(got, []string{"a\nb"}) {
		t.Errorf("%q", got)
	}
	for _, req := range []*consentv1.ScrubRequest{
		{Lines: []byte("a")}, {Lines: []byte("a\nb")}, {Lines: []byte("a\n"), Numbers: []string{"b"}},
		{Lines: bytes.Repeat([]byte("\n"), questionsMax+1)}, {Numbers: make([]string, questionsMax+1)},
	} {
		if n, err := numbersOf(req); err == nil {
			t.Errorf("%d numbers of what nobody can be sure of", len(n.ends))
		}
	}
}
