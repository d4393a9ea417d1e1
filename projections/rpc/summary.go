package rpc

import (
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
		words += ": " + word(k.RelationshipRecorded.GetRelationship(), "RELATIONSHIP_KIND_")
	case *consentv1.Fact_LocationRecorded:
		words += ": " + strings.TrimSpace(k.LocationRecorded.GetRegion()+" "+k.LocationRecorded.GetTimeZone())
	case *consentv1.Fact_PersonErased:
		words += ": " + k.PersonErased.GetReason()
	}
	if f.GetHistorical() {
		words += " (taken over from older records)"
	}
	return words
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
	out := fmt.Sprintf("channels %s, purposes %s", strings.Join(channels, " "), strings.Join(purposes, " "))
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
