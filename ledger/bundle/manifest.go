package bundle

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/proof"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

const (
	manifestHeader = "consent-ledger/bundle@v1"
	// lineBytesMax bounds case, purpose and recipient.
	lineBytesMax = 200
)

// Manifest is what the ledger signs about a bundle.
type Manifest struct {
	Origin   string
	Produced time.Time
	// Numbers is how many numbers it is about; 0: it is about Seller.
	Numbers int
	Seller  string
	// From and To bound when a seller's entries were recorded; zero: open.
	From, To time.Time
	// Case, Purpose and Recipient are what the exporter said; each one line or empty.
	Case, Purpose, Recipient string
	// Disclosed are the classes whose parts are opened, ascending.
	Disclosed []consentv1.PersonalClass
	// Size and Root are those of the checkpoint.
	Size int64
	Root tlog.Hash
	// Through is the position up to which the exporter looked.
	Through ledger.Position
	Entries int
	// Sums is the SHA-256 of SHA256SUMS.
	Sums ledger.Hash
}

// text is what is signed.
func (m Manifest) text() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line(manifestHeader)
	line("%s", m.Origin)
	line("produced %s", m.Produced.UTC().Format(time.RFC3339Nano))
	if m.Numbers > 0 {
		line("subject numbers %d", m.Numbers)
	} else {
		line("subject seller %s", m.Seller)
	}
	line("period %s %s", instant(m.From), instant(m.To))
	line("case %s", orDash(m.Case))
	line("purpose %s", orDash(m.Purpose))
	line("recipient %s", orDash(m.Recipient))
	line("disclosed %s", ClassWords(m.Disclosed))
	line("checkpoint %d %s", m.Size, encode64(m.Root[:]))
	line("through %d", m.Through)
	line("entries %d", m.Entries)
	line("sums %s", m.Sums)
	return b.String()
}

func instant(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// CheckLine tells whether a text can be case, purpose or recipient.
func CheckLine(field, s string) error {
	bad := len(s) > lineBytesMax || !utf8.ValidString(s) || strings.TrimSpace(s) != s || s == "-"
	for _, r := range s {
		bad = bad || !unicode.IsPrint(r)
	}
	if bad {
		return &ledger.InvalidError{Field: field, Problem: fmt.Sprintf("is longer than %d bytes, or no single line of plain text", lineBytesMax), Fix: "shorten it"}
	}
	return nil
}

// parseManifest undoes text.
func parseManifest(text string) (m Manifest, err error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 14 || lines[0] != manifestHeader {
		return m, form("it is no manifest of a bundle")
	}
	m.Origin = lines[1]
	values := map[string]string{}
	for _, l := range lines[2:13] {
		word, value, _ := strings.Cut(l, " ")
		values[word] = value
	}
	what, who, _ := strings.Cut(values["subject"], " ")
	from, to, _ := strings.Cut(values["period"], " ")
	size, root, _ := strings.Cut(values["checkpoint"], " ")
	p := parser{}
	m.Produced, m.From, m.To = p.instant(values["produced"]), p.instant(from), p.instant(to)
	if what == "numbers" {
		m.Numbers = int(p.number(who))
	} else {
		m.Seller = who
	}
	m.Case, m.Purpose, m.Recipient = fromDash(values["case"]), fromDash(values["purpose"]), fromDash(values["recipient"])
	m.Disclosed = p.classes(values["disclosed"])
	m.Size, m.Root = int64(p.number(size)), tlog.Hash(p.hash(root))
	m.Through, m.Entries = ledger.Position(p.number(values["through"])), int(p.number(values["entries"]))
	m.Sums = p.hex(values["sums"])
	if p.err != nil {
		return m, p.err
	}
	if m.text() != text {
		return m, form("a manifest that is not in its one encoding")
	}
	if strings.ContainsFunc(text, hidden) {
		return m, form("a manifest with characters that cannot be seen")
	}
	return m, nil
}

// hiddenRunes are what no terminal and no page shows, or what changes how they show the
// rest: controls, joiners, marks of direction, tags.
var hiddenRunes = [][2]rune{{0x7f, 0x9f}, {0xad, 0xad}, {0x61c, 0x61c}, {0x200b, 0x200f}, {0x2028, 0x202e}, {0x2060, 0x206f}, {0xfeff, 0xfeff},
	{0xfff9, 0xfffb}, {0xe0000, 0xe007f}}

func hidden(r rune) bool {
	return slices.ContainsFunc(hiddenRunes, func(span [2]rune) bool { return span[0] <= r && r <= span[1] })
}

func fromDash(s string) string {
	if s == "-" {
		return ""
	}
	return s
}

// parser keeps the first error; text() then tells whether anything else is amiss.
type parser struct{ err error }

func (p *parser) fail(what string) {
	if p.err == nil {
		p.err = form("a manifest whose %s cannot be read", what)
	}
}

// numberMax keeps numbers in what the maths takes, in any language.
const numberMax = 1 << 60

func (p *parser) number(s string) uint64 {
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil || n > numberMax {
		p.fail("numbers")
	}
	return n
}

func (p *parser) instant(s string) time.Time {
	if s == "-" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		p.fail("times")
	}
	return t
}

func (p *parser) hash(s string) (h ledger.Hash) {
	b, err := decode64(s)
	if err != nil || len(b) != len(h) {
		p.fail("root")
		return h
	}
	return ledger.Hash(b)
}

func (p *parser) hex(s string) (h ledger.Hash) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(h) {
		p.fail("sums")
		return h
	}
	return ledger.Hash(b)
}

func (p *parser) classes(s string) []consentv1.PersonalClass {
	c, err := ParseClasses(s)
	if err != nil {
		p.fail("classes")
	}
	return c
}

const classPrefix = "PERSONAL_CLASS_"

// ClassWords lists classes as the command line writes them; none if there are none.
func ClassWords(classes []consentv1.PersonalClass) string {
	var words []string
	for _, c := range classes {
		words = append(words, strings.ToLower(strings.TrimPrefix(c.String(), classPrefix)))
	}
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, ",")
}

// AllClasses are all classes of personal parts.
func AllClasses() (out []consentv1.PersonalClass) {
	for n := range consentv1.PersonalClass_name {
		if n != 0 {
			out = append(out, consentv1.PersonalClass(n))
		}
	}
	slices.Sort(out)
	return out
}

// ParseClasses reads such a list, and the words all and none.
func ParseClasses(s string) (out []consentv1.PersonalClass, err error) {
	switch s {
	case "none":
		return nil, nil
	case "all":
		return AllClasses(), nil
	}
	for word := range strings.SplitSeq(s, ",") {
		n := consentv1.PersonalClass_value[classPrefix+strings.ToUpper(strings.TrimSpace(word))]
		if n == 0 {
			return nil, &ledger.InvalidError{Field: "disclose", Problem: "holds a word that is no class of personal parts", Fix: "use " + ClassWords(AllClasses()) + ", all or none"}
		}
		out = append(out, consentv1.PersonalClass(n))
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// openManifest reads a manifest that the ledger signed.
func openManifest(msg []byte, keys proof.Keys) (Manifest, error) {
	key, err := keys.Exports()
	if err != nil {
		return Manifest{}, err
	}
	n, err := proof.OpenNote(msg, key)
	if err != nil {
		return Manifest{}, err
	}
	m, err := parseManifest(n.Text)
	if err != nil {
		return m, err
	}
	if m.Origin+proof.ExportsSuffix != key.Name() {
		return m, refuted("a bundle of %q signed by the key %q", m.Origin, key.Name())
	}
	return m, nil
}
