package phone

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// agree checks that the fast path, where it answers, answers as the library.
func agree(t *testing.T, p *parser, raw, region string) (answered bool) {
	t.Helper()
	fast, ok := p.fast(raw, region)
	if !ok {
		return false
	}
	slow, err := p.slow(raw, region)
	if err != nil {
		t.Fatalf("fast path reads %q (%s) as %s, the library does not: %v", raw, region, fast.E164, err)
	}
	if plain, ok := Plain(region)([]byte(raw)); !ok || string(plain.E164[:]) != fast.E164 || plain.Unassigned != fast.Unassigned {
		t.Fatalf("%q (%s): as bytes it is %q, %t", raw, region, plain.E164[:], ok)
	}
	if fast != slow {
		t.Fatalf("%q (%s): fast path says %s unassigned=%v region=%s, the library %s unassigned=%v region=%s",
			raw, region, fast.E164, fast.Unassigned, fast.Region, slow.E164, slow.Unassigned, slow.Region)
	}
	return true
}

var nanpRegions = []string{"US", "CA", "PR", "AG", "JM", "GU", "BB"}

// TestFastAgrees is the licence for the fast path: over 200,000 written forms,
// most of them mutated, in regions inside and outside the plan.
func TestFastAgrees(t *testing.T) {
	p := newParser()
	rng := rand.New(rand.NewPCG(1, 2))
	regions := append([]string{"GB", "DE", "BR"}, nanpRegions...)
	answered := 0
	// The memory makes repeats cheap: a number is written in several ways.
	const numbers, forms = 21_000, 10
	for range numbers {
		digits := randomDigits(rng)
		for range forms {
			raw := mutate(rng, decorate(rng, digits))
			if agree(t, p, raw, regions[rng.IntN(len(regions))]) {
				answered++
			}
		}
	}
	t.Logf("%d forms, %d answered by the fast path", numbers*forms, answered)
	if answered < numbers*forms/5 {
		t.Errorf("the fast path answered only %d of %d: the test proves little", answered, numbers*forms)
	}
}

// TestFastEveryAreaCode asks the library about each area code, with exchanges
// drawn anew: valid, unassigned and region must be those of the table.
func TestFastEveryAreaCode(t *testing.T) {
	p := newParser()
	rng := rand.New(rand.NewPCG(3, 4))
	known := 0
	for npa := 200; npa <= 999; npa++ {
		if p.nanp.areas[npa].known {
			known++
		}
		for range 6 {
			d := []byte{byte('0' + npa/100), byte('0' + npa/10%10), byte('0' + npa%10), byte('2' + rng.IntN(8))}
			for range 6 {
				d = append(d, byte('0'+rng.IntN(10)))
			}
			agree(t, p, "+1"+string(d), "US")
		}
	}
	t.Logf("%d of 800 area codes known", known)
	for _, npa := range []int{212, 415, 416, 787, 800} {
		if !p.nanp.areas[npa].valid {
			t.Errorf("area code %d goes the slow way", npa)
		}
	}
}

func FuzzFastAgrees(f *testing.F) {
	for _, s := range []string{"+12125550143", "(212) 555-0143", "1.212.555.0143", "+1 (0)212 5550143", "555-0143", "2125550143.0", "12125550143x5"} {
		f.Add(s, "US")
		f.Add(s, "GB")
	}
	p := newParser()
	f.Fuzz(func(t *testing.T, raw, region string) { agree(t, p, raw, canonicalRegion(region)) })
}

func randomDigits(rng *rand.Rand) string {
	areas := []string{"212", "415", "416", "787", "800", "555", "472", "246", "441", "521", "900", "999", "310"}
	b := []byte(areas[rng.IntN(len(areas))])
	if rng.IntN(2) == 0 {
		b = b[:0]
		for range 3 {
			b = append(b, byte('0'+rng.IntN(10)))
		}
	}
	for range 7 {
		b = append(b, byte('0'+rng.IntN(10)))
	}
	return string(b)
}

// decorate writes a number as people do.
func decorate(rng *rand.Rand, d string) string {
	prefix := []string{"", "", "1", "+1", "1-", "+1 ", "+1-", "1 ", " +1."}[rng.IntN(9)]
	switch rng.IntN(5) {
	case 0:
		return prefix + d
	case 1:
		return prefix + "(" + d[:3] + ") " + d[3:6] + "-" + d[6:]
	case 2:
		return prefix + d[:3] + "." + d[3:6] + "." + d[6:]
	case 3:
		return prefix + d[:3] + " " + d[3:6] + " " + d[6:]
	default:
		return prefix + d[:3] + "-" + d[3:6] + "-" + d[6:] + " "
	}
}

// mutate damages two forms in five.
func mutate(rng *rand.Rand, s string) string {
	at := rng.IntN(len(s) + 1)
	switch rng.IntN(10) {
	case 0:
		return s[:at] + string("0123456789+ -.()x*#/,aA\t"[rng.IntN(24)]) + s[at:]
	case 1:
		if at < len(s) {
			return s[:at] + s[at+1:]
		}
	case 2:
		return strings.Repeat("0", rng.IntN(3)) + s
	case 3:
		return s + []string{".0", " ext 5", "x12", ";ext=7", "-"}[rng.IntN(5)]
	}
	return s
}
