package phone

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/nyaruka/phonenumbers"
)

// rawBytesMax is the longest text taken for a number; libphonenumber's own bound.
const rawBytesMax = 250

// callingCodes are the country calling codes the library knows.
var callingCodes = sync.OnceValue(phonenumbers.GetSupportedCallingCodes)

// countryCodeLen gives the length of the country code at the start of the digits
// of an E.164 number, 0 if it is unknown. No code is the beginning of another.
func countryCodeLen(digits string) int {
	for n := 1; n <= 3 && n <= len(digits); n++ {
		code, err := strconv.Atoi(digits[:n])
		if err == nil && digits[0] != '0' && callingCodes()[code] {
			return n
		}
	}
	return 0
}

// slow reads what the fast path does not know, by asking the library.
func (p *parser) slow(raw, region string) (Number, error) {
	r, err := reduce(raw)
	if err != nil {
		return Number{}, err
	}
	if r.plus {
		region = "ZZ" // means nothing where the country code is given
	}
	key := region + r.text
	a, ok := p.memo.get(key)
	if !ok {
		n, u := readReduced(r.text, region)
		a = answer{n, u}
		p.memo.put(key, a)
	}
	if a.problem != nil {
		return Number{}, a.problem
	}
	if a.number.Unassigned && r.dotZero {
		return Number{}, &UnreadableError{Problem: "ends in .0, as spreadsheets write amounts", Fix: "export the column as text"}
	}
	return a.number, nil
}

// reduced is a number without its decoration: digits, after '+' if there was one.
type reduced struct {
	text    string
	plus    bool
	dotZero bool // ended in ".0"
}

// reduce strips what people write around digits, drops an extension, and refuses
// everything else: above all a second number, which would be neither stopped nor asked.
func reduce(raw string) (reduced, error) {
	s := strings.TrimSpace(raw)
	switch {
	case s == "":
		return reduced{}, &UnreadableError{Problem: "is empty", Fix: "send E.164: a plus, the country code and the number"}
	case len(s) > rawBytesMax:
		return reduced{}, &UnreadableError{Problem: fmt.Sprintf("has %d bytes, at most %d are read", len(s), rawBytesMax), Fix: "send one number"}
	case !utf8.ValidString(s):
		return reduced{}, &UnreadableError{Problem: "is not valid UTF-8", Fix: "send E.164: a plus, the country code and the number"}
	}
	if len(s) > 4 && strings.EqualFold(s[:4], "tel:") {
		s = s[4:]
	}
	if strings.ContainsFunc(s, maybeExtension) {
		base, ext := phonenumbers.MaybeSeparateExtensionFromPhone(s)
		if len(ext) >= digitsMin { // no telephone system has such extensions; people write two numbers so
			return reduced{}, &UnreadableError{Problem: "is followed by another", Fix: "send one number"}
		}
		if ext != "" {
			s = base
		}
	}
	s = strings.Trim(s, "'\" \u00a0")
	var b strings.Builder
	plus := false
	for _, r := range s {
		switch {
		case r >= '0' && r <= '9':
			b.WriteRune(r)
		case r == '+' || r == '＋':
			if b.Len() > 0 {
				return reduced{}, &UnreadableError{Problem: "has a + between its digits", Fix: "send one number"}
			}
			plus = true
		case decoration(r):
		case digitValue(r) >= 0:
			b.WriteByte('0' + byte(digitValue(r)))
		case unicode.IsLetter(r):
			return reduced{}, &UnreadableError{Problem: "has letters in it", Fix: "send digits; names and vanity letters are not read"}
		default:
			return reduced{}, &UnreadableError{Problem: "holds a character that is in no phone number", Fix: "send E.164: a plus, the country code and the number"}
		}
	}
	if b.Len() == 0 {
		return reduced{}, &UnreadableError{Problem: "has no digits", Fix: "send E.164: a plus, the country code and the number"}
	}
	out := reduced{text: b.String(), plus: plus, dotZero: strings.HasSuffix(s, ".0")}
	if plus {
		out.text = "+" + out.text
	}
	return out, nil
}

// maybeExtension: without one of these there is no extension to look for.
func maybeExtension(r rune) bool {
	return r == '#' || r == '＃' || r == ';' || r == ',' || r == '~' || unicode.IsLetter(r)
}

// decoration is what libphonenumber calls valid punctuation (without the x of an
// extension), other blanks, and the marks of writing direction that come along
// when a number is copied.
func decoration(r rune) bool {
	switch {
	case strings.ContainsRune("-()[].,/~ \t", r): // a comma is a pause before dialling on
		return r != ','
	case r >= 0x2010 && r <= 0x2015, r == 0x2212, r == 0x30FC, r == 0xFF0D, r == 0xFF0F, r == 0xFF0E,
		r == 0xFF08, r == 0xFF09, r == 0xFF3B, r == 0xFF3D, r == 0x2053, r == 0x223C, r == 0xFF5E:
		return true
	case r == 0x00AD, r >= 0x200B && r <= 0x200F, r >= 0x202A && r <= 0x202E, r >= 0x2060 && r <= 0x2069, r == 0xFEFF:
		return true
	}
	return unicode.Is(unicode.Zs, r)
}

// digitValue reads the digits libphonenumber reads: full-width, Arabic-Indic and
// Extended Arabic-Indic; -1 if it is none.
func digitValue(r rune) int {
	for _, zero := range [...]rune{0xFF10, 0x0660, 0x06F0} {
		if r >= zero && r <= zero+9 {
			return int(r - zero)
		}
	}
	return -1
}

// readReduced applies the rule of DESIGN 14 to a reduced number.
func readReduced(text, region string) (Number, *UnreadableError) {
	n, u := readOnce(text, region)
	if u != nil || n.E164 == text {
		return n, u
	}
	// The number must stand for itself: the same again from its own E.164, or
	// a token made tomorrow would not meet today's.
	again, u := readOnce(n.E164, "ZZ")
	if u == nil && again == n {
		return n, nil
	}
	if n.Unassigned && text[0] == '+' {
		return asGiven(text)
	}
	return Number{}, &UnreadableError{Problem: "can be read in two ways", Fix: "send E.164: a plus, the country code and the number"}
}

// asGiven takes the digits behind a '+' literally.
func asGiven(text string) (Number, *UnreadableError) {
	if u := checkLength(text, digitsMin); u != nil {
		return Number{}, u
	}
	cc := countryCodeLen(text[1:])
	code, _ := strconv.Atoi(text[1 : 1+cc])
	return Number{E164: text, Unassigned: true, CountryCode: code, Region: soleRegion(code)}, nil
}

// readOnce asks the library.
func readOnce(text, region string) (Number, *UnreadableError) {
	given := text[0] == '+'
	if given && countryCodeLen(text[1:]) == 0 {
		return Number{}, &UnreadableError{Problem: "has an unknown country code", Fix: "write + and the country code, then the number"}
	}
	if !given && !phonenumbers.GetSupportedRegions()[region] {
		return Number{}, unknownRegion(region)
	}
	pn, err := phonenumbers.ParseAndKeepRawInput(text, region)
	if err != nil {
		return Number{}, libraryProblem(err)
	}
	n := Number{
		E164:        phonenumbers.Format(pn, phonenumbers.E164),
		CountryCode: int(pn.GetCountryCode()),
		Region:      phonenumbers.GetRegionCodeForNumber(pn),
	}
	n.Unassigned = !phonenumbers.IsValidNumber(pn)
	if !n.Unassigned {
		return n, checkLength(n.E164, 1)
	}
	if src := pn.GetCountryCodeSource(); src == phonenumbers.PhoneNumber_FROM_NUMBER_WITH_PLUS_SIGN || src == phonenumbers.PhoneNumber_FROM_NUMBER_WITH_IDD {
		return n, checkLength(n.E164, digitsMin)
	}
	switch phonenumbers.IsPossibleNumberWithReason(pn) {
	case phonenumbers.IS_POSSIBLE:
		return n, checkLength(n.E164, digitsMin)
	case phonenumbers.TOO_LONG:
		return Number{}, &UnreadableError{Problem: "is too long for " + region, Fix: "write + and the country code if it is a foreign number"}
	default:
		return Number{}, &UnreadableError{Problem: "is too short for " + region, Fix: "write it with its area code, or + and the country code"}
	}
}

// soleRegion is the region of a country code that has only one.
func soleRegion(code int) string {
	if regions := phonenumbers.GetRegionCodesForCountryCode(code); len(regions) == 1 {
		return regions[0]
	}
	return ""
}

func checkLength(e164 string, least int) *UnreadableError {
	switch digits := len(e164) - 1; {
	case digits < least:
		return &UnreadableError{Problem: fmt.Sprintf("is too short: with its country code it has %d digits, at least %d are needed", digits, least),
			Fix: "write it with its area code"}
	case digits > digitsMax:
		return &UnreadableError{Problem: fmt.Sprintf("is too long: with its country code it has %d digits, at most %d exist", digits, digitsMax),
			Fix: "send one number"}
	}
	return nil
}

func unknownRegion(region string) *UnreadableError {
	name := "is unknown"
	if len(region) == 2 && !isDigits(region) {
		name = strconv.Quote(region) + " " + name
	}
	fix := "use an ISO 3166 country such as US or GB, or send the number with + and its country code"
	return &UnreadableError{Problem: "has no country code, and default_region " + name, Fix: fix, region: true}
}

func libraryProblem(err error) *UnreadableError {
	switch err {
	case phonenumbers.ErrInvalidCountryCode:
		return &UnreadableError{Problem: "has an unknown country code", Fix: "write + and the country code, then the number"}
	case phonenumbers.ErrTooShortNSN, phonenumbers.ErrTooShortAfterIDD:
		return &UnreadableError{Problem: "is too short", Fix: "write it with its area code"}
	case phonenumbers.ErrNumTooLong:
		return &UnreadableError{Problem: fmt.Sprintf("is too long: at most %d digits exist", digitsMax), Fix: "send one number"}
	}
	return &UnreadableError{Problem: "is no phone number", Fix: "send E.164: a plus, the country code and the number"}
}
