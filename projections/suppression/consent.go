package suppression

import "time"

// Consent looks for a grant that covers the question, satisfies the need, has
// not ended, and is strictly later than every revocation that counts, every
// reassignment and every wrong-party report. Of several it gives the one that
// ends last; without one it says why.
func (v View) Consent(q Question, n Need) Consent { return Consent{} }

// Revocation gives the newest covering revocation that stands: not voided by a
// clarification, and not followed by a strictly later grant that satisfies the
// need (the zero Need: any grant). It is a request to be left alone, so it also
// blocks where no consent is needed. Invalidated grants are no such request.
func (v View) Revocation(q Question, n Need) (Prohibition, bool) { return Prohibition{}, false }

// Dnc gives the newest covering addition to the Do-Not-Call list if it is not
// older than the newest covering removal. With grantOverrides a grant that
// satisfies the need and is strictly later than the addition lifts it; a grant
// taken over from older records never does.
func (v View) Dnc(q Question, n Need, grantOverrides bool) (Prohibition, bool) {
	return Prohibition{}, false
}

// Refused gives the newest covering refusal. It starts a cooling-off period and
// is no revocation.
func (v View) Refused(q Question) (Prohibition, bool) { return Prohibition{}, false }

// Erased gives the erasure of the number's person, unless a covering confirmed
// grant of a level that lifts erasures (Need.LiftsErasure) is strictly later and
// satisfies the need in all but its level.
func (v View) Erased(q Question, n Need) (Prohibition, bool) { return Prohibition{}, false }

// Unclear gives the messages that nobody has read yet. They block every channel.
func (v View) Unclear() []UnclearMessage { return nil }

// Marks gives the newest evidence of a kind, of this seller or of all: several if
// they are of the same time.
func (v View) Marks(kind string) []Mark { return nil }

// Relationships gives those that began and did not end at or after their
// beginning, or with the number changing hands.
func (v View) Relationships(at time.Time) []Relationship { return nil }

// Preferences gives the limits the person set, towards this seller and towards all.
func (v View) Preferences() Preferences { return Preferences{} }

// Place is the region and time zone of a MarkLocation; either may be empty.
func (m Mark) Place() (region, zone string) { return "", "" }
