package rules

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/consent-ledger/consent-ledger/projections/rules/calendar"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// Words for a first day: none, and one that is not known yet.
const (
	always  = "always"
	pending = "pending"
)

// Parse reads one pack, strictly: an unknown or doubled key, a missing citation,
// an impossible day, two versions of a rule that overlap are errors that name file
// and line. The file is named after the pack.
func Parse(name string, raw []byte) (*Pack, error) {
	p, v, err := decode(name, raw)
	if err != nil {
		return nil, fmt.Errorf("rules: %w", err)
	}
	v.set = v.calendars(p)
	p.set = v.set
	v.pack(p)
	if len(v.problems) > 0 {
		return nil, fmt.Errorf("rules: %w", errors.Join(v.problems...))
	}
	p.hash = sha256.Sum256(raw)
	p.country = p.Layer == LayerCountry
	p.use = &consentv1.PackUse{Id: p.ID, Version: p.Version, Sha256: p.SHA256()}
	p.compile()
	return p, nil
}

// decode is all that touches the YAML library, which panics on some text that is
// no YAML (found by fuzzing: a tag before a missing list). Packs of sellers are
// not ours, so that must not end the process.
func decode(name string, raw []byte) (p *Pack, v *validator, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%s: cannot be read as YAML: %v", name, r)
		}
	}()
	file, err := parser.ParseBytes(raw, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	v = &validator{name: name, file: file}
	if err := v.plain(); err != nil {
		return nil, nil, err
	}
	p = &Pack{}
	if err := yaml.NewDecoder(bytes.NewReader(raw), yaml.Strict()).Decode(p); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	return p, v, nil
}

// validator gathers every problem of one file.
type validator struct {
	name     string
	file     *ast.File
	problems []error
	set      *calendar.Set // the calendars a rule may name
}

// plain refuses what makes a pack hard to read: several documents, tags, anchors,
// aliases, merged keys.
func (v *validator) plain() error {
	if len(v.file.Docs) != 1 || v.file.Docs[0].Body == nil {
		return fmt.Errorf("%s: a pack is one YAML document", v.name)
	}
	ast.Walk(v, v.file.Docs[0])
	return errors.Join(v.problems...)
}

// Visit implements ast.Visitor for plain.
func (v *validator) Visit(n ast.Node) ast.Visitor {
	if n == nil {
		return nil
	}
	switch n.Type() {
	case ast.TagType, ast.AnchorType, ast.AliasType, ast.MergeKeyType:
		v.problems = append(v.problems, fmt.Errorf("%s:%d: %s: a pack is written without tags, anchors and aliases",
			v.name, n.GetToken().Position.Line, strings.ToLower(n.Type().String())))
	}
	return v
}

// line finds where something stands; the nearest of its parents that exists.
func (v *validator) line(path string) int {
	for path != "$" {
		if p, err := yaml.PathString(path); err == nil {
			if n, err := p.FilterFile(v.file); err == nil && n != nil {
				return n.GetToken().Position.Line
			}
		}
		path = path[:strings.LastIndexAny(path, ".[")]
	}
	return 1
}

func (v *validator) bad(path, format string, args ...any) {
	v.problems = append(v.problems, fmt.Errorf("%s:%d: %s: %w", v.name, v.line(path), strings.TrimPrefix(path, "$."), fmt.Errorf(format, args...)))
}

// placed is a rule and where it stands.
type placed struct {
	*Rule
	kind, path string
	lifts      []liftList
}

// liftList is one list of lifts of a rule, and its key.
type liftList struct {
	key  string
	list []Lift
}

// placeAll adds the rules of one kind.
func placeAll[T any, P interface {
	*T
	rule() *Rule
}](out *[]placed, kind string, list []T) {
	for i := range list {
		r := placed{P(&list[i]).rule(), kind, fmt.Sprintf("$.%s[%d]", kind, i), nil}
		if l, ok := any(&list[i]).(interface{ lifts() []liftList }); ok {
			r.lifts = l.lifts()
		}
		*out = append(*out, r)
	}
}

// rules lists the rules of every kind in the order of the kinds.
func (p *Pack) rules() (out []placed) {
	placeAll(&out, "revocation", p.Revocation)
	placeAll(&out, "company_dnc", p.CompanyDNC)
	placeAll(&out, "registry", p.Registry)
	placeAll(&out, "preference", p.Preference)
	placeAll(&out, "consent", p.Consent)
	placeAll(&out, "permit", p.Permit)
	placeAll(&out, "confirmation", p.Confirmation)
	placeAll(&out, "window", p.Window)
	placeAll(&out, "cap", p.Cap)
	placeAll(&out, "cooling_off", p.CoolingOff)
	placeAll(&out, "ban", p.Ban)
	placeAll(&out, "emergency", p.Emergency)
	return out
}

// parseFrom reads a first day. A pending rule never begins.
func parseFrom(s string) (calendar.Date, error) {
	switch s {
	case always:
		return calendar.MinDate, nil
	case pending:
		return calendar.MaxDate, nil
	}
	return calendar.ParseDate(s)
}

func parseTo(s string) (calendar.Date, error) {
	if s == "" {
		return calendar.MaxDate, nil
	}
	return calendar.ParseDate(s)
}

// Sizes of tables by channel and purpose: the enums of this version.
const (
	channels = int(consentv1.Channel_CHANNEL_FAX) + 1
	purposes = int(consentv1.Purpose_PURPOSE_EMERGENCY) + 1
)

func parseChannels(words []string) ([]int, error) {
	var flat []string
	for _, w := range words {
		if f, ok := families[w]; ok {
			flat = append(flat, f...)
		} else {
			flat = append(flat, w)
		}
	}
	return parseWords(flat, "CHANNEL_", consentv1.Channel_value, channels)
}

func parsePurposes(words []string) ([]int, error) {
	return parseWords(words, "PURPOSE_", consentv1.Purpose_value, purposes)
}

// families are words for several channels.
var families = map[string][]string{
	"voice": {"voice_live", "voice_atds", "voice_prerecorded", "voice_ai"},
	"text":  {"sms", "sms_atds"},
}

// parseWords reads bare words of an enum; `all` alone is every value after ALL.
func parseWords(words []string, prefix string, values map[string]int32, size int) ([]int, error) {
	const firstValue = 2 // after UNSPECIFIED and ALL
	var out []int
	if len(words) == 1 && words[0] == "all" {
		for n := firstValue; n < size; n++ {
			out = append(out, n)
		}
		return out, nil
	}
	if len(words) == 0 {
		return nil, errors.New("is missing; `all` alone means every one")
	}
	for _, w := range words {
		n := int(values[prefix+strings.ToUpper(w)])
		if n < firstValue || strings.ToLower(w) != w {
			return nil, fmt.Errorf("%q is unknown, or `all` beside others", w)
		}
		if slices.Contains(out, n) {
			return nil, fmt.Errorf("%q is named twice", w)
		}
		out = append(out, n)
	}
	return out, nil
}
