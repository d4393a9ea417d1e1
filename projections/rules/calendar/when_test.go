package calendar

import (
	"strings"
	"testing"
	"time"
)

func TestWhen(t *testing.T) {
	for _, c := range []struct {
		when string
		year int
		want string
	}{
		{"01-01", 2026, "2026-01-01"},
		{"02-28", 2028, "2028-02-28"},
		{"12-31", 2026, "2026-12-31"},
		{"1st monday of september", 2026, "2026-09-07"},
		{"1st tuesday of september", 2026, "2026-09-01"},
		{"3rd monday of june", 2026, "2026-06-15"},
		{"3rd monday of june", 2027, "2027-06-21"},
		{"4th thursday of november", 2029, "2029-11-22"}, // a November with five Thursdays
		{"4th thursday of november", 2028, "2028-11-23"},
		{"last monday of may", 2027, "2027-05-31"},
		{"last thursday of december", 2026, "2026-12-31"},
		{"last thursday of november", 2029, "2029-11-29"},
		{"last sunday of february", 2032, "2032-02-29"},
		{"tuesday after 1st monday of november", 2026, "2026-11-03"},
		{"tuesday after 1st monday of november", 2022, "2022-11-08"}, // 1 November is a Tuesday
		{"4th thursday of november + 1", 2026, "2026-11-27"},
		{"friday after 4th thursday of november", 2026, "2026-11-27"},
		{"monday before 05-25", 2026, "2026-05-18"}, // 25 May is a Monday
		{"monday before 05-25", 2027, "2027-05-24"},
		{"monday on or before 05-25", 2026, "2026-05-25"},
		{"monday on or after 05-25", 2026, "2026-05-25"},
		{"monday on or after 05-26", 2026, "2026-06-01"},
		{"monday after 05-25", 2026, "2026-06-01"},
		{"wednesday before 11-23", 2026, "2026-11-18"},
		{"easter", 2026, "2026-04-05"},
		{"easter - 2", 2026, "2026-04-03"},
		{"easter - 47", 2026, "2026-02-17"},
		{"easter + 39", 2026, "2026-05-14"},
		{"easter + 50", 2026, "2026-05-25"},
		{"orthodox easter", 2026, "2026-04-12"},
		{"orthodox easter - 2", 2027, "2027-04-30"},
		{"monday after easter", 2026, "2026-04-06"},
		{"01-01 - 1", 2026, "2025-12-31"},
	} {
		w, err := parseWhen(c.when)
		if err != nil {
			t.Errorf("%s: %v", c.when, err)
		} else if got := w.in(c.year).String(); got != c.want {
			t.Errorf("%s in %d is %s, want %s", c.when, c.year, got, c.want)
		}
	}
}

func TestWhenRefuses(t *testing.T) {
	for phrase, want := range map[string]string{
		"":                            "is missing",
		"  ":                          "is missing",
		"02-29":                       "no day of every year",
		"02-30":                       "no day of every year",
		"13-01":                       "no day of every year",
		"04-31":                       "no day of every year",
		"1-1":                         "no day of every year",
		"2026-01-01":                  "no day of every year",
		"5th monday of may":           `"5th" must be`,
		"third monday of may":         `"third" must be`,
		"1st mon of may":              `"mon" is no day`,
		"1st Monday of may":           `"Monday" is no day`,
		"1st monday of mai":           `"mai" is no month`,
		"1st monday in may":           "is not understood",
		"monday":                      "no day of every year",
		"monday after":                "is not understood",
		"monday on or 05-25":          "is not understood",
		"monday on 05-25":             "is not understood",
		"monday after 02-30":          "no day of every year",
		"monday after monday after 1": "is not understood",
		"easter -2":                   "is not understood",
		"easter - 0":                  "must be 1 to 180",
		"easter - -2":                 "must be 1 to 180",
		"easter + 181":                "must be 1 to 180",
		"easter + x":                  "must be 1 to 180",
		"easter + 1 + 1":              "is not understood",
		"- 2":                         "is not understood",
		"julian easter":               "is not understood",
		"pentecost":                   "no day of every year",
	} {
		if _, err := parseWhen(phrase); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", phrase, err, want)
		}
	}
}

func TestEaster(t *testing.T) {
	for _, s := range []string{"1818-03-22", "1943-04-25", "1954-04-18", "1981-04-19", "2000-04-23", "2008-03-23", "2024-03-31", "2025-04-20", "2027-03-28", "2038-04-25", "2049-04-18", "2076-04-19", "2285-03-22"} {
		want := date(t, s)
		y, _, _ := want.Civil()
		if got := easter(y); got != want {
			t.Errorf("%d: %s, want %s", y, got, want)
		}
	}
	for _, s := range []string{"1983-05-08", "2010-04-04", "2021-05-02", "2023-04-16", "2024-05-05", "2025-04-20", "2026-04-12", "2027-05-02", "2100-05-02"} {
		want := date(t, s)
		y, _, _ := want.Civil()
		if got := orthodoxEaster(y); got != want {
			t.Errorf("orthodox %d: %s, want %s", y, got, want)
		}
	}
}

// TestEasterFromTheMoon reckons every Easter again from the rule itself: the first
// Sunday after the tabulated full moon, which two cycles of their own correct.
func TestEasterFromTheMoon(t *testing.T) {
	for y := 1583; y < 3000; y++ {
		golden, century := y%19+1, y/100+1
		epact := (11*golden + 20 + (8*century+5)/25 - 5 - (3*century/4 - 12)) % 30
		if epact < 0 {
			epact += 30
		}
		if epact == 25 && golden > 11 || epact == 24 {
			epact++
		}
		moon := 44 - epact
		if moon < 21 {
			moon += 30
		}
		full := On(y, 3, moon)
		want := full + 7 - Date(full.Weekday())
		if got := easter(y); got != want {
			t.Fatalf("%d: %s, want %s", y, got, want)
		}
		if got := orthodoxEaster(y); got.Weekday() != time.Sunday || got < want {
			t.Fatalf("%d: orthodox %s, western %s", y, got, want)
		}
	}
}
