package words

import (
	"regexp"
	"strings"
)

// Parts of sentences, over normalised text: lower-case words with one blank between.
const (
	contactVerb = `(?:call|text|txt|message|msg|contact|phone|ring|email|mail|bother|harass|spam|solicit|disturb|write|fax|reach out)`
	contactIng  = `(?:calling|texting|txting|messaging|contacting|phoning|ringing|emailing|mailing|sending|bothering|harassing|` +
		`spamming|soliciting|disturbing|writing|faxing|blowing up|reaching out)`
	contactNoun = `(?:calls?|texts?|txts?|messages?|msgs?|emails?|sms|communications?|alerts?|notifications?|ads?|offers|promos?|` +
		`promotions?|marketing|spam|contact|robocalls?|faxes|solicitations?)`
	fillers = `(?:(?:any|all|more|further|other|these|those|the|this|your|such|of|from|you|ur|automated|unwanted|sales|spam|` +
		`marketing|promotional|damn|fucking) )*`
	not = `(?:do not|dont|do no|never|not to|no longer|must not|may not|should not|shouldnt|cannot|cant)`
)

// phrases are plain requests to stop. Each says by itself that contact is not
// wanted; what might mean something else is left to a person.
var phrases = regexp.MustCompile(`\b(?:` + strings.Join([]string{
	// stop texting me, quit calling, stop all messages, end these calls
	`(?:stop|quit|cease|end|cancel|discontinue|halt) (?:please )?(?:(?:all|from|with|the|your|these|this|ever) )*` + contactIng,
	`(?:stop|quit|cease|end|cancel|discontinue|halt) ` + fillers + contactNoun,
	`cease and desist`,
	// do not call, don't ever text me again; also the Do-Not-Call list
	not + ` (?:ever )?(?:please )?(?:try to )?` + contactVerb + `(?: back)?(?: (?:me|us|my|this|here|again|anymore|any more|ever|at|list|please|on)\b|$)`,
	`put (?:me|us|my \w+|this \w+|it) on (?:\w+ )?(?:do not|dont|dnc|no) ?(?:call|contact|text|list)?`,
	`(?:do not|dont|no) (?:call|contact|text) list`,
	not + ` send (?:me |us )?` + fillers + `(?:` + contactNoun + `|anything|stuff|crap|shit|again|anymore)`,
	// no more texts; I don't want these messages; I no longer wish to hear from you
	`no more (?:of )?` + fillers + contactNoun,
	not + ` (?:want|wish|need|like|care)(?: to)?(?: (?:receive|get|have|hear|see|be))?` +
		`(?: (?:from you|from this|` + contactNoun + `|` + fillers + contactNoun + `|contacted|called|texted|messaged|bothered)\b)`,
	// remove me, take my number off, get me off your list
	`(?:remove|delete|erase|scrub) (?:me|us|my (?:\w+ )?(?:name|number|phone|cell|mobile|info|information|data|details|contact)|` +
		`this (?:\w+ )?(?:number|phone|contact))`,
	`(?:take|get|strike|cross|leave|drop|pull|remove) (?:me|us|my \w+(?: \w+)?|this \w+(?: \w+)?|it) (?:off|out of|from)`,
	`(?:lose|forget) (?:my|this) (?:number|phone number)`,
	// opting out by name
	`(?:unsubscribe|unsubscribing|opt (?:(?:me|us|my number|this number|it) )?out|opting out|opts out|opted out)`,
	`(?:revoke|revoking|withdraw|withdrawing|rescind|retract|cancel|canceling|cancelling) ` +
		`(?:(?:my|all|any|the|our|this|prior|previous|express|written) )*` +
		`(?:consent|permission|permissions|authorization|authorisation|subscription)`,
	`leave (?:me|us) (?:the \w+ )?alone`,
	`(?:please|pls|plz) stop$`,
	`^(?:please|pls|plz|just) stop\b`,
	`stop (?:please|pls|plz|it|that|already|immediately|right now|asap|bothering|harassing)\b`,
	`(?:reply|replying|text|texting|said|say|saying|told you(?: to)?|asked you(?: to)?) stop`,
	`wrong (?:number|person) (?:please |pls )?stop$`,
	// German, Italian, Dutch: "nicht mehr anrufen", "non chiamatemi più", "bel me niet meer"
	`(?:nicht|nie) (?:mehr|wieder) (?:an(?:zu)?rufen|kontaktieren|(?:an)?schreiben|belastigen|sms)`,
	`keine (?:weiteren )?(?:werbung|anrufe|nachrichten|sms)(?: mehr)?`,
	`(?:rufen|ruft|schreiben|schreibt) (?:sie )?(?:mich|mir|uns) (?:nicht|nie) (?:mehr|wieder)`,
	`(?:non|mai piu) (?:mi )?(?:chiamate|chiamatemi|chiamare|contattate|contattatemi|contattare|scrivete|scrivetemi|mandate|mandatemi) (?:piu|mai)`,
	`(?:bel|sms|app|benader|contacteer) (?:me|mij|ons) niet meer`,
	// French, Spanish
	`(?:ne|n) (?:me |m)?(?:plus )?(?:appelez|appeler|contactez|contacter|ecrivez|envoyez|textez)`,
	`ne m(?:appelez|appeler|ecrivez|envoyez)`,
	`(?:me )?(?:desabonner|desinscrire|desabonnez|desinscrivez)`,
	`(?:arretez|arreter|cessez|cesser) (?:de|les|ces|vos)`,
	`no (?:me |nos )(?:llame|llamen|llames|escriba|escriban|escribas|envie|envien|envies|mande|manden|mandes|` +
		`contacte|contacten|contactes|moleste|molesten|molestes)`,
	`no mas (?:mensajes|llamadas|textos|sms)`,
	`(?:dar|darme|den|denme|dame|deme) (?:de )?baja`,
	`(?:quite|quiten|quiteme|quitenme|borre|borren|borreme|borrenme|elimine|eliminen) (?:me|mi|de)`,
	`deje(?:n)? de (?:llamar|mandar|enviar|escribir|molestar)(?:me)?`,
}, `|`) + `)\b`)

// negated are phrases that take the stop back. They are cut out before phrases
// are looked for, so that "don't stop texting me" is left to a person, while
// "don't stop? no: unsubscribe me" still counts.
var negated = regexp.MustCompile(`\b(?:do not|dont|never|did not|didnt|cannot|cant|wont|will not|would not|wouldnt|no need to|not)` +
	` (?:(?:ever|want|to|you|wish|going|mean|please|ask|me|remove|have|really|yet) )*` +
	`(?:stop|stopping|quit|cease|end|cancel|unsubscribe|unsubscribing|unsubscribed|opt (?:me )?out|opting out|opted out|` +
	`revoke|revoking|withdraw|remove me|take me off|leave me alone)\b(?: ` + contactIng + `)?(?: me)?`)

// containsStop looks for a plain request anywhere in normalised text.
func containsStop(text string) bool {
	return phrases.MatchString(negated.ReplaceAllString(text, " | "))
}
