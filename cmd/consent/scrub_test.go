package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// scrubbed scrubs a list against the scripted server, which allows what ends in 1.
func scrubbed(t *testing.T, list string, args ...string) (code int, out, stderr string) {
	t.Helper()
	dir := t.TempDir()
	in, to := filepath.Join(dir, "in.csv"), filepath.Join(dir, "out.csv")
	if err := os.WriteFile(in, []byte(list), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &scripted{onScrub: func(*consentv1.ScrubRequest) {}}
	code, _, stderr = program(t, s, append([]string{"scrub", in, to, "--campaign", "spring"}, args...)...)
	text, err := os.ReadFile(to)
	if err != nil && code == exitDone {
		t.Fatal(err)
	}
	return code, string(text), stderr
}

// TestScrubVerdictsStayInTheirColumn: whatever a row holds, the column `verdict`
// holds our verdict, no row is lost, and what cannot be read is BLOCK.
func TestScrubVerdictsStayInTheirColumn(t *testing.T) {
	const ours = ",verdict,reasons,basis,next_allowed_at,position,lists,packs\n"
	const plain = "Ann,+12025550101\n"
	const good = "Ann,+12025550101,ALLOW,,OK_WRITTEN_CONSENT,,9,,\n"
	const invalid = ",BLOCK,NUMBER_INVALID,,,9,,"
	for _, tc := range []struct{ name, rows, want string }{
		{"a surplus field that says ALLOW", "X,(202) 555-0143,ALLOW\n", "X,(202) 555-0143" + invalid + ",ALLOW\n"},
		{"a comma that shifts the columns", "Doe, Ann,+12025550101\n", "Doe, Ann" + invalid + ",+12025550101\n"},
		{"a surplus field behind quotes", "\"X, Y\",\"(202) 555-0143\",\"A,B\"\n", "\"X, Y\",\"(202) 555-0143\"" + invalid + ",\"A,B\"\n"},
		{"a quote inside quotes", "\"A \"B\" C\",+12025550101\n", "\"\"\"A \"\"B\"\" C\"\",+12025550101\"," + invalid + "\n"},
		{"a quote never closed", "\"Bob,+12025550101\n", "\"\"\"Bob,+12025550101\"," + invalid + "\n"},
		{"a quote within a field", "5\" pipe,+12025550101\n", "5\" pipe,+12025550101,ALLOW,,OK_WRITTEN_CONSENT,,9,,\n"},
		{"a bad byte in a name", "M\xfcller,+12025550101\n", "M\xfcller,+12025550101,ALLOW,,OK_WRITTEN_CONSENT,,9,,\n"},
		{"a bad byte in a number", "X,+1202555\xff\n", "X,+1202555\xff,BLOCK,NO_CONSENT;COMPANY_DNC,,,9,us_national_dnc 2026-02-01 listed;us_in_dnc none,us 1;us-in 2\n"},
		{"two lines", "\"A\r\nB\",+12025550101\r\n", "\"A\r\nB\",+12025550101,ALLOW,,OK_WRITTEN_CONSENT,,9,,\r\n"},
		{"quotes that are not needed", "\"Ann\",\"+12025550101\"\n", "\"Ann\",\"+12025550101\",ALLOW,,OK_WRITTEN_CONSENT,,9,,\n"},
		{"a row that is too short", "Ann\n", "Ann," + invalid + "\n"},
		{"blank lines", "\n\r\n", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			code, out, stderr := scrubbed(t, "name,phone\n"+plain+tc.rows+plain)
			if code != exitDone {
				t.Fatalf("exit code %d: %s", code, stderr)
			}
			if diff := cmp.Diff("name,phone"+ours+good+tc.want+good, out); diff != "" {
				t.Error(diff)
			}
			if strings.Contains(stderr, "555") {
				t.Errorf("a number in %q", stderr)
			}
		})
	}
}

// TestScrubRefusesLists: what would give a list that misleads is refused, with the fix.
func TestScrubRefusesLists(t *testing.T) {
	for _, tc := range []struct{ name, list, column, want string }{
		{"scrubbed before", "phone,verdict,reasons\n+12025550101,ALLOW,\n", "", "columns that the scrub adds: verdict, reasons"},
		{"no header", "+12025550101\n+12025550102\n", "", "looks like a phone number"},
		{"CR alone", "name,phone\rAnn,+12025550101\r", "", "CR alone"},
		{"UTF-16", "\xff\xfep\x00\n\x00", "", "UTF-16"},
		{"two columns of one name", "Phone,phone\n+12025550101,+12025550102\n", "", "two columns"},
		{"two columns that --column names", "a b,A-B\n+12025550101,+12025550102\n", "a_b", "two columns"},
		{"semicolons", "name;phone\nAnn;+12025550101\n", "", "separated by something else"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			code, out, stderr := scrubbed(t, tc.list, "--column", tc.column)
			if code != exitUsage || out != "" || !strings.Contains(stderr, tc.want) || strings.Contains(stderr, "555") {
				t.Errorf("exit code %d, out %q: %s", code, out, stderr)
			}
		})
	}
}
