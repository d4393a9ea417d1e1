package crm

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// TestStopsInBrokenJSON: a line of JSON that cannot be read, or not whole, is
// the stop it names, as wide as it could mean, with the line in unread.
func TestStopsInBrokenJSON(t *testing.T) {
	const number, all = `"number":"+12125550143",`, `"consentRevoked":{}`
	for _, tt := range []struct{ name, line, want string }{
		{"no end", `{"kind":"consent_revoked","number":"+12125550143","words":"STOP}`, number + all},
		{"no comma", `{"kind":"consent_revoked" "number":"+12125550143"}`, number + all},
		{"cut off in the number's name", `{"source":"crm","kind":"dnc_added","to":"+1 (212) 555-0143","occurred_at":"2026-11-23 14:00"`,
			`"source":"crm","number":"+1 (212) 555-0143",` + all},
		{"an escape", `{"kind":"inbound_message","number":"\u002b12125550143","body":"x"`, number + all},
		{"bare names", `{kind: consent_revoked, number: +12125550143}`, number + all},
		{"words alone", `{"number":"+12125550143","words":"please stop"`, number + all},
		{"the word of another system", `{"kind":"opt-out","number":"+12125550143"`, number + all},
		{"no number", `{"kind":"consent_revoked","words":"STOP"`, all},
		{"two numbers are none", `{"kind":"consent_revoked","number":"+12125550143"} {"kind":"consent_revoked","number":"+12125550144"}`, all},
		{"a date is no number", `{"kind":"consent_revoked","occurred_at":"2026-11-23 14:00:00"`, all},
		{"not UTF-8", "{\"kind\":\"consent_revoked\",\"number\":\"+12125550143\",\"words\":\"\xff", number + all},
		{"a kind that is an object", `{"kind":{"consent_revoked":{}},"number":"+12125550143"}`, number + all},
		{"too long", `{"kind":"consent_revoked","number":"+12125550143","words":"` + strings.Repeat("x", RecordBytesMax) + `"}`, number + all},
		{"a fact cut off", `{"fact":{"number":"+12125550143","consentRevoked":{"words":"STOP"}`, number + all},
		{"a fact that names its kind as a row does", `{"fact":{"kind":"consent_revoked","number":"+12125550143"}}`, number + all},
		{"a fact that is a list", `{"fact":[{"number":"+12125550143","consent_revoked":{}}]}`, number + all},
		{"a fact with a strange time", `{"fact":{"number":"+12125550143","source":"crm","consentRevoked":{"words":"no"},"occurredAt":"2026-11-23 14:00"}}`,
			`"source":"crm",` + number + `"consentRevoked":{"words":"no"}`},
		{"a fact with an unknown channel", `{"fact":{"number":"+12125550143","dnc_added":{"scope":{"channels":["CHANNEL_SMS","VOICE"]},"words":"no"}}}`,
			number + `"dncAdded":{"words":"no"}`},
		{"a fact with a bare number", `{"fact":{"number":12125550143,"consentRevoked":{}}}`, `"number":"12125550143","consentRevoked":{}`},
		{"a fact of two kinds", `{"fact":{"number":"+12125550143","consentGranted":{"level":"express"},"consentRevoked":{}}}`, number + all},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rows := readAll(t, open(t, tt.line+"\n"+`{"kind":"dnc_added","number":"+12125550144"}`, Options{Format: JSONL}))
			if len(rows) != 2 || rows[0].Err != nil || rows[1].Err != nil {
				t.Fatalf("%d rows, %v", len(rows), rows[0].Err)
			}
			got := rows[0].Fact
			kept := strings.ToValidUTF8(tt.line[:min(len(tt.line), keptOfLongLine)], "\ufffd")
			if got.EventId == "" || !strings.HasPrefix(got.Unread, "row="+kept) {
				t.Errorf("event id %q, unread %.200q", got.EventId, got.Unread)
			}
			got.EventId, got.Unread = "", ""
			want := &consentv1.Fact{}
			if err := protojson.Unmarshal([]byte("{"+tt.want+"}"), want); err != nil {
				t.Fatal(err)
			}
			if !proto.Equal(got, want) {
				t.Errorf("fact:\n%s\nwant:\n%s", protojson.Format(got), protojson.Format(want))
			}
		})
	}
}

// TestBrokenJSONThatIsNoStop: a grant that quotes how to opt out stays a reject.
func TestBrokenJSONThatIsNoStop(t *testing.T) {
	for _, line := range []string{
		`{"kind":"consent_granted","number":"+12125550143","words":"Reply STOP to cancel"`,
		`{"fact":{"number":"+12125550143","consentGranted":{"evidence":{"words":"stop"}}`,
		`{"kind":"opt in","number":"+12125550143","words":"Yes. Reply STOP to stop"`,
		`{"number":"+12125550143"`,
	} {
		rows := readAll(t, open(t, line, Options{Format: JSONL}))
		if len(rows) != 1 || rows[0].Err == nil {
			t.Errorf("%s: %v", line, rows[0].Fact)
		}
	}
}

// TestStopsInOtherWords: the word of another system, or the person's own words,
// make a stop where none of our kinds stands. Nothing that permits is guessed.
func TestStopsInOtherWords(t *testing.T) {
	const head = "kind,number,words,body\n"
	for _, tt := range []struct{ row, kind, unread string }{
		{"STOP,+12125550143,,", "consent_revoked", "kind=STOP"},
		{"Stop!,+12125550143,,", "consent_revoked", "kind=Stop!"},
		{"unsubscribe,+12125550143,,", "consent_revoked", "kind=unsubscribe"},
		{"opt_out,+12125550143,,", "consent_revoked", "kind=opt_out"},
		{"optout,+12125550143,,", "consent_revoked", "kind=optout"},
		{"Opt-Out,+12125550143,,", "consent_revoked", "kind=Opt-Out"},
		{"revoked,+12125550143,,", "consent_revoked", "kind=revoked"},
		{"revoke,+12125550143,,", "consent_revoked", "kind=revoke"},
		{"remove,+12125550143,,", "consent_revoked", "kind=remove"},
		{"DNC,+12125550143,,", "dnc_added", "kind=DNC"},
		{"do_not_call,+12125550143,,", "dnc_added", "kind=do_not_call"},
		{"Do not call,+12125550143,,", "dnc_added", "kind=Do not call"},
		{"consent_revoke,+12125550143,,", "consent_revoked", "kind=consent_revoke"},
		{"opt_out,,,", "consent_revoked", "kind=opt_out"},
		{"message,+12125550143,,please stop texting me", "consent_revoked", "kind=message\nbody=please stop texting me"},
		{",+12125550143,STOP,", "consent_revoked", ""},
		{",+12125550143,End,", "consent_revoked", ""},
		{",+12125550143,Don't call me,", "consent_revoked", ""},
		{"opt_out,+12125550143,one,two,three", "consent_revoked", "kind=opt_out\nbody=two\nrow=opt_out,+12125550143,one,two,three"},

		{"opt_in,+12125550143,Yes. Reply STOP to cancel,", "", ""},
		{"opt_in,+12125550143,Text STOP at any time,", "", ""},
		{"opt_in,+12125550143,I can opt out at any time,", "", ""},
		{"consent_grant,+12125550143,STOP,", "", ""},
		{",+12125550143,weekend offers,", "", ""},
		{"resubscribe,+12125550143,,", "", ""},
	} {
		rows := readAll(t, open(t, head+tt.row+"\n", Options{}))
		if tt.kind == "" {
			if rows[0].Err == nil {
				t.Errorf("%s: is %v, want a reject", tt.row, rows[0].Fact)
			}
			continue
		}
		if rows[0].Err != nil {
			t.Errorf("%s: %v", tt.row, rows[0].Err)
			continue
		}
		if f := rows[0].Fact; kindOf(f) != tt.kind || f.Unread != tt.unread {
			t.Errorf("%s: is %s, unread %q; want %s, %q", tt.row, kindOf(f), f.Unread, tt.kind, tt.unread)
		}
	}
}

// TestSpreadsheetNumbers: what a spreadsheet made of a number is told; a stop
// goes on to the server.
func TestSpreadsheetNumbers(t *testing.T) {
	const why = "was changed by a spreadsheet (an exponent or a decimal point); format the column as text, enter the numbers again and export anew"
	for _, number := range []string{"2.025550192e9", "2.02556E+09", "12025550193.0", "12025550193.00", `"2,02555E+09"`} {
		rows := readAll(t, open(t, "kind,number\nconsent_granted,"+number+"\nconsent_revoked,"+number+"\n", Options{}))
		if rows[0].Err == nil || rows[0].Err.Reason() != "number: "+why {
			t.Errorf("a grant of %s: %v", number, rows[0].Err)
		}
		if rows[1].Err != nil || rows[1].Fact.Number != strings.Trim(number, `"`) {
			t.Errorf("a stop of %s: %v, %v", number, rows[1].Fact, rows[1].Err)
		}
	}
	for _, line := range []string{
		`{"kind":"consent_granted","number":2.025550192e9}`,
		`{"fact":{"number":"12025550193.0","consentGranted":{}}}`,
	} {
		rows := readAll(t, open(t, line, Options{Format: JSONL}))
		if rows[0].Err == nil || rows[0].Err.Reason() != "number: "+why || rows[0].Fact != nil {
			t.Errorf("%s: %v", line, rows[0].Err)
		}
	}
	for _, number := range []string{"202.555.0193", "+12025550193", "(202) 555-0193"} {
		rows := readAll(t, open(t, "kind,number\nconsent_granted,"+number+"\n", Options{}))
		if rows[0].Err != nil {
			t.Errorf("%s: %v", number, rows[0].Err)
		}
	}
}

// TestJSONOverManyLines: the file is refused whole, because line by line its
// stops would lose their numbers.
func TestJSONOverManyLines(t *testing.T) {
	for _, file := range []string{"[\n{\"kind\":\"dnc_added\"}\n]\n", "\xef\xbb\xbf{\r\n  \"kind\": \"consent_revoked\"\n}\n", "[{\n"} {
		_, err := NewReader(strings.NewReader(file), Options{Format: JSONL})
		if want := "the file is JSON over several lines; write one object a line: jq -c '.[]' for a list, jq -c . for objects"; err == nil || err.Error() != want {
			t.Errorf("%q: %v", file, err)
		}
	}
}
