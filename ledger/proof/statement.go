package proof

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/ledger"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// statementHeader is the first line of a statement.
const statementHeader = "consent-ledger/decision@v1"

// numberField takes the place of a field's path in the commitment to a number; no
// path looks like it.
const numberField = "decision.number"

// Statement is one answer as it is signed: what was asked, and what was said. Texts,
// citations and what helps follow from the rule packs it names, by their hash.
type Statement struct {
	// ID is that of the record in CONSENT_ATTEMPTS.
	ID ledger.EntryID
	// DecidedAt is when it was answered.
	DecidedAt time.Time
	// Number commits to the number in E.164; Unreadable: to the text that was given
	// for one.
	Number     ledger.Hash
	Unreadable bool
	// Question is what was asked, with what its campaign stands for filled in. Number,
	// instant and call reference are not in it.
	Question *consentv1.Question
	// Decision is what was answered: verdict, basis, codes and rules of the reasons,
	// position, instants, packs, lists, tzdata.
	Decision *consentv1.Decision
}

// CommitNumber commits to the number asked about: E.164, or as given if it cannot be
// read.
func CommitNumber(salt [SaltBytes]byte, text string) ledger.Hash {
	return Commitment(byte(consentv1.PersonalClass_PERSONAL_CLASS_NUMBER), numberField, salt, []byte(text))
}

// Text is what is signed. The error says that something cannot be put in lines.
func (s Statement) Text() (string, error) {
	text := s.lines()
	if _, err := ParseStatement(text); err != nil {
		return "", fmt.Errorf("proof: a decision that cannot be stated: %w", err)
	}
	return text, nil
}

func (s Statement) lines() string {
	var b strings.Builder
	line := func(key string, words ...string) {
		if strings.Join(words, "") != "" {
			b.WriteString(key + " " + strings.Join(words, " ") + "\n")
		}
	}
	q, d := s.Question, s.Decision
	b.WriteString(statementHeader + "\n")
	line("id", hex.EncodeToString(s.ID[:]))
	line("decided", instant(s.DecidedAt))
	number := "number"
	if s.Unreadable {
		number = "unreadable"
	}
	line(number, encode64(s.Number[:]))
	line("campaign", q.GetCampaign())
	line("seller", q.GetSeller())
	line("channel", bare(q.GetChannel().String(), "CHANNEL_"))
	line("purpose", bare(q.GetPurpose().String(), "PURPOSE_"))
	line("programme", q.GetProgramme())
	line("subject", q.GetSubject())
	line("sector", q.GetSector())
	line("sells", yes(q.GetContent().GetMarketing()))
	line("opt-out-notice", yes(q.GetContent().GetOptOutNotice()))
	line("at", stamp(d.GetAt()))
	line("as-of", stamp(q.GetAsOf()))
	line("verdict", strings.TrimPrefix(d.GetVerdict().String(), "VERDICT_"))
	line("basis", d.GetBasis())
	for _, r := range d.GetReasons() {
		line("reason", trimmed(r.GetCode(), r.GetRule())...)
	}
	line("position", decimal(d.GetPosition()))
	for _, p := range d.GetPacks() {
		line("pack", p.GetId(), p.GetSha256(), strings.Join(strings.Fields(p.GetVersion()), " "))
	}
	for _, l := range d.GetLists() {
		line("list", trimmed(l.GetRegistry(), listed(l), l.GetVersionDate())...)
	}
	line("tzdata", d.GetTzdata())
	line("valid-until", stamp(d.GetValidUntil()))
	line("next-allowed", stamp(d.GetNextAllowedAt()))
	return b.String()
}

// ParseStatement undoes Text.
func ParseStatement(text string) (Statement, error) {
	s := Statement{Question: &consentv1.Question{}, Decision: &consentv1.Decision{}}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if len(text) > NoteBytesMax || lines[0] != statementHeader {
		return s, form("a statement that does not begin with %s", statementHeader)
	}
	for _, line := range lines[1:] {
		key, value, _ := strings.Cut(line, " ")
		if err := s.read(key, value); err != nil {
			return s, err
		}
	}
	blanks := strings.Contains(text, "  ") || strings.Contains(text, " \n") || strings.ContainsFunc(text, unprintable)
	if s.lines() != text || blanks || s.ID == (ledger.EntryID{}) || s.Decision.GetVerdict() == 0 {
		return s, form("a statement that is not in its one encoding")
	}
	return s, nil
}

// read takes one line. Whether it stands where it should, and once, its encoding
// tells.
func (s *Statement) read(key, value string) (err error) {
	q, d := s.Question, s.Decision
	words := strings.Split(value, " ")
	switch key {
	case "id":
		var id []byte
		if id, err = hex.DecodeString(value); err == nil && len(id) == len(s.ID) {
			s.ID = ledger.EntryID(id)
		}
	case "decided":
		s.DecidedAt, err = parseInstant(value)
	case "number", "unreadable":
		s.Unreadable = key == "unreadable"
		h, e := decodeHash(value)
		s.Number, err = ledger.Hash(h), e
	case "campaign":
		q.Campaign = value
	case "seller":
		q.Seller = value
	case "channel":
		q.Channel = consentv1.Channel(consentv1.Channel_value["CHANNEL_"+strings.ToUpper(value)])
	case "purpose":
		q.Purpose = consentv1.Purpose(consentv1.Purpose_value["PURPOSE_"+strings.ToUpper(value)])
	case "programme":
		q.Programme = value
	case "subject":
		q.Subject = value
	case "sector":
		q.Sector = value
	case "sells":
		s.content().Marketing = new(value == "yes")
	case "opt-out-notice":
		s.content().OptOutNotice = new(value == "yes")
	case "at":
		d.At, err = parseStamp(value)
	case "as-of":
		q.AsOf, err = parseStamp(value)
	case "verdict":
		d.Verdict = consentv1.Verdict(consentv1.Verdict_value["VERDICT_"+value])
	case "basis":
		d.Basis = value
	case "reason":
		code, rule, _ := strings.Cut(value, " ")
		d.Reasons = append(d.Reasons, &consentv1.Reason{Code: code, Rule: rule})
	case "position":
		d.Position, err = number(value)
	case "pack":
		if len(words) < 3 {
			return form("a pack without its version")
		}
		d.Packs = append(d.Packs, &consentv1.PackUse{Id: words[0], Sha256: words[1], Version: strings.Join(words[2:], " ")})
	case "list":
		words = append(words, "", "")
		d.Lists = append(d.Lists, &consentv1.ListUse{Registry: words[0], Listed: words[1] == "listed", VersionDate: words[2]})
	case "tzdata":
		d.Tzdata = value
	case "valid-until":
		d.ValidUntil, err = parseStamp(value)
	case "next-allowed":
		d.NextAllowedAt, err = parseStamp(value)
	default:
		err = form("a statement with a line %q", clip(key))
	}
	return err
}

func (s *Statement) content() *consentv1.ContentFlags {
	if s.Question.Content == nil {
		s.Question.Content = &consentv1.ContentFlags{}
	}
	return s.Question.Content
}

func unprintable(r rune) bool { return r < ' ' && r != '\n' || r == 0x7f }

func bare(name, prefix string) string { return strings.ToLower(strings.TrimPrefix(name, prefix)) }

func yes(b bool) string {
	if b {
		return "yes"
	}
	return ""
}

func listed(l *consentv1.ListUse) string {
	switch {
	case l.GetListed():
		return "listed"
	case l.GetVersionDate() == "":
		return "not-loaded"
	}
	return "not-listed"
}

// trimmed drops empty words at the end.
func trimmed(words ...string) []string {
	for len(words) > 1 && words[len(words)-1] == "" {
		words = words[:len(words)-1]
	}
	return slices.Clip(words)
}

// stamp writes an instant that may be absent.
func stamp(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return instant(t.AsTime())
}

func parseStamp(s string) (*timestamppb.Timestamp, error) {
	t, err := parseInstant(s)
	return timestamppb.New(t), err
}
