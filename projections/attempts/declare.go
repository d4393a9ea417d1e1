package attempts

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/declare"
	"github.com/consent-ledger/consent-ledger/ledger/phone"
	"github.com/consent-ledger/consent-ledger/ledger/seal"
	"github.com/consent-ledger/consent-ledger/ledger/store"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

const (
	// referenceBytesMax bounds a call reference, callerIDBytesMax what a person was
	// shown.
	referenceBytesMax = 256
	callerIDBytesMax  = 64
)

// Declared is what was said about one call, sealed and checked. Its instant is
// open until it is packed.
type Declared struct {
	record *consentv1.AttemptRecord
	ref    store.Reference
	token  ledger.Token
	// at is when the contact was made; unsaid: nobody said so, it is when it was asked.
	at     time.Time
	unsaid bool
}

// Call is what names a call and says what it is about.
type Call struct {
	// Reference is the call's id in the dialer.
	Reference string
	// Seller in whose name; Campaign may be empty.
	Seller, Campaign string
	Channel          consentv1.Channel
	Purpose          consentv1.Purpose
	// Subject is the campaign's; empty: unknown.
	Subject string
	// CallerID and Source may be empty.
	CallerID, Source string
	// Exchange is the number's token; zero: only the reference is known.
	Exchange ledger.ExchangeToken
}

// Declare reads what a dialer says of a call. The error is an *ledger.InvalidError
// without the number or the reference in it.
func Declare(in *consentv1.Attempt, defaultRegion string, keys *seal.Keyring, c declare.Catalog) (Declared, error) {
	if in == nil {
		return Declared{}, &ledger.InvalidError{Field: "attempt", Problem: "is missing", Fix: "name number, campaign and reference"}
	}
	if _, known := consentv1.AttemptOutcome_name[int32(in.GetOutcome())]; !known {
		return Declared{}, &ledger.InvalidError{Field: "outcome", Problem: "is not known", Fix: "use one of: " + strings.Join(outcomes(), ", ")}
	}
	if in.GetOutcome() == consentv1.AttemptOutcome_ATTEMPT_OUTCOME_RESERVED {
		return Declared{}, &ledger.InvalidError{Field: "outcome", Problem: "reserved is not for callers to say",
			Fix: "reserve with: consent check NUMBER --campaign C --reserve REF"}
	}
	call, err := about(in, c)
	if err != nil {
		return Declared{}, err
	}
	cancels := in.GetOutcome() == consentv1.AttemptOutcome_ATTEMPT_OUTCOME_CANCELLED
	if !cancels || in.GetNumber() != "" {
		n, err := phone.Parse(in.GetNumber(), defaultRegion)
		if err != nil {
			return Declared{}, declare.Unreadable(err, false)
		}
		if call.Exchange, err = keys.Exchange(n.E164); err != nil {
			return Declared{}, declare.Unreadable(err, false)
		}
	}
	d, err := declared(call, in.GetOutcome(), keys)
	if err != nil {
		return Declared{}, err
	}
	if in.GetAt() != nil {
		if !plausible(in.GetAt()) {
			return Declared{}, &ledger.InvalidError{Field: "at", Problem: "is no instant between 1970 and 2262", Fix: "write RFC 3339, or leave it out for now"}
		}
		d.at = in.GetAt().AsTime()
	}
	return d, nil
}

// about resolves campaign, seller, channel and purpose.
func about(in *consentv1.Attempt, c declare.Catalog) (Call, error) {
	out := Call{Reference: in.GetReference(), Seller: in.GetSeller(), Campaign: in.GetCampaign(), Channel: in.GetChannel(), Purpose: in.GetPurpose(),
		Subject: in.GetSubject(), CallerID: in.GetCallerId(), Source: in.GetSource()}
	if id := in.GetCampaign(); id != "" {
		m := c.Campaign(id)
		if m == nil {
			return Call{}, &ledger.InvalidError{Field: "campaign", Problem: "is not registered",
				Fix: "register it first: consent campaign add ID --seller S --channel c --purpose p"}
		}
		if (out.Seller != "" && out.Seller != m.GetSeller()) || (out.Channel != 0 && out.Channel != m.GetChannel()) ||
			(out.Purpose != 0 && out.Purpose != m.GetPurpose()) || (out.Subject != "" && out.Subject != m.GetSubject()) {
			return Call{}, &ledger.InvalidError{Field: "campaign", Problem: "stands for another seller, channel, purpose or subject than is named",
				Fix: "give the campaign alone, or the others without it"}
		}
		out.Seller, out.Channel, out.Purpose, out.Subject = m.GetSeller(), m.GetChannel(), m.GetPurpose(), m.GetSubject()
		return out, nil
	}
	if !c.Seller(out.Seller) {
		return Call{}, &ledger.InvalidError{Field: "seller", Problem: "is missing or not registered",
			Fix: "name a registered seller or a campaign; register with: consent seller add ID"}
	}
	if in.GetOutcome() == consentv1.AttemptOutcome_ATTEMPT_OUTCOME_CANCELLED {
		return out, nil // what it was about no longer matters
	}
	if consentv1.Channel_name[int32(out.Channel)] == "" || out.Channel <= consentv1.Channel_CHANNEL_ALL {
		return Call{}, &ledger.InvalidError{Field: "channel", Problem: "is missing or not one channel", Fix: "name one, such as sms or voice_live, or a campaign"}
	}
	if consentv1.Purpose_name[int32(out.Purpose)] == "" || out.Purpose <= consentv1.Purpose_PURPOSE_ALL {
		return Call{}, &ledger.InvalidError{Field: "purpose", Problem: "is missing or not one purpose", Fix: "name one, such as marketing, or a campaign"}
	}
	if out.Subject != "" && !declare.ValidID(out.Subject) {
		return Call{}, &ledger.InvalidError{Field: "subject", Problem: "is no id", Fix: "use 1 to 64 of a-z, 0-9, _ and -, with no 9 digits in a row"}
	}
	return out, nil
}

// declared seals a call's record.
func declared(c Call, outcome consentv1.AttemptOutcome, keys *seal.Keyring) (Declared, error) {
	if err := CheckCall(c); err != nil {
		return Declared{}, err
	}
	id, err := NewRecordID()
	if err != nil {
		return Declared{}, err
	}
	d := sealed(id, c, keys)
	key := ReferenceKey(keys, c.Seller, c.Reference)
	d.ref, d.record.Reference, d.record.Outcome = store.Reference(key[:len(store.Reference{})]), key[:], outcome
	return d, nil
}

// NewRecordID draws the id of a record.
func NewRecordID() (ledger.EntryID, error) {
	raw, err := uuid.NewV7()
	if err != nil {
		return ledger.EntryID{}, fmt.Errorf("attempts: id of a record: %w", err)
	}
	return ledger.EntryID(raw), nil
}

// sealed makes the record of a call, but for its reference.
func sealed(id ledger.EntryID, c Call, keys *seal.Keyring) Declared {
	d := Declared{record: &consentv1.AttemptRecord{Id: id[:], Seller: c.Seller, Campaign: c.Campaign, Channel: c.Channel, Purpose: c.Purpose,
		Subject: c.Subject, Source: c.Source}}
	if !c.Exchange.IsZero() {
		d.token, d.record.Token = keys.Token(c.Exchange), keys.SealToken(id, ledger.PersonID{}, c.Exchange)
	}
	if c.CallerID != "" {
		d.record.CallerId = SealCallerID(keys, id, c.CallerID)
	}
	return d
}

// CheckCall checks the strings of a call that no catalog knows.
func CheckCall(c Call) error {
	if n := len(c.Reference); n == 0 || n > referenceBytesMax || !utf8.ValidString(c.Reference) {
		return &ledger.InvalidError{Field: "reference", Problem: fmt.Sprintf("is missing or not 1 to %d bytes of text", referenceBytesMax),
			Fix: "give the call's id in the dialer, a new one for each call"}
	}
	if len(c.CallerID) > callerIDBytesMax {
		return &ledger.InvalidError{Field: "caller_id", Problem: fmt.Sprintf("has %d bytes, at most %d are taken", len(c.CallerID), callerIDBytesMax),
			Fix: "give the number or name that was shown"}
	}
	if c.Source != "" && !declare.ValidID(c.Source) {
		return &ledger.InvalidError{Field: "source", Problem: "is no id", Fix: "use 1 to 64 of a-z, 0-9, _ and -, with no 9 digits in a row"}
	}
	return nil
}

// outcomes are the words a caller may use.
func outcomes() []string {
	return []string{"answered", "no_answer", "busy", "voicemail", "failed", "cancelled"}
}
