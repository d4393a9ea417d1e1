package attempts

import (
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/proof"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// Stated is the statements of one durable message, in its order: what one signature
// is made for. Safe for concurrent use.
type Stated struct {
	sequence   uint64
	recordedAt time.Time
	leaves     []ledger.Hash

	once   sync.Once
	signed *proof.SignedDecisions
	err    error
}

// Sign signs them, once for all who ask.
func (s *Stated) Sign(d consentv1.Durability, by note.Signer) (*proof.SignedDecisions, error) {
	s.once.Do(func() {
		s.signed, s.err = proof.SignDecisions(proof.Decisions{Sequence: s.sequence, RecordedAt: s.recordedAt, Durability: d}, s.leaves, by)
	})
	return s.signed, s.err
}
