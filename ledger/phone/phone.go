// Package phone reads telephone numbers as people write them and turns them into
// E.164, the one form from which tokens are made (DESIGN 14, "Numbers").
//
// What libphonenumber parses to a valid number is that number. Else a known
// country code with 7 to 15 digits in all is unassigned: numbering plans run
// ahead of libraries, and a stop must never be lost to one. Anything else cannot
// be read. A number without a country code must also have a length that exists
// in its region, or half a number would quietly become somebody's.
//
// Letters are refused, although libphonenumber would turn them into digits: a
// name in the phone column must not become somebody's number. An extension is
// dropped, because a stop from an extension still means the line; one as long as a
// number is another number, and neither is read.
//
// No error and no formatted form of this package holds a number; only the field
// E164 does.
package phone

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
)

// RegionDefault is the region of numbers without a country code if the caller
// names none.
const RegionDefault = "US"

const (
	digitsMin = 7  // fewest digits of an unassigned number, country code included
	digitsMax = 15 // most digits of any number (ITU-T E.164)
)

// ErrUnreadable is matched by every error of Parse and ParseDigits: there is no
// number. A check of it blocks, a grant is refused, a stop goes to the inbox.
var ErrUnreadable = errors.New("phone: cannot be read")

// ErrDefaultRegion is also matched if the number needs a default region and the
// one given is unknown.
var ErrDefaultRegion = errors.New("phone: default_region is unknown")

// UnreadableError says what is wrong with a number and what to do. It never
// holds the number or any part of it.
type UnreadableError struct {
	// Problem completes "the number …".
	Problem string
	// Fix is what to do about it.
	Fix string
	// region is set if the default region is at fault.
	region bool
}

func (e *UnreadableError) Error() string {
	if e.Fix == "" {
		return "number: " + e.Problem
	}
	return "number: " + e.Problem + "; " + e.Fix
}

// Is matches ErrUnreadable, and ErrDefaultRegion where that is the cause.
func (e *UnreadableError) Is(target error) bool {
	return target == ErrUnreadable || (e.region && target == ErrDefaultRegion)
}

// Number is a number that could be read. The zero Number is none.
//
// Every verb of fmt, slog, and the text and JSON encodings print it masked: to
// write a number out takes naming the field E164. Two ways round this are out of
// reach of methods: %p and %w, which go vet refuses, and printing a struct that holds a
// Number in an unexported field: do not.
type Number struct {
	// E164 is '+' and 7 to 15 digits, or fewer if a numbering plan says so.
	E164 string
	// Unassigned: the country code is known, but no numbering plan we know
	// assigns the number.
	Unassigned bool
	// CountryCode is the country calling code: 1, 44 …
	CountryCode int
	// Region is the ISO 3166-1 country, "001" for codes of no country, empty if
	// several share the code and none claims the number.
	Region string
}

// IsZero tells whether there is no number.
func (n Number) IsZero() bool { return n.E164 == "" }

// String is the masked form.
func (n Number) String() string { return Mask(n.E164) }

// Format prints the masked form whatever the verb.
func (n Number) Format(s fmt.State, _ rune) { io.WriteString(s, n.String()) }

// LogValue is the masked form.
func (n Number) LogValue() slog.Value { return slog.StringValue(n.String()) }

// MarshalText is the masked form: no encoder writes a number by accident.
func (n Number) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

// maskHiddenMin is how many digits after the country code stay hidden at least.
const maskHiddenMin = 3

// Mask shows the country code and the last four digits: "+1 ••• ••• 0143". Of
// short numbers it shows less, of what is not E.164 nothing.
func Mask(e164 string) string {
	const hidden = "••• •••"
	digits, ok := strings.CutPrefix(e164, "+")
	if !ok || !isDigits(digits) {
		return hidden
	}
	cc := countryCodeLen(digits)
	if cc == 0 {
		return hidden
	}
	shown := max(0, min(4, len(digits)-cc-maskHiddenMin))
	if shown == 0 {
		return "+" + digits[:cc] + " " + hidden
	}
	return "+" + digits[:cc] + " " + hidden + " " + digits[len(digits)-shown:]
}

// Parse reads a number as people write it. defaultRegion is the ISO 3166-1
// country of numbers without a country code; empty means RegionDefault. The
// error is an *UnreadableError. Parsing what it returned gives the same again,
// in every region. Safe for concurrent use; forms seen before are remembered
// within a bound.
func Parse(raw, defaultRegion string) (Number, error) {
	region := canonicalRegion(defaultRegion)
	p := shared()
	if n, ok := p.fast(raw, region); ok {
		return n, nil
	}
	return p.slow(raw, region)
}

// ParseDigits is Parse for places that carry bare digits, such as the path of a
// dial check. A '+' may have arrived as a leading space or as "%2B", and may be
// missing before a whole international number: 11 to 15 digits that cannot be
// read in the default region, but are a valid number with '+', are that number.
func ParseDigits(raw, defaultRegion string) (Number, error) {
	if len(raw) >= 3 && strings.EqualFold(raw[:3], "%2b") {
		raw = "+" + raw[3:]
	} else if strings.HasPrefix(raw, " ") {
		raw = "+" + strings.TrimLeft(raw, " +")
	}
	n, err := Parse(raw, defaultRegion)
	if err == nil && !n.Unassigned {
		return n, nil
	}
	if len(raw) >= 11 && len(raw) <= digitsMax && isDigits(raw) {
		if m, plusErr := Parse("+"+raw, defaultRegion); plusErr == nil && !m.Unassigned {
			return m, nil
		}
	}
	return n, err
}

// shared holds what makes Parse, a pure function, fast: the table of the North
// American plan and the memory of slow answers. Built on first use.
var shared = sync.OnceValue(newParser)

type parser struct {
	nanp *nanpTable
	memo *memo
}

func newParser() *parser {
	return &parser{nanp: newNANPTable(), memo: newMemo()}
}

func canonicalRegion(region string) string {
	switch region {
	case "", RegionDefault:
		return RegionDefault
	}
	return strings.ToUpper(strings.TrimSpace(region))
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
