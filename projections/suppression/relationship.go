package suppression

import (
	"strings"
	"time"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// Relationship is what ties a person to a seller besides consent.
type Relationship struct {
	Kind consentv1.RelationshipKind
	// Flags say what was stated of it.
	Flags
	AllSellers bool
	// Since is when it began; windows count from Since.Earliest, the careful end.
	Since Span
	// Ended is when it ended; zero: it runs. Windows after the end count from
	// Ended.Earliest, which is no later than the first end after the beginning.
	Ended Span
	// Void: the number was found in other hands at or after the beginning.
	Void bool
}

// Flags are what is stated of a relationship; nil: not stated.
type Flags struct {
	OfferRelated           *bool // the offer made is about it
	SimilarProducts        *bool // what is offered is similar to what was bought
	DetailsCollectedInSale *bool // the number was collected in the sale
	OptOutOffered          *bool // a way to refuse was offered then
	OptOutInEveryMessage   *bool // and in every message since
	Customer               *bool // the person is or was a customer
}

// Running tells whether it holds: it neither ended nor belongs to another holder.
func (r Relationship) Running() bool { return !r.Void && r.Ended == Span{} }

// Relationships are marks of two kinds each: beginnings, of which the newest of
// each set of flags is kept, and ends.
const (
	startSuffix = "_start"
	endSuffix   = "_end"
)

// relationshipKinds are the words of the contract.
var relationshipKinds = map[consentv1.RelationshipKind]string{
	consentv1.RelationshipKind_RELATIONSHIP_KIND_PURCHASE:           "purchase",
	consentv1.RelationshipKind_RELATIONSHIP_KIND_INQUIRY:            "inquiry",
	consentv1.RelationshipKind_RELATIONSHIP_KIND_CONTRACT:           "contract",
	consentv1.RelationshipKind_RELATIONSHIP_KIND_CALLBACK_REQUESTED: "callback_requested",
	consentv1.RelationshipKind_RELATIONSHIP_KIND_PERSONAL:           "personal",
	consentv1.RelationshipKind_RELATIONSHIP_KIND_NUMBER_VOLUNTEERED: "number_volunteered",
}

// relationshipOf is relationshipKinds the other way round; a word that is not in it
// is unspecified.
var relationshipOf = func() map[string]consentv1.RelationshipKind {
	out := map[string]consentv1.RelationshipKind{}
	for kind, word := range relationshipKinds {
		out[word] = kind
	}
	return out
}()

func relationshipState(f *consentv1.Fact, m *consentv1.RelationshipRecorded) *State {
	kind, ok := relationshipKinds[m.GetRelationship()]
	if !ok {
		return nil
	}
	begins := permits(f)
	t, ok := span(f, begins)
	if !ok {
		return nil
	}
	r := &consentv1.MarkRegister{Kind: kind + endSuffix, Time: t}
	if begins {
		r.Kind, r.Aspect = kind+startSuffix, flagsOf(m).text()
	}
	return &State{Relationships: []*consentv1.MarkRegister{r}}
}

func flagsOf(m *consentv1.RelationshipRecorded) *Flags {
	return &Flags{OfferRelated: m.OfferRelated, SimilarProducts: m.SimilarProducts, DetailsCollectedInSale: m.DetailsCollectedInSale,
		OptOutOffered: m.OptOutOffered, OptOutInEveryMessage: m.OptOutInEveryMessage, Customer: m.Customer}
}

// each visits the flags in a fixed order, by the names they have in the contract.
func (f *Flags) each(visit func(name string, flag **bool)) {
	visit("offer_related", &f.OfferRelated)
	visit("similar_products", &f.SimilarProducts)
	visit("details_collected_in_sale", &f.DetailsCollectedInSale)
	visit("opt_out_offered", &f.OptOutOffered)
	visit("opt_out_in_every_message", &f.OptOutInEveryMessage)
	visit("customer", &f.Customer)
}

// text is the stored form of flags: "offer_related=yes customer=no".
func (f *Flags) text() string {
	var words []string
	f.each(func(name string, flag **bool) {
		switch {
		case *flag == nil:
		case **flag:
			words = append(words, name+"=yes")
		default:
			words = append(words, name+"=no")
		}
	})
	return strings.Join(words, " ")
}

// parseFlags undoes text.
func parseFlags(text string) (f Flags) {
	if text == "" {
		return f // nothing is stated of most
	}
	stated := map[string]bool{}
	for _, w := range strings.Fields(text) {
		name, yes, _ := strings.Cut(w, "=")
		stated[name] = yes == "yes"
	}
	f.each(func(name string, flag **bool) {
		if yes, ok := stated[name]; ok {
			*flag = &yes
		}
	})
	return f
}

// Relationships gives those that began by an instant and neither ended at or
// after their beginning nor belong to an earlier holder of the number.
func (v View) Relationships(at time.Time) (out []Relationship) {
	for _, r := range v.AllRelationships(at) {
		if r.Running() {
			out = append(out, r)
		}
	}
	return out
}

// AllRelationships gives those that began by an instant, ended and void ones too:
// of each kind the newest for every set of flags.
func (v View) AllRelationships(at time.Time) (out []Relationship) {
	if len(v.Seller.GetRelationships())+len(v.All.GetRelationships()) == 0 {
		return nil
	}
	q := Question{At: at}
	for i, s := range v.halves() {
		for _, m := range s.GetRelationships() {
			word, begins := strings.CutSuffix(m.GetKind(), startSuffix)
			if !begins || !q.has(m.GetTime().GetLatest()) {
				continue
			}
			began := m.GetTime().GetEarliest()
			out = append(out, Relationship{Kind: relationshipKind(word), Flags: parseFlags(m.GetAspect()), AllSellers: i == allHalf,
				Since: spanOf(m.GetTime()), Ended: v.endOf(word, began), Void: v.otherHands(began)})
		}
	}
	return out
}

// endOf gives the first end of a kind of relationship at or after its beginning.
// Where older ends may have been dropped it can have been as early as that.
func (v View) endOf(word string, began int64) (first Span) {
	for _, s := range v.halves() {
		kept, dropped := 0, true
		for _, m := range s.GetRelationships() {
			if m.GetKind() != word+endSuffix {
				continue
			}
			kept++
			t := m.GetTime()
			if t.GetLatest() < began {
				dropped = false // it and all that were dropped are older than the beginning
				continue
			}
			if e := spanOf(&consentv1.TimeSpan{Earliest: max(t.GetEarliest(), began), Latest: t.GetLatest()}); first == (Span{}) || e.Earliest.Before(first.Earliest) {
				first = e
			}
		}
		if kept == endsMax && dropped {
			first.Earliest = instant(began)
		}
	}
	return first
}

func relationshipKind(word string) consentv1.RelationshipKind { return relationshipOf[word] }

// LastStop gives the newest request to be left alone that covers the question: a
// revocation or an addition to the Do-Not-Call list, whatever has lifted it
// since. It ends a relationship that began before it.
func (v View) LastStop(q Question) (Prohibition, bool) {
	a, stopped := v.newest(revoked(), func(r *consentv1.ProhibitionRegister) bool {
		return r.GetKind() != KindInvalidated && q.forbiddenBy(r.GetProgramme(), r.GetCells())
	})
	b, listed := v.newest(dncAdded(), func(r *consentv1.ProhibitionRegister) bool {
		return q.forbiddenBy(r.GetProgramme(), r.GetCells())
	})
	if !stopped || listed && b.latest() > a.latest() {
		return b, listed
	}
	return a, true
}
