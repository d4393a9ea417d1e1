package memledger_test

import (
	"testing"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/ledgertest"
	"github.com/consent-ledger/consent-ledger/ledger/memledger"
)

func TestLog(t *testing.T) {
	ledgertest.Run(t, func(t *testing.T) ledger.Log {
		return memledger.New(func(err error) { t.Error(err) })
	})
}

func TestStricter(t *testing.T) {
	for name, data := range map[string][]byte{
		"no commit":          []byte("x"),
		"no entries":         {},
		"a wrong position":   ledgertest.Commit(t, 5, 1),
		"a position skipped": ledgertest.Commit(t, 3, 1),
	} {
		t.Run(name, func(t *testing.T) {
			var broken []error
			l := memledger.New(func(err error) { broken = append(broken, err) })
			if _, err := l.Append(t.Context(), 0, data); err != nil {
				t.Fatal(err)
			}
			if len(broken) != 1 {
				t.Errorf("reported %v", broken)
			}
		})
	}
}
