package bundle

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/ledger"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// Columns are those of an entry as a row: of CSV exports, and of the tables in a
// bundle.
var Columns = []string{"position", "recorded_at", "entry_id", "leaf_hash", "kind", "number", "sellers", "source", "earliest", "latest",
	"programmes", "channels", "purposes", "level", "erased", "personal"}

// Shown is an entry with what of it may be shown.
type Shown struct {
	Entry *consentv1.Entry
	Leaf  ledger.Hash
	// Personal are the opened fields by the path of their names.
	Personal map[string]string
	Erased   bool
}

// Row writes the entry under Columns.
func (s Shown) Row() []string {
	f := s.Entry.GetFact()
	personal := "{}"
	if len(s.Personal) > 0 {
		if raw, err := jsonLine(s.Personal); err == nil && json.Valid(raw) {
			personal = strings.TrimSuffix(string(raw), "\n")
		}
	}
	row := []string{strconv.FormatUint(s.Entry.GetPosition(), 10), s.RecordedAt().Format(time.RFC3339Nano), s.ID(), s.Leaf.String(), string(ledger.KindOf(f)),
		s.Personal["number"], strings.Join(f.GetSellers(), ";"), f.GetSource(), moment(f.GetEarliest()), moment(f.GetLatest())}
	scope := ledger.ScopeOf(f)
	return append(row, strings.Join(scope.GetProgrammes(), ";"), words(scope.GetChannels()), words(scope.GetPurposes()), levelOf(f), strconv.FormatBool(s.Erased), personal)
}

// RecordedAt is when the writer took it, in UTC.
func (s Shown) RecordedAt() time.Time { return s.Entry.GetRecordedAt().AsTime().UTC() }

// ID is the entry's id in the usual form; empty if it has none.
func (s Shown) ID() string {
	if id := s.Entry.GetEntryId(); len(id) == len(ledger.EntryID{}) {
		return ledger.EntryID(id).String()
	}
	return ""
}

// moment is a time as people read it; empty if there is none.
func moment(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return t.AsTime().UTC().Format("2006-01-02 15:04:05Z")
}

// levelOf is the level of whatever kind the fact is.
func levelOf(f *consentv1.Fact) string {
	switch k := f.GetKind().(type) {
	case *consentv1.Fact_ConsentGranted:
		return k.ConsentGranted.GetLevel()
	case *consentv1.Fact_ConsentConfirmed:
		return k.ConsentConfirmed.GetLevel()
	}
	return ""
}

// words joins the bare words of enums: sms for CHANNEL_SMS.
func words[E interface {
	Number() protoreflect.EnumNumber
	Descriptor() protoreflect.EnumDescriptor
}](values []E) string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = word(v)
	}
	return strings.Join(out, ";")
}

func word(e interface {
	Number() protoreflect.EnumNumber
	Descriptor() protoreflect.EnumDescriptor
}) string {
	v := e.Descriptor().Values().ByNumber(e.Number())
	switch {
	case e.Number() == 0:
		return ""
	case v == nil:
		return strconv.Itoa(int(e.Number())) // of a later version
	}
	name := strings.ToLower(string(v.Name()))
	return strings.TrimPrefix(name, strings.ToLower(string(e.Descriptor().Name()))+"_")
}
