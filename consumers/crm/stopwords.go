package crm

import (
	"regexp"
	"strings"
)

// stopKinds are words that other systems have for a stop where a kind should
// stand, in the form that plain gives them.
var stopKinds = map[string]string{
	"stop": "consent_revoked", "stopall": "consent_revoked", "stop_all": "consent_revoked",
	"stopped": "consent_revoked", "unsubscribe": "consent_revoked", "unsubscribed": "consent_revoked",
	"opt_out": "consent_revoked", "optout": "consent_revoked", "opted_out": "consent_revoked",
	"optedout": "consent_revoked", "revoke": "consent_revoked", "revoked": "consent_revoked",
	"revocation": "consent_revoked", "consentrevoked": "consent_revoked",
	"remove": "consent_revoked", "removed": "consent_revoked",
	"do_not_text": "consent_revoked", "do_not_contact": "consent_revoked",
	"dnc": "dnc_added", "do_not_call": "dnc_added", "donotcall": "dnc_added", "dncadded": "dnc_added",
}

var (
	// The words of 47 CFR 64.1200(a)(10) that mean something else in a sentence
	// count alone only.
	stopAlone = regexp.MustCompile(`(?i)^\W*(stop ?all|quit|end|cancel|remove)\W*$`)
	stopWords = regexp.MustCompile(`(?i)\b(stop|revoke|opt[ -]?out|unsubscribe|remove me|take me off|(do not|don.?t|never) (call|text|contact|message))\b`)
	// A disclosure tells how to stop; who quotes it has not done so.
	howToStop = regexp.MustCompile(`(?i)` +
		`\b(reply|replying|text|texting|txt|send|sending|type|respond|with|can)\s+(with\s+)?\W?(stop|opt[ -]?out|unsubscribe|revoke)\b(\W? to \w+)?` +
		`|\b(stop|opt[ -]?out|unsubscribe|revoke)\W? (to (stop|cancel|end|quit|opt|unsubscribe)|(at )?any ?time)\b`)
)

// resolveKind tells a row's kind. Where none of ours stands, a stop is told by
// the word in its place, then by the person's own words, unless the word is
// nearly a kind that is no stop; guessed says so. Nothing else is ever guessed.
func resolveKind(v *values) (name string, guessed, ok bool) {
	word := plain(v[fKind])
	if _, ok := kinds[word]; ok {
		return word, false, true
	}
	if name, ok := stopKinds[strings.Trim(word, "_.!?,;:\"'")]; ok {
		return name, true, true
	}
	if near := nearest(word, kindNames); near != "" {
		return near, true, kinds[near].stop
	}
	for _, said := range []string{v[fWords], v[fBody]} {
		if stopAlone.MatchString(said) || stopWords.MatchString(howToStop.ReplaceAllString(said, "")) {
			return "consent_revoked", true, true
		}
	}
	return "", false, false
}
