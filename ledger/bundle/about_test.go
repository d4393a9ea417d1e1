package bundle

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/consent-ledger/consent-ledger/ledger"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// sellerManifest is that of a bundle about acme.
func (s *story) sellerManifest() Manifest {
	m := s.manifest()
	m.Seller, m.From, m.Recipient = "acme", began, ""
	return m
}

// ofSeller is a bundle about a seller with the entries at some positions.
func ofSeller(s *story, m Manifest, at ...ledger.Position) []byte {
	var records []Record
	for _, p := range at {
		records = append(records, s.record(p, 0, AllClasses()))
	}
	numbers := s.numbers
	s.numbers = nil
	defer func() { s.numbers = numbers }()
	return s.bundle(m, records)
}

// TestWhomItIsAbout: what entries show of whom they are about is counted, and whoever
// signs cannot have a seller or a period say what the entries do not.
func TestWhomItIsAbout(t *testing.T) {
	s := newStory(t)
	withhold := func(which ...int) []byte {
		return s.lie(honest(s), func(f files) {
			f.without(entriesFolder + "000001.csv")
			for _, i := range which {
				editRecord(f, i, func(r *Record) { r.Opened = slices.DeleteFunc(r.Opened, func(o Opened) bool { return o.Field == "1" }) })
			}
		}, nil)
	}
	number := []consentv1.PersonalClass{consentv1.PersonalClass_PERSONAL_CLASS_NUMBER}
	manifest := func(edit func(*Manifest)) Manifest {
		m := s.sellerManifest()
		edit(&m)
		return m
	}
	minute := func(n int) time.Time { return began.Add(time.Duration(n) * time.Minute) }
	cases := []struct {
		name   string
		zip    []byte
		proven bool
		want   string // of the claim; of the refusal after a !
	}{
		{"all of them", honest(s), true, "each of the 7 entries shows the number that it is about"},
		{"one withheld", withhold(2), false, "6 entries show the number that they are about; 1 is about it by the operator's word, its number"},
		{"five withheld", withhold(0, 1, 2, 3, 5), false, "2 entries show the number that they are about; 5 are about it by the operator's word, their number"},
		{"all withheld", withhold(0, 1, 2, 3, 4, 5, 6), false, "no entry shows the number that it is about; 7 are about it by the operator's word"},
		{"the number alone", s.bundle(s.manifest(), s.records(number)), true, "each of the 7 entries shows"},
		{"a seller", ofSeller(s, s.sellerManifest(), 3, 5), true, "each of the 2 entries names the seller, or all sellers, and was recorded in the period"},
		{"a seller without a period", ofSeller(s, manifest(func(m *Manifest) { m.From = time.Time{} }), 3), true, "the entry names the seller, or all sellers"},
		{"a seller of whom nothing is shown", ofSeller(s, s.sellerManifest()), true, "no entry is here"},
		{"a seller whom one of two names", ofSeller(s, manifest(func(m *Manifest) { m.Seller = "other" }), 3, 6), false,
			"!about: position 6 is not about the seller"},
		{"another seller", ofSeller(s, manifest(func(m *Manifest) { m.Seller = "acm" }), 3), false, "!about: position 3 is not about the seller"},
		{"the period begins with it", ofSeller(s, manifest(func(m *Manifest) { m.From = minute(3) }), 3), true, "in the period"},
		{"the period begins after it", ofSeller(s, manifest(func(m *Manifest) { m.From = minute(3).Add(1) }), 3), false,
			"!about: position 3 was not recorded in the period"},
		{"the period ends with it", ofSeller(s, manifest(func(m *Manifest) { m.To = minute(3) }), 3), false, "!about: position 3 was not recorded in the period"},
		{"the period ends after it", ofSeller(s, manifest(func(m *Manifest) { m.To = minute(3).Add(1) }), 3), true, "in the period"},
		{"an entry of no seller", ofSeller(s, s.sellerManifest(), 2), false, "!about: position 2 is not about the seller"},
		{"a number in a period", s.lie(honest(s), nil, func(m *Manifest) { m.From = minute(4) }), false, "!about: position 3 was not recorded in the period"},
		{"what nobody sees in the case", s.lie(honest(s), nil, func(m *Manifest) { m.Case = "EB-26-117\u202e" }), false, "!cannot be seen"},
		{"what nobody sees in the seller", ofSeller(s, manifest(func(m *Manifest) { m.Seller = "ac\u200bme" }), 3), false, "!cannot be seen"},
		{"what a terminal would do", s.lie(honest(s), nil, func(m *Manifest) { m.Purpose = "\u009b2J" }), false, "!cannot be seen"},
	}
	var zips [][]byte
	for _, c := range cases {
		zips = append(zips, c.zip)
	}
	v, errs := both(t, s.world, zips...)
	for i, c := range cases {
		if !accepted(t, c.name, errs[i], c.want) {
			continue
		}
		got := claim(v[i], "about")
		if got.Proven != c.proven || !strings.HasPrefix(got.Text, c.want) && !strings.HasSuffix(got.Text, c.want) {
			t.Errorf("%s: %v, want %q", c.name, got, c.want)
		}
	}
}

// TestAboutLines: what the manifest signs is told, and a number only if it is disclosed.
func TestAboutLines(t *testing.T) {
	s := newStory(t)
	text := func(zip []byte) string {
		v, errs := both(t, s.world, zip)
		if errs[0] != nil {
			t.Fatal(errs[0])
		}
		var b strings.Builder
		for _, line := range v[0].About() {
			b.WriteString(line[0] + ": " + line[1] + "\n")
		}
		return b.String()
	}
	c := s.checkpoint()
	checkpoint := "produced: 2026-03-02T09:30:00Z\ncheckpoint: 13 entries, root " + encode64(c.Root[:]) + "\n"
	want := "case: EB-26-117\npurpose: regulator_request\nrecipient: The Attorney, Boston\nnumber: " + ann + ": 5 entries of 2 holders\nnumber: " +
		eve + ": 2 entries of 1 holder\nperiod: up to position 13\n" + checkpoint
	if got := text(honest(s)); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	want = "case: EB-26-117\npurpose: regulator_request\nseller: acme: 1 entry\nperiod: recorded from 2026-03-01T09:30:00Z, recorded before " +
		"2026-03-02T09:30:00Z, up to position 13\n" + checkpoint
	m := s.sellerManifest()
	m.To = began.Add(24 * time.Hour)
	if got := text(ofSeller(s, m, 3)); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	numbers := s.numbers
	s.numbers = []string{"", ""}
	m = s.manifest()
	m.Disclosed = nil
	sealed := s.bundle(m, s.records(nil))
	s.numbers = numbers
	if got := text(sealed); !strings.Contains(got, "number: not disclosed: 5 entries of 2 holders\n") || strings.Contains(got, ann) {
		t.Errorf("%s", got)
	}
}
