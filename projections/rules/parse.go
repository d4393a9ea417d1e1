package rules

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// always is the word for a rule without a first day.
const always = "always"

// Parse reads one pack, strictly: an unknown or doubled key, a missing citation,
// an impossible day, two versions of a rule that overlap are errors that name file
// and line. The file is named after the pack.
func Parse(name string, raw []byte) (*Pack, error) {
	p, v, err := decode(name, raw)
	if err != nil {
		return nil, fmt.Errorf("rules: %w", err)
	}
	v.pack(p)
	if len(v.problems) > 0 {
		return nil, fmt.Errorf("rules: %w", errors.Join(v.problems...))
	}
	p.hash = sha256.Sum256(raw)
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

var (
	idPattern    = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,63}$`)
	levelPattern = regexp.MustCompile(`^[a-z0-9_]{1,64}$`)
)

func (v *validator) pack(p *Pack) {
	if !idPattern.MatchString(p.ID) {
		v.bad("$.id", "must match [a-z0-9-]{1,64}")
	} else if p.ID != fileID(v.name) {
		v.bad("$.id", "%q is not what the file is called", p.ID)
	}
	for _, f := range []struct{ path, value string }{{"$.version", p.Version}, {"$.title", p.Title}, {"$.about", p.About}} {
		if strings.TrimSpace(f.value) == "" {
			v.bad(f.path, "is missing")
		}
	}
	if !slices.Contains(layerOrder, p.Layer) {
		v.bad("$.layer", "must be one of %v", layerOrder)
	}
	if _, err := parseDay(p.KnownAsOf); err != nil {
		v.bad("$.known_as_of", "must be a day, YYYY-MM-DD")
	}
	v.where("$.applies", p.Applies)
	all := p.rules()
	if len(all) == 0 {
		v.bad("$", "the pack holds no rule")
	}
	for _, r := range all {
		v.rule(r)
	}
	v.overlaps(all)
	v.kinds(p)
}

// placed is a rule and where it stands.
type placed struct {
	*Rule
	kind, path string
}

// rules lists the rules of every kind in the order of the kinds.
func (p *Pack) rules() []placed {
	var out []placed
	add := func(kind string, i int, r *Rule) {
		out = append(out, placed{r, kind, fmt.Sprintf("$.%s[%d]", kind, i)})
	}
	for i := range p.Revocation {
		add("revocation", i, &p.Revocation[i].Rule)
	}
	for i := range p.CompanyDNC {
		add("company_dnc", i, &p.CompanyDNC[i].Rule)
	}
	for i := range p.Registry {
		add("registry", i, &p.Registry[i].Rule)
	}
	for i := range p.Consent {
		add("consent", i, &p.Consent[i].Rule)
	}
	for i := range p.Permit {
		add("permit", i, &p.Permit[i].Rule)
	}
	for i := range p.Confirmation {
		add("confirmation", i, &p.Confirmation[i].Rule)
	}
	return out
}

func (v *validator) rule(r placed) {
	if !idPattern.MatchString(r.ID) {
		v.bad(r.path+".id", "must match [a-z0-9-]{1,64}")
	}
	if strings.TrimSpace(r.Says) == "" {
		v.bad(r.path+".says", "is missing: the rule in one plain sentence")
	}
	if strings.TrimSpace(r.Citation) == "" {
		v.bad(r.path+".citation", "is missing: a rule without a source is an opinion")
	}
	if r.Confidence != "verified" && r.Confidence != "secondary" {
		v.bad(r.path+".confidence", "must be verified or secondary")
	}
	from, err := parseFrom(r.EffectiveFrom)
	if err != nil {
		v.bad(r.path+".effective_from", "must be a day, YYYY-MM-DD, or `always`")
	}
	to, err := parseTo(r.EffectiveTo)
	if err != nil {
		v.bad(r.path+".effective_to", "must be a day, YYYY-MM-DD, or absent")
	} else if to < from {
		v.bad(r.path+".effective_to", "is before effective_from")
	}
	if _, err := parseChannels(r.Channels); err != nil {
		v.bad(r.path+".channels", "%w", err)
	}
	if _, err := parsePurposes(r.Purposes); err != nil {
		v.bad(r.path+".purposes", "%w", err)
	}
	v.where(r.path+".where", r.Where)
}

func (v *validator) where(path string, w Where) {
	for _, c := range slices.Concat(w.CallingCodes, w.ExceptCallingCodes) {
		if c < 1 || c > 999 {
			v.bad(path, "a calling code is 1 to 999")
		}
	}
	if len(w.CallingCodes) > 0 && len(w.ExceptCallingCodes) > 0 {
		v.bad(path, "name the calling codes it is for, or those it is not for, not both")
	}
}

// overlaps finds two versions of a rule in force on one day, and one id used for
// two kinds.
func (v *validator) overlaps(all []placed) {
	for i, b := range all {
		for _, a := range all[:i] {
			if a.ID != b.ID {
				continue
			}
			if a.kind != b.kind {
				v.bad(b.path+".id", "%q is a rule of another kind already (line %d)", b.ID, v.line(a.path+".id"))
				continue
			}
			aFrom, _ := parseFrom(a.EffectiveFrom)
			aTo, _ := parseTo(a.EffectiveTo)
			bFrom, _ := parseFrom(b.EffectiveFrom)
			bTo, _ := parseTo(b.EffectiveTo)
			if aFrom <= bTo && bFrom <= aTo {
				v.bad(b.path+".effective_from", "%q overlaps in time with its version in line %d", b.ID, v.line(a.path+".id"))
			}
		}
	}
}

// kinds checks what each kind has of its own.
func (v *validator) kinds(p *Pack) {
	for i, r := range p.Consent {
		v.levels(fmt.Sprintf("$.consent[%d].levels", i), r.Levels, true)
	}
	for i, r := range p.Permit {
		if r.Basis != OKExempt && r.Basis != OKNotListed {
			v.bad(fmt.Sprintf("$.permit[%d].basis", i), "must be %s or %s", OKExempt, OKNotListed)
		}
	}
	for i, r := range p.Confirmation {
		if r.WithinSeconds < 1 || r.WithinSeconds > 86400 {
			v.bad(fmt.Sprintf("$.confirmation[%d].within_seconds", i), "must be 1 to 86400")
		}
	}
	for i, r := range p.CompanyDNC {
		path := fmt.Sprintf("$.company_dnc[%d]", i)
		if r.TermYears < 0 || r.TermYears > 100 {
			v.bad(path+".term_years", "must be 0 (for ever) to 100")
		}
		v.levels(path+".overridden_by", r.OverriddenBy, false)
	}
	for i, r := range p.Registry {
		path := fmt.Sprintf("$.registry[%d]", i)
		if !levelPattern.MatchString(r.Registry) {
			v.bad(path+".registry", "must match [a-z0-9_]{1,64}")
		}
		if r.MaxAgeDays < 1 || r.MaxAgeDays > 400 {
			v.bad(path+".max_age_days", "must be 1 to 400")
		}
		v.levels(path+".overridden_by", r.OverriddenBy, false)
	}
}

func (v *validator) levels(path string, levels []string, needed bool) {
	if needed && len(levels) == 0 {
		v.bad(path, "is missing: which levels of consent are enough")
	}
	for _, l := range levels {
		if !levelPattern.MatchString(l) {
			v.bad(path, "%q must match [a-z0-9_]{1,64}", l)
		}
	}
}

// A day is counted in days since 1970-01-01.
type day int32

const (
	dayMin day = -1 << 31
	dayMax day = 1<<31 - 1
)

func dayOf(t time.Time) day {
	y, m, d := t.Date()
	return day(time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / 86400)
}

// start is the first instant of the day in UTC.
func (d day) start() time.Time { return time.Unix(int64(d)*86400, 0).UTC() }

func parseDay(s string) (day, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return 0, err
	}
	return dayOf(t), nil
}

func parseFrom(s string) (day, error) {
	if s == always {
		return dayMin, nil
	}
	return parseDay(s)
}

func parseTo(s string) (day, error) {
	if s == "" {
		return dayMax, nil
	}
	return parseDay(s)
}

// Sizes of tables by channel and purpose: the enums of this version.
const (
	channels = int(consentv1.Channel_CHANNEL_FAX) + 1
	purposes = int(consentv1.Purpose_PURPOSE_EMERGENCY) + 1
)

func parseChannels(words []string) ([]int, error) {
	return parseWords(words, "CHANNEL_", consentv1.Channel_value, channels)
}

func parsePurposes(words []string) ([]int, error) {
	return parseWords(words, "PURPOSE_", consentv1.Purpose_value, purposes)
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
