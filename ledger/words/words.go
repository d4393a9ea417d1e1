// Package words tells what an inbound message means: a request to stop, surely
// none, or something a person must read.
//
// Stop words, matched as whole messages, are those of
//   - the FCC, which counts them as a revocation per se: 47 CFR 64.1200(a)(10);
//   - CTIA, Messaging Principles and Best Practices, 5.1.3;
//   - the defaults of Twilio, Telnyx and AWS (ARRET and TD among them);
//
// in English, and the words by which French, Spanish, German, Italian, Dutch and
// Portuguese speakers say the same.
// The FCC adds whatever a reasonable person would understand as a request to
// stop, so plain sentences count too (phrases.go).
//
// A wrong STOP costs a sale, a missed one a lawsuit. So nothing but a known
// keyword is NOT_STOP, and whatever is not clear is UNCLEAR, which blocks
// (STOP_UNREVIEWED) until a person has read it.
package words

import (
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// bodyBytesRead is how much of a message is read. What is longer may still be a
// STOP, but is never taken for anything less than UNCLEAR.
const bodyBytesRead = 16 << 10

// Classify says what a message means; never MESSAGE_CLASS_UNSPECIFIED. The same
// message in other case, with other punctuation and blanks around it, in
// full-width letters or with accents left out, means the same.
func Classify(body string) consentv1.MessageClass {
	tokens := tokenize(body[:min(len(body), bodyBytesRead)])
	switch {
	case isStop(tokens):
		return consentv1.MessageClass_MESSAGE_CLASS_STOP
	case len(body) <= bodyBytesRead && len(tokens) == 1 && slices.Contains(notStops, tokens[0]):
		return consentv1.MessageClass_MESSAGE_CLASS_NOT_STOP
	}
	return consentv1.MessageClass_MESSAGE_CLASS_UNCLEAR
}

// PerSe tells whether a message is one of the words that revoke consent whoever reads
// it: 47 CFR 64.1200(a)(10) counts a text of one of them as a revocation, and leaves
// nothing to judge.
func PerSe(body string) bool {
	switch strings.Join(tokenize(body[:min(len(body), bodyBytesRead)]), " ") {
	case "stop", "quit", "end", "revoke", "opt out", "cancel", "unsubscribe":
		return true
	}
	return false
}

// notStops are the keywords that resume or ask for help (Twilio's defaults).
var notStops = []string{"start", "yes", "unstop", "help", "info"}

// stops are messages that mean stop if nothing else is said. `opt out` stands
// for optout and opt-out too.
var stops = map[string]bool{
	"stop": true, "stopall": true, "stop all": true, "quit": true, "end": true, "revoke": true,
	"opt out": true, "cancel": true, "unsubscribe": true, "remove": true,
	"arret": true, "td": true, // AWS
	"unsub": true, "stops": true, "dnc": true, "no more": true, "end all": true, "cancel all": true,
	"arreter": true, "arretez": true, "desabonner": true, "desabonnement": true, "desinscrire": true, // French
	"alto": true, "parar": true, "pare": true, "baja": true, "cancelar": true, "detener": true, // Spanish
	"stopp": true, "abmelden": true, "abbestellen": true, "austragen": true, "widerruf": true, "widerrufen": true, // German
	"basta": true, "cancellami": true, "disiscrivi": true, "disiscrivimi": true, "revoca": true, // Italian
	"stoppen": true, "afmelden": true, "uitschrijven": true, "sair": true, "descadastrar": true, "стоп": true, // Dutch, Portuguese, Russian
}

// courtesies change nothing about a message.
var courtesies = map[string]bool{
	"please": true, "pls": true, "plz": true, "kindly": true, "just": true, "now": true, "immediately": true,
	"asap": true, "today": true, "thanks": true, "thx": true, "thank": true, "you": true, "sir": true, "madam": true,
	"hi": true, "hello": true, "hey": true, "ok": true, "okay": true, "already": true, "forever": true, "it": true, "this": true,
	"svp": true, "merci": true, "por": true, "favor": true, "gracias": true, "bitte": true, "danke": true, "grazie": true, "alstublieft": true, "aub": true,
}

// tokenize normalises a message to its words: NFKC, case folded, accents and
// invisible characters gone, every other character than letters and digits a
// blank; apostrophes vanish ("don't" is one word); optout becomes opt out; and
// single letters are put together (S.T.O.P).
func tokenize(body string) []string {
	text := norm.NFKD.String(norm.NFKC.String(strings.ToValidUTF8(body, " ")))
	text = norm.NFKD.String(cases.Fold().String(text))
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsLetter(r), unicode.IsDigit(r):
			return r
		case unicode.Is(unicode.Mn, r), unicode.Is(unicode.Cf, r), r == '\'', r == '’', r == 'ʼ', r == '`':
			return -1
		}
		return ' '
	}, text)
	tokens := strings.Fields(text)
	if spelled(tokens) {
		tokens = []string{strings.Join(tokens, "")}
	}
	for i := 0; i < len(tokens); i++ {
		if tokens[i] == "optout" {
			tokens = slices.Replace(tokens, i, i+1, "opt", "out")
		}
	}
	return tokens
}

// spelled: all single letters, at least three of them.
func spelled(tokens []string) bool {
	return len(tokens) >= 3 && !slices.ContainsFunc(tokens, func(t string) bool { return len(t) != 1 })
}

func isStop(tokens []string) bool {
	if stops[strings.Join(tokens, " ")] {
		return true
	}
	return onlyStops(tokens) || containsStop(strings.Join(tokens, " "))
}

// onlyStops: nothing but stop words and courtesies ("STOP please", "stop stop").
func onlyStops(tokens []string) bool {
	found := false
	for i := 0; i < len(tokens); i++ {
		switch {
		case i+1 < len(tokens) && stops[tokens[i]+" "+tokens[i+1]]:
			found = true
			i++
		case stops[tokens[i]]:
			found = true
		case !courtesies[tokens[i]]:
			return false
		}
	}
	return found
}
