package words

import (
	"strings"
	"testing"
	"unicode"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

const (
	stop    = consentv1.MessageClass_MESSAGE_CLASS_STOP
	notStop = consentv1.MessageClass_MESSAGE_CLASS_NOT_STOP
	unclear = consentv1.MessageClass_MESSAGE_CLASS_UNCLEAR
)

var stopMessages = []string{
	// FCC, CTIA, Twilio, Telnyx, AWS
	"stop", "quit", "end", "revoke", "opt out", "cancel", "unsubscribe",
	"please opt me out", "STOPALL", "stop all", "OPTOUT", "OPT-OUT", "Opt-Out.", "opt  out", "ARRET", "Arrêt", "REMOVE", "TD",
	// written as people do
	"Stop!!", " stop ", "\"STOP\"", "'stop'", "S T O P", "S.T.O.P.", "ＳＴＯＰ", "s\u200btop", "STOP\n", "stop.", "(stop)", "¡stop!", "🛑 stop 🛑",
	"stop stop stop", "STOP please", "please stop", "Pls stop", "stop now", "STOP NOW!!!",
	"stop it", "ok stop", "Stop, thank you", "hi, please cancel", "stop/quit/end",
	"unsub", "Unsubscribe please", "quit it", "end.", "no more", "cancel all",
	// plain sentences
	"please stop texting me", "stop texting", "Stop calling me!!", "STOP SENDING ME MESSAGES", "quit calling this number", "stop these messages", "stop the texts",
	"stop all messages from you", "Please stop all calls", "cease and desist",
	"cease all contact", "end these calls", "stop harassing me", "stop blowing up my phone",
	"do not call", "Do not call me", "don't call me again", "dont text me", "DON’T CONTACT ME",
	"don't ever call here", "never text this number again", "do not contact me anymore",
	"you may not call me", "I told you not to call me", "do not call list",
	"put me on your do not call list", "Put my number on the DNC list", "add me to the do-not-call list",
	"don't send me any more texts", "do not send anything", "no more texts", "no more of these messages please",
	"I don't want these messages", "i do not want to receive texts from you",
	"I no longer wish to receive calls", "i dont want to hear from you", "I don't want to be contacted",
	"remove me", "Remove me from your list", "please remove my number", "remove this number", "delete my number", "delete my cell number", "take me off your list",
	"Take my number off your list", "get me off this list", "take this number off", "lose my number", "forget my number",
	"unsubscribe me please", "how do i unsubscribe", "I want to opt out", "opt me out",
	"i am opting out", "I revoke my consent", "I hereby withdraw my prior express consent",
	"revoke all permission", "cancel my subscription", "leave me alone", "Leave us the hell alone", "I already said stop", "replying stop",
	"I said STOP please", "who is this? stop texting me", "yes stop calling me",
	"don't stop? no: unsubscribe me", "I didn't unsubscribe before, do it now: remove me",
	// French, Spanish
	"Arrêtez", "arrêtez de m'appeler", "ne m'appelez plus", "ne me contactez plus", "désabonnement", "me désabonner",
	"alto", "baja", "no me llamen", "No me envíe mensajes", "no más mensajes", "darme de baja por favor",
	// German, Italian, Dutch, Portuguese, Russian
	"STOPP", "Stopp bitte", "Abmelden", "abbestellen", "WIDERRUF", "Bitte nicht mehr anrufen!",
	"Rufen Sie mich nie wieder an", "Keine SMS mehr", "keine weiteren Nachrichten bitte",
	"basta", "Disiscrivimi", "REVOCA", "non mi chiamate più", "non chiamatemi mai",
	"afmelden", "Uitschrijven aub", "bel me niet meer", "SAIR", "descadastrar", "Стоп",
	"wrong number, stop", "Wrong person. Please STOP",
}

var notStopMessages = []string{"start", "START", "Yes", "yes!", " UNSTOP ", "help", "HELP?", "info", "Info.", "ＹＥＳ"}

var unclearMessages = []string{
	"", " ", "...", "🛑", "?", "ok", "y", "no", "nope", "who is this", "wrong number", "not interested", "stpo", "sotp", "st",
	"stop by tomorrow", "meet me at the bus stop", "I can't stop laughing", "don't stop",
	"please don't stop texting me", "do not unsubscribe me", "I never want to opt out",
	"non-stop flight?", "the end", "weekend", "cancel my order", "cancel my appointment", "when does the sale end", "what is the return policy",
	"call me back", "text me the address", "please call me", "yes please", "yes but", "start and help", "help me", "info please", "I would not remove me",
	"quitter", "stopwatch", "unstoppable", "ending", "remove the stain how?", "take me to your leader", "I revoke nothing",
	"Wir rufen an", "keine Ahnung", "nicht mehr lange", "widerrufsrecht?", "bastava", "bel me morgen", "the wrong number stops here",
}

func TestClassify(t *testing.T) {
	for want, list := range map[consentv1.MessageClass][]string{stop: stopMessages, notStop: notStopMessages, unclear: unclearMessages} {
		for _, body := range list {
			for name, form := range forms(body) {
				if got := Classify(form); got != want {
					t.Errorf("%q (%s) is %v, want %v; read as %q", form, name, got, want, tokenize(form))
				}
			}
		}
	}
}

// forms are ways to write one message that change nothing.
func forms(body string) map[string]string {
	return map[string]string{
		"as it is":    body,
		"upper":       strings.ToUpper(body),
		"lower":       strings.ToLower(body),
		"punctuation": " -- " + body + " !?.\r\n",
		"quoted":      "\"" + body + "\"",
		"blanks":      strings.ReplaceAll(body, " ", " \t\u00a0 "),
	}
}

func TestLongMessage(t *testing.T) {
	long := strings.Repeat(" ", bodyBytesRead)
	for body, want := range map[string]consentv1.MessageClass{
		"stop" + long:            stop,
		"start" + long:           unclear,
		long + "stop":            unclear,
		strings.Repeat("é", 9e3): unclear,
		"please stop texting me" + strings.Repeat(" really", 1e5): stop,
	} {
		if got := Classify(body); got != want {
			t.Errorf("%.20q… of %d bytes is %v, want %v", body, len(body), got, want)
		}
	}
}

// FuzzClassify: never panics, always has an answer, and case and what stands
// around the words change nothing.
func FuzzClassify(f *testing.F) {
	for _, list := range [][]string{stopMessages, notStopMessages, unclearMessages} {
		for _, s := range list {
			f.Add(s)
		}
	}
	f.Add("\xff\xfestop")
	f.Fuzz(func(t *testing.T, body string) {
		got := Classify(body)
		if got == consentv1.MessageClass_MESSAGE_CLASS_UNSPECIFIED {
			t.Fatalf("%q has no class", body)
		}
		if len(body) > bodyBytesRead/2 {
			return // another form may be cut elsewhere
		}
		if again := Classify("..." + body + " !!"); again != got {
			t.Fatalf("%q is %v, with punctuation %v", body, got, again)
		}
		if strings.IndexFunc(body, func(r rune) bool { return r > unicode.MaxASCII }) >= 0 {
			return // case is not one to one outside ASCII
		}
		for _, form := range []string{strings.ToUpper(body), strings.ToLower(body)} {
			if again := Classify(form); again != got {
				t.Fatalf("%q is %v, %q is %v", body, got, form, again)
			}
		}
	})
}

func BenchmarkClassify(b *testing.B) {
	for _, body := range []string{"STOP", "please take me off your list", "see you at eight, I will bring the papers"} {
		b.Run(body[:4], func(b *testing.B) {
			for b.Loop() {
				Classify(body)
			}
		})
	}
}
