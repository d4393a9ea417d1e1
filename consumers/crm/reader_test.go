package crm

import (
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

func open(t testing.TB, text string, o Options) *Reader {
	t.Helper()
	o.File = sha256.Sum256([]byte(text))
	r, err := NewReader(strings.NewReader(text), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func readAll(t testing.TB, r *Reader) []Row {
	t.Helper()
	var rows []Row
	for {
		row, err := r.Next()
		if err == io.EOF {
			return rows
		}
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row)
	}
}

func mustMap(t testing.TB, text string) *Map {
	t.Helper()
	m, err := ParseMap([]byte(text), time.LoadLocation)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestFacts reads rows and compares the facts, in protojson.
func TestFacts(t *testing.T) {
	const head = "source,event_id,kind,number,seller,channels,purposes,level,occurred_at,expires_at,method,words,ip,pre_ticked\n"
	for name, tt := range map[string]struct {
		file, m string
		o       Options
		want    string
	}{
		"a grant with everything": {
			file: head + `web,e1,consent_granted,(212) 555-0143,acme,sms;voice_live,marketing,Express Written,` +
				`2026-01-05T10:00:00-05:00,2027-01-05,web_form,"yes, I agree",192.0.2.1,no` + "\r\n",
			want: `{"source":"web","eventId":"e1","number":"(212) 555-0143","sellers":["acme"],"occurredAt":"2026-01-05T15:00:00Z","consentGranted":{
				"scope":{"channels":["CHANNEL_SMS","CHANNEL_VOICE_LIVE"],"purposes":["PURPOSE_MARKETING"]},"level":"express_written","expiresOn":"2027-01-05",
				"evidence":{"method":"web_form","words":"yes, I agree","ip":"192.0.2.1","preTicked":false}}}`,
		},
		"a stop with unknown words covers all and keeps them": {
			file: head + "crm,e2,consent_revoked,07700 900123,,sms;telegram,marketing,,sometime in May,,,STOP IT,192.0.2.1,maybe\n",
			want: `{"source":"crm","eventId":"e2","number":"07700 900123","occurredOn":"sometime in May",
				"unread":"channels=sms;telegram\nip=192.0.2.1\npre_ticked=maybe",
				"consentRevoked":{"scope":{"channels":["CHANNEL_ALL"],"purposes":["PURPOSE_MARKETING"]},"words":"STOP IT"}}`,
		},
		"a stop without a number goes to the server": {
			file: head + "crm,e3,consent_revoked,,,,,,,,,she said stop,,\n",
			want: `{"source":"crm","eventId":"e3","consentRevoked":{"scope":{},"words":"she said stop"}}`,
		},
		"an inbound message": {
			file: "kind,number,body,channels,source,event_id,seller\ninbound_message,+12125550143,Stop!!,sms,twilio,SM1,acme\n",
			want: `{"source":"twilio","eventId":"SM1","number":"+12125550143","sellers":["acme"],"inboundMessage":{"body":"Stop!!","channel":"CHANNEL_SMS"}}`,
		},
		"a map": {
			file: "Phone Number;Status;When;Owner\n+12125550143;OPT IN;11/23/2026 10:15;Jane\n",
			m: "delimiter: ;\ncolumns: {Phone Number: number, Status: kind, When: occurred_at}\nignore: [Owner]\n" +
				"set: {source: hubspot, seller: acme, event_id: x, channels: sms, purposes: marketing, level: express}\n" +
				"values: {kind: {Opt In: consent_granted}}\ndates: [MM/DD/YYYY, MM/DD/YYYY hh:mm]\ntime_zone: America/New_York\n",
			want: `{"source":"hubspot","eventId":"x","number":"+12125550143","sellers":["acme"],"occurredAt":"2026-11-23T15:15:00Z",
				"consentGranted":{"scope":{"channels":["CHANNEL_SMS"],"purposes":["PURPOSE_MARKETING"]},"level":"express"}}`,
		},
		"a time without a zone is a day": {
			file: "kind,number,occurred_at,event_id\nconsent_revoked,+12125550143,23.11.2026 10:15,x\n",
			m:    "dates: [DD.MM.YYYY hh:mm]\n",
			want: `{"eventId":"x","number":"+12125550143","occurredOn":"2026-11-23","unread":"occurred_at=23.11.2026 10:15","consentRevoked":{"scope":{}}}`,
		},
		"historical": {
			file: "kind,number,event_id\ndnc_added,+12125550143,x\n", o: Options{Historical: true},
			want: `{"eventId":"x","number":"+12125550143","historical":true,"dncAdded":{"scope":{}}}`,
		},
		"a byte order mark, a quote within a field, a field over two lines": {
			file: "\xef\xbb\xbfkind,number,event_id,words\r\nconsent_revoked,+12125550143,5\" x,\"no\r\nmore \"\"texts\"\"\"\r\n",
			want: `{"eventId":"5\" x","number":"+12125550143","consentRevoked":{"scope":{},"words":"no\nmore \"texts\""}}`,
		},
		"a guarded number": {
			file: "kind,number,event_id\nconsent_revoked,'+12125550143,x\n",
			want: `{"eventId":"x","number":"+12125550143","consentRevoked":{"scope":{}}}`,
		},
		"a party's number": {
			file: "kind,number,event_id,party,basis\nparty_number,+12125550143,x, C-17 ,crm\n",
			want: `{"eventId":"x","number":"+12125550143","party":"C-17","partyNumber":{"basis":"crm"}}`,
		},
		"a company": {
			file: "kind,number,event_id,subscriber\nsubscriber_class,+442079460143,x,Corporate\n",
			want: `{"eventId":"x","number":"+442079460143","subscriberClass":{"subscriber":"SUBSCRIBER_KIND_CORPORATE"}}`,
		},
		"times agreed to": {
			file: "kind,number,event_id,weekdays,windows,holidays\ntime_consent,+447700900123,x,Sun;6,08:00-09:30;18:00-24:00,no\n",
			want: `{"eventId":"x","number":"+447700900123","timeConsent":{"weekdays":[7,6],
				"windows":[{"fromMinute":480,"toMinute":570},{"fromMinute":1080,"toMinute":1440}]}}`,
		},
		"a registry's preference blocks unless it says otherwise": {
			file: "kind,number,event_id,registry,channels,weekdays\npreference_set,+12125550143,x,in_ncpr,voice_live,sunday\n",
			want: `{"eventId":"x","number":"+12125550143","preferenceSet":{"registry":"in_ncpr","blocked":true,"channels":["CHANNEL_VOICE_LIVE"],"weekdays":[7]}}`,
		},
		"one with words nobody knows blocks all": {
			file: "kind,number,event_id,registry,channels,weekdays,windows,blocked\npreference_set,+12125550143,x,in_ncpr,telegram,Sonntag,morning,perhaps\n",
			want: `{"eventId":"x","number":"+12125550143","unread":"blocked=perhaps\nchannels=telegram\nweekdays=Sonntag\nwindows=morning",
				"preferenceSet":{"registry":"in_ncpr","blocked":true,"channels":["CHANNEL_ALL"]}}`,
		},
		"a person's own times": {
			file: "kind,number,event_id,weekdays,windows\npreference_set,+12125550143,x,1;2,09:00-12:00\n",
			want: `{"eventId":"x","number":"+12125550143","preferenceSet":{"windows":[{"weekdays":[1,2],"fromMinute":540,"toMinute":720}]}}`,
		},
		"what a sale rests on": {
			file: "kind,number,event_id,relationship,similar_products,details_collected_in_sale,opt_out_offered,opt_out_in_every_message,customer\n" +
				"relationship_recorded,+12125550143,x,purchase,yes,yes,no,yes,y\n",
			want: `{"eventId":"x","number":"+12125550143","relationshipRecorded":{"relationship":"RELATIONSHIP_KIND_PURCHASE","similarProducts":true,
				"detailsCollectedInSale":true,"optOutOffered":false,"optOutInEveryMessage":true,"customer":true}}`,
		},
		"a county": {
			file: "kind,number,event_id,area,basis\nlocation_recorded,+12125550143,x,US-NY-061,address\n",
			want: `{"eventId":"x","number":"+12125550143","locationRecorded":{"area":"US-NY-061","basis":"address"}}`,
		},
		"JSON, flat": {
			file: `{"kind":"consent_revoked","number":2125550143,"event_id":"x","channels":["sms"],"exact":true,"name":null}`, o: Options{Format: JSONL},
			want: `{"eventId":"x","number":"2125550143","consentRevoked":{"scope":{"channels":["CHANNEL_SMS"],"exact":true}}}`,
		},
		"JSON, a whole fact": {
			file: `{"fact":{"number":"+12125550143","eventId":"x","consentRevoked":{"words":"stop"}}}` + "\n\n", o: Options{Format: JSONL, Historical: true},
			want: `{"eventId":"x","number":"+12125550143","historical":true,"consentRevoked":{"words":"stop"}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.m != "" {
				tt.o.Map = mustMap(t, tt.m)
			}
			rows := readAll(t, open(t, tt.file, tt.o))
			if len(rows) != 1 || rows[0].Err != nil {
				t.Fatalf("rows: %+v", rows)
			}
			want := &consentv1.Fact{}
			if err := protojson.Unmarshal([]byte(tt.want), want); err != nil {
				t.Fatal(err)
			}
			if !proto.Equal(rows[0].Fact, want) {
				t.Errorf("fact:\n%s\nwant:\n%s", protojson.Format(rows[0].Fact), protojson.Format(want))
			}
		})
	}
}

// TestEveryKind: each kind of the list is filled, and each is of the contract.
func TestEveryKind(t *testing.T) {
	if len(kinds) != len(kindNames) {
		t.Errorf("%d kinds, %d names", len(kinds), len(kindNames))
	}
	for _, kind := range kindNames {
		file := "kind,number,relationship,party\n" + kind + ",+12125550143,purchase,c-1\n"
		rows := readAll(t, open(t, file, Options{}))
		if rows[0].Err != nil {
			t.Errorf("%s: %v", kind, rows[0].Err)
			continue
		}
		m := rows[0].Fact.ProtoReflect()
		if fd := m.WhichOneof(m.Descriptor().Oneofs().ByName("kind")); fd == nil || string(fd.Name()) != kind {
			t.Errorf("%s gives %v", kind, fd)
		}
	}
}

const unknownChannel = `use one of: all, voice_live, voice_atds, voice_prerecorded, voice_ai, sms, sms_atds, fax`

// TestBadRows: the exact text of each bad row; the row after it is read.
func TestBadRows(t *testing.T) {
	const head = "kind,number,seller,channels,purposes,pre_ticked,words,grant_position\n"
	const good = "consent_revoked,+12125550144,acme,,,,,\n"
	for _, tt := range []struct{ row, want string }{
		{"consent_granted,+12125550143,acme,telegram,marketing,,,", `line 2: channels: "telegram" is unknown; ` + unknownChannel},
		{"consent_granted,+12125550143,acme,smss,marketing,,,", `line 2: channels: "smss" is unknown; did you mean sms? Else ` + unknownChannel},
		{"consent_granted,+12125550143,acme,2125550143,marketing,,,", `line 2: channels: a number is unknown; ` + unknownChannel},
		{"consent_granted,+12125550143,acme,sms,sell,,,", `line 2: purposes: "sell" is unknown; use one of: all, marketing, survey, charity, ` +
			`political, informational, transactional, opt_out_confirmation, emergency`},
		{"consent_granted,+12125550143,acme,sms,marketing,perhaps,,", `line 2: pre_ticked: "perhaps" is neither yes nor no; write true or false`},
		{"consent_granted,,acme,sms,marketing,,,", `line 2: number: is missing; a fact is about a number; delete the row or find its number`},
		{",+12125550143,acme,,,,,", `line 2: kind: is missing; use one of: ` + strings.Join(kindNames, ", ")},
		{"consent_grant,+12125550143,acme,,,,,", `line 2: kind: "consent_grant" is unknown; did you mean consent_granted?`},
		{"seller_registered,+12125550143,acme,,,,,", `line 2: kind: "seller_registered" is unknown; use one of: ` + strings.Join(kindNames, ", ")},
		{"consent_granted,+12125550143,acme", `line 2: has 3 fields, the header has 8; put fields with commas in quotes`},
		{"consent_granted,+12125550143,acme,sms,marketing,,y\xffes,", `line 2: words: is not valid UTF-8 (column 7); save the file as CSV UTF-8`},
		{`consent_granted,+12125550143,acme,sms,marketing,,"yes,`,
			`line 2: opens a quote that is never closed; close it; the lines after this one were read on their own`},
		{`consent_granted,+12125550143,acme,sms,marketing,,"y"es,`, `line 2: has a quote inside a quoted field; write a quote in a quoted field twice: ""`},
		{"consent_granted,+12125550143,acme,sms,marketing,," + strings.Repeat("x", RecordBytesMax) + ",",
			`line 2: is longer than 4194304 bytes; keep recordings and documents elsewhere and give their reference`},
	} {
		rows := readAll(t, open(t, head+tt.row+"\n"+good, Options{}))
		if len(rows) != 2 {
			t.Errorf("%.80s: %d rows", tt.row, len(rows))
			continue
		}
		if rows[0].Err == nil || rows[0].Err.Error() != tt.want {
			t.Errorf("%.80s\n is: %v\nwant: %s", tt.row, rows[0].Err, tt.want)
		}
		if rows[1].Err != nil || rows[1].Line != 3 {
			t.Errorf("%.80s: the next row: line %d, %v", tt.row, rows[1].Line, rows[1].Err)
		}
	}
}

// TestBrokenStops: a broken row that is a stop is recorded all the same, with
// the row as it came (promise 10).
func TestBrokenStops(t *testing.T) {
	const head = "kind,number,seller,channels,words\n"
	for _, tt := range []struct {
		row   string
		words string
	}{
		{"consent_revoked,+12125550143", ""},
		{"consent_revoked,+12125550143,acme,sms,stop, please", "stop"},
		{"consent_revoked,+12125550143,acme,sms,st\xffop", "st\ufffdop"},
		{`consent_revoked,+12125550143,acme,sms,"stop`, `"stop`},
		{`consent_revoked,+12125550143,acme,sms,"st"op`, `"st"op`},
		{"consent_revoked,+12125550143,acme,sms," + strings.Repeat("x", RecordBytesMax),
			strings.Repeat("x", keptOfLongLine-len("consent_revoked,+12125550143,acme,sms,"))},
	} {
		rows := readAll(t, open(t, head+tt.row+"\n"+"dnc_added,+12125550144,,,\n", Options{}))
		if len(rows) != 2 || rows[0].Err != nil || rows[1].Err != nil {
			t.Errorf("%.80s: %+v", tt.row, rows)
			continue
		}
		f := rows[0].Fact
		if f.GetNumber() != "+12125550143" || f.GetConsentRevoked().GetWords() != tt.words || !strings.HasPrefix(f.GetUnread(), "row=consent_revoked,+12125550143") {
			t.Errorf("%.80s: %.200v", tt.row, f)
		}
	}
	for _, line := range []string{
		`{"kind":"consent_revoked","number":"+12125550143","extra":1}`,
		"{\"kind\":\"consent_revoked\",\"number\":\"+12125550143\",\"words\":\"\xff\"}",
		`{"fact":{"number":"+12125550143","consentRevoked":{},"extra":1}}`,
	} {
		rows := readAll(t, open(t, line, Options{Format: JSONL}))
		if rows[0].Err != nil || rows[0].Fact.GetNumber() != "+12125550143" || !strings.HasPrefix(rows[0].Fact.GetUnread(), "row={") {
			t.Errorf("%s: %v %v", line, rows[0].Fact, rows[0].Err)
		}
	}
}

func TestBadJSON(t *testing.T) {
	for _, tt := range []struct{ line, want string }{
		{`{"kind":`, `line 1: is no JSON object; write one object a line`},
		{`[1]`, `line 1: is no JSON object; write one object a line`},
		{`null`, `line 1: is no JSON object; write one object a line`},
		{`{"kind" 1}`, `line 1: is no JSON object (byte 9); write one object a line`},
		{`{} {}`, `line 1: has more than one JSON value; write one object a line`},
		{`{"kinds":"x"}`, `line 1: unknown column "kinds"; did you mean kind?`},
		{`{"2125550143":"x"}`, `line 1: unknown column that looks like a phone number; the first row must name the columns`},
		{`{"number":{"a":1}}`, `line 1: number: is an object; write a string, a number, true, false or a list of strings`},
		{"{\"kind\":\"\xff\"}", `line 1: is not valid UTF-8 (byte 10); write the file as UTF-8`},
		{`{"fact":{"number":2125550143}}`, `line 1: fact: is no Fact in protojson; see proto/consent/v1/fact.proto; unknown fields are refused`},
		{`{"fact":{},"interactive":true}`, `line 1: has other members beside fact; put everything inside fact`},
	} {
		rows := readAll(t, open(t, tt.line+"\n"+`{"kind":"dnc_added","number":"+12125550143"}`, Options{Format: JSONL}))
		if len(rows) != 2 || rows[0].Err == nil || rows[0].Err.Error() != tt.want {
			t.Errorf("%s\n is: %v\nwant: %s", tt.line, rows[0].Err, tt.want)
			continue
		}
		if rows[1].Err != nil {
			t.Errorf("%s: the next row: %v", tt.line, rows[1].Err)
		}
	}
}

// TestBadHeaders: the file is refused before any row is read.
func TestBadHeaders(t *testing.T) {
	for _, tt := range []struct{ file, m, want string }{
		{"", "", "the file is empty; it needs a header row that names its columns"},
		{"kind,numbr\n", "", `header: unknown column "numbr"; did you mean number?`},
		{"kind,number,Lifecycle Stage\n", "",
			`header: unknown column "Lifecycle Stage"; map or ignore it with --map, or use one of: ` + strings.Join(fieldNames[:], ", ")},
		{"kind,+12125550143\n", "", "header: unknown column that looks like a phone number; the first row must name the columns"},
		{"kind,number,phone\n", "", `header: columns "number" and "phone" both give number; ignore one of them with --map`},
		{"kind,seller\n", "", "header: no column gives number; name it `number`, or map it with --map"},
		{"number,seller\n", "", "header: no column gives kind; name it `kind`, or set it with --map"},
		{"kind;number\n", "", "header: the columns seem to be separated by semicolons; say so with `delimiter` in --map"},
		{"\xff\xfek\x00", "", "the file is UTF-16; save it as CSV UTF-8"},
		{"k\x00i\x00", "", "the file is UTF-16, or no text at all; save it as CSV UTF-8"},
		{"PK\x03\x04\x14\x00", "", "the file is a ZIP or an Excel file; unpack it, or save it as CSV UTF-8"},
		{"\x1f\x8b\x08\x00", "", "the file is packed by gzip or zstd; unpack it first"},
		{"kind,number,n\xffme\n", "", "header: column 3 is not valid UTF-8; save the file as CSV UTF-8"},
		{"kind,number,seller\n", "set: {seller: acme}", `header: column "seller" gives seller, and so does set in the map; ignore the column or drop the constant`},
	} {
		o := Options{}
		if tt.m != "" {
			o.Map = mustMap(t, tt.m)
		}
		if _, err := NewReader(strings.NewReader(tt.file), o); err == nil || err.Error() != tt.want {
			t.Errorf("%q\n is: %v\nwant: %s", tt.file, err, tt.want)
		}
	}
}

func TestBadMaps(t *testing.T) {
	for _, tt := range []struct{ m, want string }{
		{"colums: {}", "unknown field \"colums\""},
		{"columns: {Phone: numbr}", `map: columns: "numbr"; did you mean number?`},
		{"set: {vendor: x}", `map: set: "vendor"; map or ignore it`},
		{"values: {knd: {a: b}}", `map: values: "knd"; did you mean kind?`},
		{"delimiter: ';;'", `map: delimiter: is ";;"; write one character, or tab`},
		{"dates: [hh:mm]", `map: dates: "hh:mm" lacks year, month or day; write it like MM/DD/YYYY or DD.MM.YYYY hh:mm`},
		{"time_zone: Mars/Olympus", `map: time_zone: "Mars/Olympus" is no IANA time zone such as America/New_York`},
		{"columns: {A: number}\nignore: [a]", `map: ignore: column "a" is also in columns`},
	} {
		if _, err := ParseMap([]byte(tt.m), time.LoadLocation); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s\n is: %v\nwant: %s", tt.m, err, tt.want)
		}
	}
}

// TestIDs: the same file read the same way gives the same ids; anything else others.
func TestIDs(t *testing.T) {
	const file = "kind,number\ndnc_added,+12125550143\ndnc_added,+12125550143\n"
	ids := func(file string, o Options) (out []string) {
		for _, row := range readAll(t, open(t, file, o)) {
			out = append(out, row.Fact.EventId)
		}
		return out
	}
	base := ids(file, Options{})
	if diff := cmp.Diff(base, ids(file, Options{})); diff != "" {
		t.Errorf("the same file again: %s", diff)
	}
	if base[0] == base[1] {
		t.Error("two equal rows have one id: they are two events")
	}
	for name, other := range map[string][]string{
		"file":       ids(file+"\n", Options{}),
		"region":     ids(file, Options{DefaultRegion: "GB"}),
		"historical": ids(file, Options{Historical: true}),
		"map":        ids(file, Options{Map: mustMap(t, "set: {source: x}")}),
	} {
		if other[0] == base[0] {
			t.Errorf("another %s gives the same id", name)
		}
	}
}

func TestOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "facts.csv")
	if err := os.WriteFile(path, []byte("kind,number\ndnc_added,+12125550143\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if rows := readAll(t, r); len(rows) != 1 || r.Bytes() != 36-1 && r.Bytes() == 0 {
		t.Errorf("%d rows, %d bytes", len(rows), r.Bytes())
	}
	r2, err := NewReader(strings.NewReader("kind,number\n"), Options{File: sha256.Sum256([]byte("something else"))})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r2.Next(); !errors.Is(err, ErrChanged) {
		t.Errorf("a changed file: %v", err)
	}
}

// FuzzSplit: on input without odd quotes the splitter agrees with encoding/csv;
// on all other it neither panics nor loses a line.
func FuzzSplit(f *testing.F) {
	for _, s := range []string{"a,b\n", "\"a\n\",b\n\"\"\"\"\n", "a,\"b\nc,d\n", ",\r\n\"x\"y\n", "5\" x,y"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s := &csvSource{lines: newLineReader(strings.NewReader(text)), comma: ','}
		var got [][]string
		clean, last := true, 0
		for {
			line, raw, rowErr, err := s.record()
			if err == io.EOF {
				break
			}
			if err != nil || line <= last || len(raw) == 0 {
				t.Fatalf("line %d after %d: %q, %v", line, last, raw, err)
			}
			last, clean = line, clean && rowErr == nil
			got = append(got, raw)
		}
		std := csv.NewReader(bytes.NewReader(bytes.TrimPrefix([]byte(text), []byte("\xef\xbb\xbf"))))
		std.FieldsPerRecord = -1
		want, err := std.ReadAll()
		if err != nil || strings.Contains(strings.ReplaceAll(text, "\r\n", ""), "\r") {
			return // encoding/csv gives up, or keeps a lone \r in another way
		}
		if !clean {
			t.Fatalf("encoding/csv reads %q, we do not", text)
		}
		if diff := cmp.Diff(want, got); diff != "" && len(want)+len(got) > 0 {
			t.Fatalf("%q: %s", text, diff)
		}
	})
}

func FuzzJSONL(f *testing.F) {
	f.Add(`{"kind":"consent_granted","number":"x","channels":["sms"]}`)
	f.Add(`{"fact":{"consentRevoked":{}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		r, err := NewReader(strings.NewReader(text), Options{Format: JSONL, File: sha256.Sum256([]byte(text))})
		if err != nil {
			return // one object over many lines
		}
		for _, row := range readAll(t, r) {
			if (row.Err == nil) == (row.Fact == nil) {
				t.Fatalf("%q: %+v", text, row)
			}
		}
	})
}

func benchFile(rows int) string {
	var b strings.Builder
	b.WriteString("source,event_id,kind,number,seller,channels,purposes,level,occurred_at,method,words\n")
	for i := range rows {
		if i%5 == 0 {
			fmt.Fprintf(&b, "crm,e%d,consent_revoked,+1212555%04d,acme,sms,,,2026-01-05T10:00:00Z,sms,STOP\n", i, 100+i%100)
			continue
		}
		fmt.Fprintf(&b, "crm,e%d,consent_granted,(212) 555-%04d,acme,sms;voice_live,marketing,express_written,"+
			"2026-01-05T10:00:00Z,web_form,\"yes, please\"\n", i, 100+i%100)
	}
	return b.String()
}

func BenchmarkReader(b *testing.B) {
	const rows = 10_000
	file := benchFile(rows)
	o := Options{File: sha256.Sum256([]byte(file))}
	b.ReportAllocs()
	b.SetBytes(int64(len(file)))
	for b.Loop() {
		r, err := NewReader(strings.NewReader(file), o)
		if err != nil {
			b.Fatal(err)
		}
		for {
			row, err := r.Next()
			if err == io.EOF {
				break
			}
			if err != nil || row.Err != nil {
				b.Fatal(err, row.Err)
			}
		}
	}
	b.ReportMetric(float64(rows*b.N)/b.Elapsed().Seconds(), "rows/s")
}
