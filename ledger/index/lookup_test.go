package index

import (
	"errors"
	"sync"
	"testing"

	"github.com/consent-ledger/consent-ledger/ledger"
)

func TestSeqOf(t *testing.T) {
	ix, h := openTemp(t), newHistory(1)
	seqs := map[ledger.Position]uint64{}
	for seq := uint64(1); seq <= 5; seq++ {
		e, _ := h.commit(int(seq), 3)
		must(t, ix.ApplyCommit(seq, e))
		for _, e := range e {
			seqs[e.Position] = seq
		}
	}
	for at, want := range seqs {
		if got, err := ix.SeqOf(at); err != nil || got != want {
			t.Errorf("position %d: message %d, %v, want %d", at, got, err, want)
		}
	}
	for _, at := range []ledger.Position{0, h.next, h.next + 100} {
		if _, err := ix.SeqOf(at); !errors.Is(err, ledger.ErrNotFound) {
			t.Errorf("position %d: %v", at, err)
		}
	}
}

// TestReadersSeeWhatWasAcknowledged: look-ups run beside staging and applying and
// never miss what was there before they began.
func TestReadersSeeWhatWasAcknowledged(t *testing.T) {
	ix, h := openTemp(t), newHistory(1)
	ix.rowsBytes = 4 << 10 // of 20 entries
	var mu sync.Mutex
	var known []*ledger.Entry
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				default:
				}
				mu.Lock()
				seen := known
				mu.Unlock()
				if len(seen) == 0 {
					continue
				}
				e := seen[len(seen)-1-n%min(len(seen), 60)]
				if _, found, err := ix.Idempotency(ledger.Hash(e.Msg.GetIdempotency())); !found || err != nil {
					t.Errorf("position %d is missing: %v", e.Position, err)
					return
				}
				if _, found, err := ix.Head(ledger.PersonID(e.Msg.GetPerson())); !found || err != nil {
					t.Errorf("the person of position %d is missing: %v", e.Position, err)
					return
				}
			}
		})
	}
	for seq := uint64(1); seq <= 200; seq++ {
		var entries []*ledger.Entry
		for n := range 5 {
			entries = append(entries, h.entry(token(int(seq)*10+n), stopFact()))
		}
		must(t, ix.Stage(entries, nil, nil))
		mu.Lock()
		known = append(known, entries...)
		mu.Unlock()
		must(t, ix.ApplyCommit(seq, entries))
	}
	close(done)
	wg.Wait()
}
