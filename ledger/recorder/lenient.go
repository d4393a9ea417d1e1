package recorder

import (
	"fmt"
	"strings"
	"unicode"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/consent-ledger/consent-ledger/ledger"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// UnmarshalJSON reads protojson strictly: an unknown name is an error, because a
// misspelt expiry would make a grant last for ever. Only a stop is never rejected
// for form: what it says beside its number goes to the sealed `unread`.
func UnmarshalJSON(data []byte, m proto.Message) error {
	err := protojson.Unmarshal(data, m)
	if err == nil {
		return nil
	}
	req, ok := m.(*consentv1.RecordRequest)
	if !ok {
		return fmt.Errorf("%s", cleanJSONError(err))
	}
	proto.Reset(req)
	if lax := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, req); lax != nil || !ledger.IsStop(req.GetFact()) {
		proto.Reset(req)
		return fmt.Errorf("%s", cleanJSONError(err))
	}
	req.Fact.Unread = string(data)
	return nil
}

// nameDigitsMax bounds the digits of an unknown name that is quoted: with more it
// may be a phone number, however it is written.
const nameDigitsMax = 4

// cleanJSONError keeps protojson's position and reason but never its quotation of
// the value, which may be a phone number.
func cleanJSONError(err error) string {
	text := strings.ReplaceAll(err.Error(), "\u00a0", " ")
	if i := strings.Index(text, "invalid value for "); i >= 0 {
		if j := strings.LastIndex(text, ": "); j > i {
			return text[:j]
		}
	}
	if i := strings.Index(text, "unknown field"); i >= 0 {
		if countDigits(text[i:]) > nameDigitsMax {
			return text[:i] + "unknown field"
		}
		return text
	}
	if i := strings.Index(text, "syntax error"); i >= 0 {
		if j := strings.Index(text[i:], "): "); j >= 0 {
			return text[i : i+j+1]
		}
		return "syntax error"
	}
	return "the JSON does not fit the message"
}

func countDigits(s string) (n int) {
	for _, r := range s {
		if unicode.IsDigit(r) {
			n++
		}
	}
	return n
}
