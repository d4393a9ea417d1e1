package rpc

import (
	"fmt"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/store"
	"github.com/consent-ledger/consent-ledger/projections/runner"
)

// Integrity knows about whom something in the ledger is lost; mend.Mender does.
type Integrity interface {
	// Whole tells whether nothing is lost. It is asked for every number.
	Whole() bool
	// Blocks tells whether something about a number is lost, or may be.
	Blocks(e164 string) bool
	// Waits tells whether state stands still until something is mended.
	Waits() bool
}

// stuck tells whether waiting for state would be in vain: it stands still at a lost
// message, and every answer is the BLOCK that a wait would end with.
func (d *Decider) stuck() bool { return d.Integrity != nil && d.Integrity.Waits() }

// Broken tells whether nobody can vouch for what is on record about a number:
// something about it is lost, or about another number of one of its parties, whose
// wishes count for all of them.
func (d *Decider) Broken(v *runner.View, e164 string, t ledger.Token) (bool, error) {
	if d.Integrity == nil || d.Integrity.Whole() {
		return false, nil
	}
	if d.Integrity.Blocks(e164) {
		return true, nil
	}
	lo, hi := store.NumberPartyRange(t)
	broken := false
	err := v.Each(lo, hi, func(k, _ []byte) error {
		_, party, err := store.ParseNumberPartyKey(k)
		if err != nil || broken {
			return err
		}
		lo, hi := store.PartyNumberRange(party)
		return v.Each(lo, hi, func(k, _ []byte) error {
			_, other, err := store.ParsePartyNumberKey(k)
			if err != nil || broken || other == t {
				return err
			}
			number, err := d.Keys.Number(d.Keys.ExchangeOf(other))
			broken = err != nil || d.Integrity.Blocks(number)
			return nil
		})
	})
	if err != nil {
		return false, fmt.Errorf("parties: %w", err)
	}
	return broken, nil
}
