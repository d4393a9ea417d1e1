package writer_test

import (
	"errors"
	"fmt"
	"runtime"
	"testing"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/ledgertest"
)

// Every failure in pairs: not done, and done but unheard.
func TestFaults(t *testing.T) {
	for _, tc := range []struct {
		name   string
		faults []ledgertest.Fault
		always ledgertest.Fault
		err    error // of the caller
		fatal  bool  // the writer ends
		stored bool  // found after a restart
	}{
		{name: "publish lost once", faults: []ledgertest.Fault{ledgertest.PublishLost}, stored: true},
		{name: "ack lost once", faults: []ledgertest.Fault{ledgertest.AckLost}, stored: true},
		{name: "refused twice, then taken", faults: []ledgertest.Fault{ledgertest.Refused, ledgertest.Refused}, stored: true},
		{name: "ack lost, then nothing heard, then late", faults: []ledgertest.Fault{ledgertest.AckLost, ledgertest.PublishLost}, stored: true},
		{name: "never an answer", always: ledgertest.PublishLost, err: ledger.ErrUncertain, fatal: true},
		{name: "stored, never an answer", faults: []ledgertest.Fault{ledgertest.AckLost}, always: ledgertest.PublishLost,
			err: ledger.ErrUncertain, fatal: true, stored: true},
		{name: "the disk failed, nothing is stored", faults: []ledgertest.Fault{ledgertest.DiskLost}, err: ledger.ErrUncertain, fatal: true},
		{name: "stored, and the disk failed", faults: []ledgertest.Fault{ledgertest.DiskFailed}, err: ledger.ErrUncertain, fatal: true, stored: true},
		{name: "stored, nothing heard, and the disk failed", faults: []ledgertest.Fault{ledgertest.AckLost, ledgertest.DiskLost},
			err: ledger.ErrUncertain, fatal: true, stored: true},
		{name: "another writer", faults: []ledgertest.Fault{ledgertest.OtherWriter}, err: ledger.ErrUncertain, fatal: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			l := w.start()
			l.must(sellerFact())
			tail := l.writer.Acked()
			w.log.Other = func() []byte { return ledgertest.Commit(t, tail+1, 1) }
			w.log.Next(tc.faults...)
			w.log.Always(tc.always)
			o := l.record(grant(number, "e1"))[0]
			if !errors.Is(o.Err, tc.err) {
				t.Fatalf("outcome %+v", o)
			}
			if tc.fatal {
				if err := <-l.ended; err == nil {
					t.Error("the writer went on")
				}
				close(l.ended)
				if o := l.record(grant(other, "e9"))[0]; !errors.Is(o.Err, ledger.ErrNotReady) {
					t.Errorf("an ended writer answered %+v", o)
				}
				if err := l.index.Close(); err != nil {
					t.Error(err)
				}
			} else if err := l.end(); err != nil {
				t.Fatal(err)
			}
			w.log.Always(ledgertest.None)
			if tc.name == "another writer" {
				return // its foreign commit is none of this ledger's
			}
			l = w.start()
			if r := l.must(grant(number, "e1"))[0]; r.Duplicate != tc.stored {
				t.Errorf("retry after restart: %+v", r)
			}
		})
	}
}

// TestFailingDiskEndsTheWriter at once, whether it is idle or in the middle of an
// append that nobody answers.
func TestFailingDiskEndsTheWriter(t *testing.T) {
	failure := errors.New("the disk failed")
	for _, open := range []bool{false, true} {
		t.Run(fmt.Sprintf("an append is open: %t", open), func(t *testing.T) {
			w := newWorld(t)
			l := w.start()
			l.must(sellerFact())
			answers := make(chan ledger.Outcome, 1)
			if open {
				w.log.Always(ledgertest.PublishLost)
				go func() { answers <- l.record(grant(number, "e1"))[0] }()
				for w.log.Faults() == 0 {
					runtime.Gosched()
				}
			}
			w.disk <- failure
			if open {
				if o := <-answers; !errors.Is(o.Err, ledger.ErrUncertain) {
					t.Errorf("the open append: %+v", o)
				}
			}
			if err := <-l.ended; !errors.Is(err, failure) {
				t.Errorf("the writer ended with %v", err)
			}
			close(l.ended)
			if o := l.record(grant(other, "e2"))[0]; !errors.Is(o.Err, ledger.ErrNotReady) {
				t.Errorf("an ended writer answered %+v", o)
			}
			if err := l.index.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
