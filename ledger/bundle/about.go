package bundle

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/consent-ledger/consent-ledger/ledger"
)

// About says what a bundle is about, a word and a text each: what the manifest signs
// of it, for people. Classes disclosed are in a claim.
func (v *Verdict) About() (out [][2]string) {
	add := func(name, text string) {
		if text != "" {
			out = append(out, [2]string{name, text})
		}
	}
	m := v.Manifest
	add("case", m.Case)
	add("purpose", m.Purpose)
	add("recipient", m.Recipient)
	for _, n := range v.Numbers {
		shown := "not disclosed"
		if n.E164 != "" {
			shown = n.E164
		}
		add("number", fmt.Sprintf("%s: %s of %s", shown, count(n.Entries, "entry", "entries"), count(len(n.Persons), "holder", "holders")))
	}
	if m.Numbers == 0 {
		add("seller", fmt.Sprintf("%s: %s", m.Seller, count(m.Entries, "entry", "entries")))
	}
	add("period", m.period())
	add("produced", m.Produced.UTC().Format(time.RFC3339Nano))
	add("checkpoint", fmt.Sprintf("%s, root %s", count(int(m.Size), "entry", "entries"), encode64(m.Root[:])))
	return out
}

// period is when what is shown was recorded, in words.
func (m Manifest) period() string {
	var words []string
	if !m.From.IsZero() {
		words = append(words, "recorded from "+instant(m.From))
	}
	if !m.To.IsZero() {
		words = append(words, "recorded before "+instant(m.To))
	}
	return strings.Join(append(words, fmt.Sprintf("up to position %d", m.Through)), ", ")
}

// count writes a number with what is counted.
func count(n int, one, many string) string { return say(n, "no "+one, "1 "+one, "%d "+many) }

// say gives the sentence for so many; %d in many is how many.
func say(n int, none, one, many string) string {
	switch n {
	case 0:
		return none
	case 1:
		return one
	}
	return strings.Replace(many, "%d", strconv.Itoa(n), 1)
}

// concerns checks that an entry is one of what was asked for, as far as its bytes in
// clear show it: when it was recorded and, for a seller, whose it is.
func (v *verifier) concerns(r Record, h head) error {
	if (!v.m.From.IsZero() || !v.m.To.IsZero()) && !v.m.during(h.recorded) {
		return refuted("about: position %d was not recorded in the period", r.Position)
	}
	if r.Number > 0 {
		return nil
	}
	sellers, err := all(h.fact, fieldSellers)
	if err != nil {
		return err
	}
	if !slices.Contains(sellers, v.m.Seller) && !slices.Contains(sellers, ledger.All) {
		return refuted("about: position %d is not about the seller", r.Position)
	}
	return nil
}

// during tells whether an instant lies in the period. The instant is an entry's, whose
// seconds and nanoseconds are what its bytes say.
func (m Manifest) during(at [2]uint64) bool {
	if at[0] > numberMax || at[1] >= uint64(time.Second) {
		return false
	}
	t := time.Unix(int64(at[0]), int64(at[1]))
	return (m.From.IsZero() || !t.Before(m.From)) && (m.To.IsZero() || t.Before(m.To))
}

// all gives the strings of a repeated field.
func all(raw []byte, want protowire.Number) (found []string, err error) {
	many := func(protowire.Number) bool { return false }
	err = eachField(raw, many, func(n protowire.Number, _ uint64, b []byte) error {
		if n == want {
			found = append(found, string(b))
		}
		return nil
	})
	return found, err
}

// aboutWhom says how many entries show that they are about what they are said to be
// about. Who holds all keys can leave the rest unopened and call it anybody's.
func (v *verifier) aboutWhom() ([]Claim, error) {
	if v.m.Numbers == 0 {
		text := say(v.events, "no entry is here", "the entry names the seller, or all sellers", "each of the %d entries names the seller, or all sellers")
		if !v.m.From.IsZero() || !v.m.To.IsZero() {
			text += say(v.events, "", ", and was recorded in the period", ", and was recorded in the period")
		}
		return []Claim{{"about", true, text}}, nil
	}
	rest := v.events - v.named
	if rest == 0 {
		return []Claim{{"about", true, say(v.events, "no entry is here", "the entry shows the number that it is about",
			"each of the %d entries shows the number that it is about")}}, nil
	}
	shown := say(v.named, "no entry shows the number that it is about", "1 entry shows the number that it is about",
		"%d entries show the number that they are about")
	said := say(rest, "", "1 is about it by the operator's word, its number being withheld or erased",
		"%d are about it by the operator's word, their number being withheld or erased")
	return unproven("about", "%s; %s", shown, said), nil
}
