package rpc

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/seal"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// summary says in a sentence what the clear part of a fact says.
func summary(f *consentv1.Fact) string {
	words := strings.ReplaceAll(string(ledger.KindOf(f)), "_", " ")
	if s := ledger.ScopeOf(f); s != nil {
		words += " for " + scope(s)
	}
	switch k := f.GetKind().(type) {
	case *consentv1.Fact_ConsentGranted:
		words += ", " + k.ConsentGranted.GetLevel() + until(k.ConsentGranted.GetExpiresAt().AsTime(), k.ConsentGranted.GetExpiresAt() != nil)
		if k.ConsentGranted.GetEvidence().GetPreTicked() {
			words += ", by a pre-ticked box (no consent)"
		}
	case *consentv1.Fact_ConsentConfirmed:
		words += ", " + k.ConsentConfirmed.GetLevel() + until(k.ConsentConfirmed.GetExpiresAt().AsTime(), k.ConsentConfirmed.GetExpiresAt() != nil)
	case *consentv1.Fact_ConsentRevoked:
		words += method(k.ConsentRevoked.GetMethod())
	case *consentv1.Fact_DncAdded:
		words += method(k.DncAdded.GetMethod())
	case *consentv1.Fact_InboundMessage:
		words += ", taken as " + word(k.InboundMessage.GetClassification(), "MESSAGE_CLASS_")
	case *consentv1.Fact_RelationshipRecorded:
		words += ": " + relationship(k.RelationshipRecorded)
	case *consentv1.Fact_LocationRecorded:
		m := k.LocationRecorded
		words += ": " + strings.Join(strings.Fields(m.GetRegion()+" "+m.GetArea()+" "+m.GetTimeZone()), " ")
	case *consentv1.Fact_LineTypeChecked:
		words += ": " + k.LineTypeChecked.GetLine()
	case *consentv1.Fact_Ported:
		words += " to " + k.Ported.GetLine()
	case *consentv1.Fact_SubscriberClass:
		words += ": " + word(k.SubscriberClass.GetSubscriber(), "SUBSCRIBER_KIND_")
	case *consentv1.Fact_TimeConsent:
		words += ": " + times(k.TimeConsent.GetWeekdays(), k.TimeConsent.GetWindows(), "holidays", k.TimeConsent.GetHolidays())
	case *consentv1.Fact_PreferenceSet:
		words += ": " + preference(k.PreferenceSet)
	case *consentv1.Fact_PersonErased:
		words += ": " + k.PersonErased.GetReason()
	}
	if len(f.GetPartyKey()) > 0 {
		words += ", of a party with several numbers"
	}
	if f.GetHistorical() {
		words += " (taken over from older records)"
	}
	return words
}

// relationship names the kind, its end, and what is stated of it.
func relationship(m *consentv1.RelationshipRecorded) string {
	out := strings.ReplaceAll(word(m.GetRelationship(), "RELATIONSHIP_KIND_"), "_", " ")
	if m.GetPhase() == consentv1.RelationshipPhase_RELATIONSHIP_PHASE_END {
		out += ", ended"
	}
	fields := m.ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		if fd := fields.Get(i); fd.Kind() == protoreflect.BoolKind && m.ProtoReflect().Has(fd) {
			out += ", " + yesNo(strings.ReplaceAll(string(fd.Name()), "_", " "), m.ProtoReflect().Get(fd).Bool())
		}
	}
	return out
}

func yesNo(what string, yes bool) string {
	if yes {
		return what
	}
	return "not " + what
}

// preference says what a person, or a registry for them, wishes.
func preference(m *consentv1.PreferenceSet) string {
	if m.GetRegistry() == "" {
		return wish(m)
	}
	out := "by " + m.GetRegistry() + ", " + yesNo("blocked", m.GetBlocked())
	if s := (&consentv1.Scope{Channels: m.GetChannels(), Purposes: m.GetPurposes()}); len(s.Channels)+len(s.Purposes) > 0 {
		out += " for " + scope(s)
	}
	if len(m.GetWeekdays())+len(m.GetWindows()) > 0 {
		out += " on " + times(m.GetWeekdays(), m.GetWindows(), "", false)
	}
	return out
}

func wish(m *consentv1.PreferenceSet) string {
	var parts []string
	if len(m.GetWindows()) > 0 {
		parts = append(parts, times(nil, m.GetWindows(), "", false))
	}
	if m.GetFrequencyMax() > 0 {
		parts = append(parts, fmt.Sprintf("at most %d in %d days", m.GetFrequencyMax(), m.GetFrequencyDays()))
	}
	if m.GetLanguage() != "" {
		parts = append(parts, "language "+m.GetLanguage())
	}
	return strings.Join(parts, ", ")
}

// times writes days and times of day: "sunday, 09:00-12:00 on monday".
func times(days []uint32, windows []*consentv1.TimeWindow, extra string, has bool) string {
	var parts []string
	if len(days) > 0 {
		parts = append(parts, weekdays(days))
	}
	for _, w := range windows {
		span := fmt.Sprintf("%02d:%02d-%02d:%02d", w.GetFromMinute()/60, w.GetFromMinute()%60, w.GetToMinute()/60, w.GetToMinute()%60)
		if len(w.GetWeekdays()) > 0 {
			span += " on " + weekdays(w.GetWeekdays())
		}
		parts = append(parts, span)
	}
	if has {
		parts = append(parts, extra)
	}
	return strings.Join(parts, ", ")
}

// weekdays names ISO weekdays, 7 being Sunday.
func weekdays(days []uint32) string {
	names := make([]string, len(days))
	for i, d := range days {
		names[i] = strings.ToLower(time.Weekday(d % 7).String())
	}
	return strings.Join(names, " ")
}

func until(t time.Time, set bool) string {
	if !set {
		return ""
	}
	return ", until " + t.Format(time.RFC3339)
}

func method(m string) string {
	if m == "" {
		return ""
	}
	return ", by " + m
}

// scope names channels and purposes in bare words.
func scope(s *consentv1.Scope) string {
	channels, purposes := make([]string, 0, 4), make([]string, 0, 4)
	for _, c := range s.GetChannels() {
		channels = append(channels, word(c, "CHANNEL_"))
	}
	for _, p := range s.GetPurposes() {
		purposes = append(purposes, word(p, "PURPOSE_"))
	}
	out := fmt.Sprintf("channels %s, purposes %s", cmp.Or(strings.Join(channels, " "), "all"), cmp.Or(strings.Join(purposes, " "), "all"))
	if len(s.GetProgrammes()) > 0 && s.GetProgrammes()[0] != ledger.All {
		out += ", programmes " + strings.Join(s.GetProgrammes(), " ")
	}
	return out
}

// word gives an enum's bare word.
func word(e fmt.Stringer, prefix string) string {
	return strings.ToLower(strings.TrimPrefix(e.String(), prefix))
}

// personal lists the personal fields of an opened fact by the path of their names.
func personal(f *consentv1.Fact) map[string]string {
	out := map[string]string{}
	var walk func(m protoreflect.Message, path string)
	walk = func(m protoreflect.Message, path string) {
		m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
			name := path + string(fd.Name())
			switch {
			case fd.IsList() || fd.IsMap():
			case seal.ClassOf(fd) != consentv1.PersonalClass_PERSONAL_CLASS_UNSPECIFIED:
				out[name] = v.String()
			case fd.Kind() == protoreflect.MessageKind:
				walk(v.Message(), name+".")
			}
			return true
		})
	}
	walk(f.ProtoReflect(), "")
	return out
}
