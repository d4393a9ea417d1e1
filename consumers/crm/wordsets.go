package crm

import (
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// wordSet is an enum of the contract by its bare words: `sms` for CHANNEL_SMS.
type wordSet struct {
	values map[string]int32
	words  []string // in the order of the contract
}

var (
	channelWords      = wordsOf(consentv1.Channel(0).Descriptor(), "CHANNEL_")
	purposeWords      = wordsOf(consentv1.Purpose(0).Descriptor(), "PURPOSE_")
	classWords        = wordsOf(consentv1.MessageClass(0).Descriptor(), "MESSAGE_CLASS_")
	relationshipWords = wordsOf(consentv1.RelationshipKind(0).Descriptor(), "RELATIONSHIP_KIND_")
	phaseWords        = wordsOf(consentv1.RelationshipPhase(0).Descriptor(), "RELATIONSHIP_PHASE_")
	resultWords       = wordsOf(consentv1.QueryResult(0).Descriptor(), "QUERY_RESULT_")
	subscriberWords   = wordsOf(consentv1.SubscriberKind(0).Descriptor(), "SUBSCRIBER_KIND_")
)

func wordsOf(enum protoreflect.EnumDescriptor, prefix string) *wordSet {
	s := &wordSet{values: map[string]int32{}}
	for i := range enum.Values().Len() {
		v := enum.Values().Get(i)
		if v.Number() == 0 {
			continue // not stated: said by saying nothing
		}
		word := strings.ToLower(strings.TrimPrefix(string(v.Name()), prefix))
		s.values[word] = int32(v.Number())
		s.words = append(s.words, word)
	}
	return s
}

func (s *wordSet) value(text string) (int32, bool) {
	if v, ok := s.values[text]; ok {
		return v, true
	}
	v, ok := s.values[plain(text)]
	return v, ok
}

func (s *wordSet) fix(wrong string) string {
	fix := "use one of: " + strings.Join(s.words, ", ")
	if n := nearest(plain(wrong), s.words); n != "" {
		fix = "did you mean " + n + "? Else " + fix
	}
	return fix
}

// plain gives a word the contract's form: "Express Written" is express_written.
func plain(text string) string {
	text = strings.TrimSpace(text)
	for i := range len(text) {
		if c := text[i]; c != '_' && (c < 'a' || c > 'z') {
			return strings.NewReplacer(" ", "_", "-", "_").Replace(strings.ToLower(text))
		}
	}
	return text
}

func isEmpty(m proto.Message) bool {
	empty := true
	m.ProtoReflect().Range(func(protoreflect.FieldDescriptor, protoreflect.Value) bool {
		empty = false
		return false
	})
	return empty
}
