package bundle

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/bundle/bundletest"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

const firstTable = "entries/000001.csv"

// opened is a story whose tables show the opened parts, as those of a server do.
func opened(t *testing.T, s *story) (zip []byte, rows [][]byte) {
	t.Helper()
	rows = append(rows, rowOf(Columns))
	for _, r := range s.records(AllClasses()) {
		var e consentv1.Entry
		if err := proto.Unmarshal(r.Entry, &e); err != nil {
			t.Fatal(err)
		}
		personal, whole := personalOf(r.Opened)
		if !whole || personal["number"] == "" {
			t.Fatalf("position %d: %v", r.Position, personal)
		}
		rows = append(rows, rowOf(Shown{Entry: &e, Leaf: ledger.LeafHash(r.Entry), Personal: personal}.Row()))
	}
	return s.lie(honest(s), func(f files) { f[firstTable] = bytes.Join(rows, nil) }, nil), rows
}

// TestTables: every cell of a table is what its entry shows, or the bundle is refused,
// whoever signed it; only whether the person was erased is the operator's word.
func TestTables(t *testing.T) {
	s := newStory(t)
	zip, rows := opened(t, s)
	if !bytes.Contains(rows[1], []byte(`""consent_granted.evidence.words"":""Yes <text> me & mine""`)) || !bytes.Contains(rows[1], []byte(ann)) {
		t.Fatalf("%s", rows[1])
	}
	with := func(table ...[]byte) []byte {
		return s.lie(zip, func(f files) { f[firstTable] = bytes.Join(table, nil) }, nil)
	}
	row := func(i int, edit func(row []byte) []byte) []byte {
		t.Helper()
		out := slices.Clone(rows)
		if out[i] = edit(bytes.Clone(rows[i])); bytes.Equal(out[i], rows[i]) {
			t.Fatalf("%s is not changed", rows[i])
		}
		return with(out...)
	}
	replace := func(i int, old, new string) []byte {
		return row(i, func(b []byte) []byte { return bytes.Replace(b, []byte(old), []byte(new), 1) })
	}
	for _, c := range []struct {
		name string
		zip  []byte
		want string // of the claim; of the refusal after a !
	}{
		{"what the entries show", zip, "each of the 7 rows shows what its entry does, but for the column erased"},
		{"nothing opened", honest(s), "each of the 7 rows"},
		{"erased", replace(2, ",false,", ",true,"), "each of the 7 rows"},
		{"erased perhaps", replace(2, ",false,", ",maybe,"), "!the row of position 5"},
		{"another kind", replace(3, "consent_revoked", "consent_granted"), "!the row of position 6"},
		{"another number", replace(1, ann, "+12125550199"), "!the row of position 3"},
		{"another instant", replace(1, "09:33:00", "09:34:00"), "!the row of position 3"},
		{"another seller", replace(1, "acme;other", "other"), "!the row of position 3"},
		{"other words", replace(1, "Yes <text>", "No <text>"), "!the row of position 3"},
		{"another channel", replace(1, ",sms,", ",voice_live,"), "!the row of position 3"},
		{"one part left out", row(1, func(b []byte) []byte { return bytes.Replace(b, []byte(`,""event_id"":""event-2""`), nil, 1) }), "!the row of position 3"},
		{"a row left out", with(slices.Delete(slices.Clone(rows), 2, 3)...), "!the row of position 5"},
		{"the last row left out", with(rows[:7]...), "!the row of position 12"},
		{"a row twice", with(slices.Insert(slices.Clone(rows), 1, rows[1])...), "!the row of position 5"},
		{"a row more", with(append(slices.Clone(rows), rows[7])...), "!has rows of no entry"},
		{"rows exchanged", with(rows[0], rows[2], rows[1], rows[3], rows[4], rows[5], rows[6], rows[7]), "!the row of position 3"},
		{"no header", with(rows[1:]...), "!begins with other columns"},
		{"other columns", row(0, func(b []byte) []byte { return bytes.Replace(b, []byte("number"), []byte("mumber"), 1) }), "!begins with other columns"},
		{"nothing in it", with(), "!begins with other columns"},
		{"a quote that nobody closes", row(1, func(b []byte) []byte { return append([]byte(`"`), b...) }), "!the row of position 3"},
		{"a carriage return", row(1, func(b []byte) []byte { return append(bytes.TrimSuffix(b, []byte("\n")), "\r\n"...) }), "!the row of position 3"},
		{"quotes where none are needed", replace(1, ",crm,", `,"crm",`), "!the row of position 3"},
		{"a mark of the byte order", row(0, func(b []byte) []byte { return append([]byte("\xef\xbb\xbf"), b...) }), "!begins with other columns"},
		{"a table of no entries", s.lie(zip, func(f files) { f["entries/000002.csv"] = rows[1] }, nil), "!entries/000002.csv is the table of no entries"},
		{"no table", s.lie(zip, func(f files) { delete(f, firstTable) }, nil), "7 entries have no row in a table"},
	} {
		v, err := verify(s.world, c.zip)
		refusal, refused := strings.CutPrefix(c.want, "!")
		switch {
		case refused && (!errors.Is(err, ErrRefuted) || !strings.HasPrefix(fmt.Sprint(err), "tables: ") || !strings.Contains(fmt.Sprint(err), refusal)):
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		case !refused && (err != nil || !strings.HasPrefix(claim(v, "tables").Text, c.want) || claim(v, "tables").Proven == strings.Contains(c.want, "no row")):
			t.Errorf("%s: %v, %v, want %q", c.name, v, err, c.want)
		}
	}
	// The script says that it does not look.
	for _, a := range bundletest.Verify(t, Script(), s.keys(), zip, replace(1, ann, "+12125550199")) {
		i := slices.IndexFunc(a.Claims, func(c bundletest.Claim) bool { return c.Claim == "tables" })
		if i < 0 || a.Claims[i].Proven || !strings.HasPrefix(a.Claims[i].Text, "not compared by this script") {
			t.Errorf("%v", a)
		}
	}
}

// TestTablesOfALaterVersion: what a later program recorded is no lie because this one
// cannot read it.
func TestTablesOfALaterVersion(t *testing.T) {
	w := newWorld(t, "the ledger of a story")
	w.mangle = func(raw []byte) []byte {
		var e consentv1.Entry
		if err := proto.Unmarshal(raw, &e); err != nil {
			t.Fatal(err)
		}
		if e.GetPosition() == 5 { // a kind of tomorrow
			e.Fact.Kind = nil
			e.Fact.ProtoReflect().SetUnknown(protowire.AppendBytes(protowire.AppendTag(nil, 4000, protowire.BytesType), []byte("x")))
		}
		if e.GetPosition() == 9 { // a channel of tomorrow
			e.Fact.GetConsentGranted().GetScope().Channels = []consentv1.Channel{99}
		}
		raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(&e)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	s := tellStory(w)
	zip := s.lie(honest(s), func(f files) {
		f[firstTable] = bytes.ReplaceAll(bytes.ReplaceAll(f[firstTable], []byte(",99,"), []byte(",telepathy,")), []byte(",,,acme;other"),
			[]byte(",tomorrow,,acme;other"))
	}, nil)
	v, errs := both(t, w, zip)
	want := Claim{"tables", false, "2 rows were not compared: a later version of the program recorded what this one cannot read"}
	if errs[0] != nil || claim(v[0], "tables") != want {
		t.Errorf("%v, %v", claim(v[0], "tables"), errs[0])
	}
	lie := s.lie(zip, func(f files) {
		f[firstTable] = bytes.Replace(f[firstTable], []byte("consent_revoked"), []byte("consent_granted"), 1)
	}, nil)
	if _, err := verify(w, lie); !errors.Is(err, ErrRefuted) {
		t.Errorf("a lie among them: %v", err)
	}
}
