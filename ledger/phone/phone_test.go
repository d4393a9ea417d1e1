package phone

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"

	"github.com/nyaruka/phonenumbers"
	"pgregory.net/rapid"
)

// Besides the usual ranges of fiction, +44 20 7946 0xxx is Ofcom's for London:
// the only one of theirs that the library takes for a valid number.
func TestParse(t *testing.T) {
	for _, tt := range []struct {
		raw, region, want string
		unassigned        bool
	}{
		{"+12125550143", "", "+12125550143", false},
		{"(212) 555-0143", "US", "+12125550143", false},
		{"(212) 555-0143", "us", "+12125550143", false},
		{"1 212 555 0143", "CA", "+12125550143", false},
		{"tel:+1-212-555-0143", "US", "+12125550143", false},
		{"'+1 212 555 0143", "US", "+12125550143", false},
		{"(+1) 212 555 0143", "GB", "+12125550143", false},
		{"\u202a+1 212\u00a0555\u20110143\u202c", "US", "+12125550143", false},
		{"２１２５５５０１４３", "US", "+12125550143", false},
		{"212.555.0143 x12", "US", "+12125550143", false},
		{"+1 212 555 0143;ext=44", "US", "+12125550143", false},
		{"+1 212 555 0143 ext. 7", "US", "+12125550143", false},
		{"212-555-0143 #9", "US", "+12125550143", false},
		{"01632 960123", "GB", "+441632960123", true},
		{"+44 (0)7700 900123", "US", "+447700900123", true},
		{"07700 900123", "GB", "+447700900123", true},
		{"7700900123", "GB", "+447700900123", true},
		{"011 44 7700 900123", "US", "+447700900123", true},
		{"00447700900123", "DE", "+447700900123", true},
		{"+44 20 7946 0123", "ZZ", "+442079460123", false},
		{"555 555 0143", "US", "+15555550143", true},
		{"+1 212 555 014", "US", "+1212555014", true},
	} {
		n, err := Parse(tt.raw, tt.region)
		if err != nil || n.E164 != tt.want || n.Unassigned != tt.unassigned {
			t.Errorf("Parse(%q, %q) = %s unassigned=%v, %v; want %s unassigned=%v", tt.raw, tt.region, n.E164, n.Unassigned, err, tt.want, tt.unassigned)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	const (
		e164      = "; send E.164: a plus, the country code and the number"
		useRegion = "use an ISO 3166 country such as US or GB, or send the number with + and its country code"
	)
	for _, tt := range []struct{ raw, region, want string }{
		{"", "US", "number: is empty" + e164},
		{" \t", "US", "number: is empty" + e164},
		{"1-800-FLOWERS", "US", "number: has letters in it; send digits; names and vanity letters are not read"},
		{"Jane Doe", "US", "number: has letters in it; send digits; names and vanity letters are not read"},
		{"Jane 212 555 0143", "US", "number: has letters in it; send digits; names and vanity letters are not read"},
		{"1.2125E+10", "US", "number: has letters in it; send digits; names and vanity letters are not read"},
		{"n/a", "US", "number: has letters in it; send digits; names and vanity letters are not read"},
		{"--", "US", "number: has no digits" + e164},
		{"212 555 0143!", "US", "number: holds a character that is in no phone number" + e164},
		{"212\xff5550143", "US", "number: is not valid UTF-8" + e164},
		{"555-0143", "US", "number: is too short for US; write it with its area code, or + and the country code"},
		{"72345", "US", "number: is too short for US; write it with its area code, or + and the country code"},
		{"+1 2345", "US", "number: is too short: with its country code it has 5 digits, at least 7 are needed; write it with its area code"},
		{"212 555 0143 / 212 555 0144", "US", "number: is too long: at most 15 digits exist; send one number"},
		{"0012125550143", "US", "number: is too long for US; write + and the country code if it is a foreign number"},
		{"+44 20 7946 0123 4567 8", "US", "number: is too long: with its country code it has 17 digits, at most 15 exist; send one number"},
		{"+999 123 456 789", "US", "number: has an unknown country code; write + and the country code, then the number"},
		{"+012125550143", "US", "number: has an unknown country code; write + and the country code, then the number"},
		{"212+5550143", "US", "number: has a + between its digits; send one number"},
		{"+12125550143.0", "US", "number: ends in .0, as spreadsheets write amounts; export the column as text"},
		{"2125550143;2125550144", "US", "number: is followed by another; send one number"},
		{"+12125550143;+12125550144", "US", "number: holds a character that is in no phone number" + e164},
		{"+1 212 555 0143 ext 2125550144", "US", "number: is followed by another; send one number"},
		{"tel:+12125550143;5550144", "US", "number: is followed by another; send one number"},
		{"2125550143;ext=2125550144", "US", "number: is followed by another; send one number"},
		{strings.Repeat("2", 251), "US", "number: has 251 bytes, at most 250 are read; send one number"},
		{"07700 900123", "XX", `number: has no country code, and default_region "XX" is unknown; ` + useRegion},
		{"07700 900123", "01632960123", `number: has no country code, and default_region is unknown; ` + useRegion},
	} {
		n, err := Parse(tt.raw, tt.region)
		if err == nil || err.Error() != tt.want {
			t.Errorf("Parse(%q, %q) = %s, %v\nwant %s", tt.raw, tt.region, n.E164, err, tt.want)
			continue
		}
		var u *UnreadableError
		if !errors.Is(err, ErrUnreadable) || !errors.As(err, &u) {
			t.Errorf("Parse(%q): %T is no ErrUnreadable", tt.raw, err)
		}
		if got := errors.Is(err, ErrDefaultRegion); got != strings.Contains(tt.want, "default_region") {
			t.Errorf("Parse(%q): is ErrDefaultRegion: %v", tt.raw, got)
		}
	}
}

func TestParseDigits(t *testing.T) {
	for _, tt := range []struct{ raw, region, want string }{
		{"12125550143", "US", "+12125550143"},
		{"2125550143", "US", "+12125550143"},
		{" 12125550143", "GB", "+12125550143"},
		{"%2B12125550143", "GB", "+12125550143"},
		{"%2b442079460123", "US", "+442079460123"},
		{"442079460123", "US", "+442079460123"},
		{"12125550143", "GB", "+12125550143"},
		{"07700900123", "GB", "+447700900123"},
		{"447700900123", "GB", "+447700900123"},
	} {
		if n, err := ParseDigits(tt.raw, tt.region); err != nil || n.E164 != tt.want {
			t.Errorf("ParseDigits(%q, %q) = %s, %v; want %s", tt.raw, tt.region, n.E164, err, tt.want)
		}
	}
	if _, err := ParseDigits("5550143", "US"); !errors.Is(err, ErrUnreadable) {
		t.Errorf("half a number: %v", err)
	}
}

func TestMask(t *testing.T) {
	for _, tt := range []struct{ e164, want string }{
		{"+12125550143", "+1 ••• ••• 0143"},
		{"+447700900123", "+44 ••• ••• 0123"},
		{"+2902345", "+290 ••• ••• 5"},
		{"+1234", "+1 ••• •••"},
		{"+9991234567", "••• •••"},
		{"12125550143", "••• •••"},
		{"+", "••• •••"},
		{"", "••• •••"},
	} {
		if got := Mask(tt.e164); got != tt.want {
			t.Errorf("Mask(%s) = %s, want %s", tt.e164, got, tt.want)
		}
	}
}

// TestNumberIsSecret prints a number in every way there is and looks for its
// digits (promise 8).
func TestNumberIsSecret(t *testing.T) {
	n, err := Parse("+1 212 555 0143", "US")
	if err != nil {
		t.Fatal(err)
	}
	type holder struct {
		Caller Number
		Also   *Number
		Many   []Number
		ByName map[string]Number
	}
	h := holder{n, &n, []Number{n}, map[string]Number{"a": n}}
	var out bytes.Buffer
	// Not %p and %w: fmt prints their misuse without asking the value's methods.
	// go vet refuses both for a Number.
	for _, verb := range "vdsqxXtbcoOUeEfFgGzT" {
		for _, flags := range []string{"", "+", "#", "-20", "020", ".3", " "} {
			format := "%" + flags + string(verb) + "\n"
			fmt.Fprintf(&out, format, n)
			fmt.Fprintf(&out, format, h)
			fmt.Fprintf(&out, format, &n)
		}
	}
	fmt.Fprintln(&out, n, &n, h)
	fmt.Fprint(&out, fmt.Errorf("number %v: %w", n, ErrUnreadable))
	for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		l := slog.New(handler).With("caller", n)
		l.Info("hello", "number", n, "pointer", &n, "holder", h, slog.Group("g", "number", n))
	}
	enc, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(enc)
	if leak := regexp.MustCompile(`2125550143|5550143|32313235`).FindString(out.String()); leak != "" {
		t.Fatalf("the number is printed: %q in\n%s", leak, out.String())
	}
	if !strings.Contains(out.String(), "+1 ••• ••• 0143") {
		t.Error("the masked form is not printed")
	}
}

// TestErrorsAreSilent: no error repeats the digits it could not read.
func TestErrorsAreSilent(t *testing.T) {
	digits := regexp.MustCompile(`\d{6,}`)
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.StringMatching(`[+]?[0-9a-zA-Z ().\-+*#x]{0,24}`).Draw(t, "raw")
		_, err := Parse(raw, rapid.SampledFrom([]string{"US", "GB", "IT", "", "nowhere", raw}).Draw(t, "region"))
		if err == nil {
			return
		}
		text := strings.ReplaceAll(err.Error(), "+12125550143", "")
		if digits.MatchString(text) {
			t.Fatalf("%q: %s", raw, text)
		}
	})
}

// TestStable: what Parse returns it reads again as the same, in every region.
func TestStable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.OneOf(
			rapid.StringMatching(`\+[1-9][0-9]{5,16}`),
			rapid.StringMatching(`[0-9]{5,14}`),
			rapid.StringMatching(`(\+|00|011)?(44|49|39|54|52|55|7|81|1)[ 0]{0,3}[0-9 ()-]{5,12}`),
		).Draw(t, "raw")
		regions := []string{"US", "GB", "IT", "AR", "MX", "BR", "DE", "AG", "RU", "JP"}
		n, err := Parse(raw, rapid.SampledFrom(regions).Draw(t, "region"))
		if err != nil {
			return
		}
		if len(n.E164) > 16 || n.E164[0] != '+' || !isDigits(n.E164[1:]) || n.CountryCode == 0 {
			t.Fatalf("%q: %s is no E.164", raw, n.E164)
		}
		for _, region := range regions {
			again, err := Parse(n.E164, region)
			if err != nil || again != n {
				t.Fatalf("%q: %s reads again as %s, %v", raw, n.E164, again.E164, err)
			}
		}
	})
}

// TestLibraryAgrees: whatever the library reads as a valid number of at most 15
// digits, written with digits and punctuation alone, is that number.
func TestLibraryAgrees(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.OneOf(
			rapid.StringMatching(`[+(]?[0-9][0-9 ().\-/]{6,16}`),
			rapid.StringMatching(`\+(44 ?\(?0?\)?|49|39 ?0|33|61|91|1)[ -]?[0-9]{2,4}[ -]?[0-9]{5,7}`),
		).Draw(t, "raw")
		region := rapid.SampledFrom([]string{"US", "GB", "DE", "IT", "AR", "BR", "FR"}).Draw(t, "region")
		pn, err := phonenumbers.Parse(raw, region)
		if err != nil || !phonenumbers.IsValidNumber(pn) {
			return
		}
		want := phonenumbers.Format(pn, phonenumbers.E164)
		n, err := Parse(raw, region)
		if err != nil || n.E164 != want || n.Unassigned {
			t.Fatalf("%q in %s: the library says %s, Parse %s unassigned=%v, %v", raw, region, want, n.E164, n.Unassigned, err)
		}
	})
}

func TestMemoIsBounded(t *testing.T) {
	m := newMemo()
	for i := range 3 * memoShards * memoShardMax {
		m.put(fmt.Sprint(i), answer{number: Number{CountryCode: i}})
	}
	held := 0
	for i := range m.shards {
		held += len(m.shards[i].young) + len(m.shards[i].old)
	}
	if most := 2 * memoShards * memoShardMax; held > most {
		t.Errorf("%d entries held, at most %d are allowed", held, most)
	}
	last := 3*memoShards*memoShardMax - 1
	if a, ok := m.get(fmt.Sprint(last)); !ok || a.number.CountryCode != last {
		t.Error("the newest entry is forgotten")
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"+12125550143", "tel:2125550143;phone-context=+1", "+44 (0)7700 900123 x5", "００１", "+", "1e9",
		"\u202a٠٧٧٠٠٩٠٠١٢٣"} {
		f.Add(s, "GB")
	}
	f.Fuzz(func(t *testing.T, raw, region string) {
		n, err := Parse(raw, region)
		ParseDigits(raw, region)
		if (err == nil) == n.IsZero() {
			t.Fatalf("%q: %s and %v", raw, n.E164, err)
		}
		if err != nil && !errors.Is(err, ErrUnreadable) {
			t.Fatalf("%q: %v", raw, err)
		}
		if again, err2 := Parse(n.E164, "US"); err == nil && (err2 != nil || again != n) {
			t.Fatalf("%q: %s reads again as %s, %v", raw, n.E164, again.E164, err2)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	for _, bb := range []struct{ name, raw, region string }{
		{"e164", "+12125550143", "US"},
		{"nanp", "(212) 555-0143", "US"},
		{"remembered", "+44 (0)7700 900123", "US"},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse(bb.raw, bb.region); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("library", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			readReduced("+447700900123", "ZZ")
		}
	})
	b.Run("table", func(b *testing.B) {
		for b.Loop() {
			newNANPTable()
		}
	})
}
