package ledgertest

import (
	"context"
	"errors"
	"sync"

	"github.com/consent-ledger/consent-ledger/ledger"
)

// Fault is what happens to one append.
type Fault int

// Faults come in pairs: not done, and done but unheard.
const (
	None        Fault = iota
	PublishLost       // nothing is stored and nobody answers
	AckLost           // it is stored and nobody answers
	Refused           // the server refuses for a reason of its own; nothing is stored
	OtherWriter       // somebody else's commit takes the place
	DiskLost          // the disk fails; nothing is stored
	DiskFailed        // it is stored, and then the disk fails
)

// errInjected is the cause of every injected failure.
var errInjected = errors.New("ledgertest: injected")

// Faulty wraps a log and spoils its appends. Safe for concurrent use.
type Faulty struct {
	ledger.Log
	// Other makes the foreign commit of OtherWriter.
	Other func() []byte

	mu     sync.Mutex
	faults []Fault
	always Fault
	met    int
}

// Next queues faults for the coming appends.
func (f *Faulty) Next(faults ...Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = append(f.faults, faults...)
}

// Always spoils every append from now on, until None is given.
func (f *Faulty) Always(fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.always = fault
}

// Faults is how many appends were spoilt.
func (f *Faulty) Faults() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.met
}

func (f *Faulty) take() Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	fault := f.always
	if len(f.faults) > 0 {
		fault = f.faults[0]
		f.faults = f.faults[1:]
	}
	if fault != None {
		f.met++
	}
	return fault
}

// Append spoils or passes on.
func (f *Faulty) Append(ctx context.Context, after uint64, data []byte) (uint64, error) {
	switch f.take() {
	case PublishLost, Refused:
		return 0, errors.Join(ledger.ErrNoAnswer, errInjected)
	case AckLost:
		if _, err := f.Log.Append(ctx, after, data); err != nil {
			return 0, err
		}
		return 0, errors.Join(ledger.ErrNoAnswer, errInjected)
	case DiskLost:
		return 0, errors.Join(ledger.ErrDisk, errInjected)
	case DiskFailed:
		if _, err := f.Log.Append(ctx, after, data); err != nil {
			return 0, err
		}
		return 0, errors.Join(ledger.ErrDisk, errInjected)
	case OtherWriter:
		if _, err := f.Log.Append(ctx, after, f.Other()); err != nil {
			return 0, err
		}
	}
	return f.Log.Append(ctx, after, data)
}
