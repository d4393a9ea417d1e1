package main

import (
	"strings"
	"testing"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

func TestMasked(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{`--at: "14155550177" is no instant`, `--at: "…" is no instant`},
		{"key file +1 (415) 555-0177: no", "key file …: no"},
		{"07700/900-123", "…"},
		{"no server answers at http://192.168.100.200:8420", "no server answers at http://192.168.100.200:8420"},
		{"write it like 2026-03-01T09:30:00Z or 2026-03-01T09:30:00-05:00", "write it like 2026-03-01T09:30:00Z or 2026-03-01T09:30:00-05:00"},
		{"event id 01980000-1234-7123-8123-123456789012", "event id 01980000-1234-7123-8123-123456789012"},
		{"position 12345678", "position 12345678"},
	} {
		if got := masked(tc.text); got != tc.want {
			t.Errorf("masked(%q) = %q, want %q", tc.text, got, tc.want)
		}
	}
}

// TestErrorsHideNumbers: a number typed in the wrong place is not repeated.
func TestErrorsHideNumbers(t *testing.T) {
	const number = "14155550177"
	for _, args := range []string{
		"check x --campaign c --at " + number,
		"check x --campaign c --as-of " + number,
		"check x --campaign c --at-least +" + number,
		"check x --campaign c --" + number,
		"export --seller acme --out x.csv --from " + number,
		"receipt +" + number,
		"check x --campaign c --server " + number,
		"check x --campaign c --server ftp://" + number,
		"check x --campaign c --key-file " + number,
		"check x --campaign c -o " + number,
		"rules show " + number,
		"decode --in " + number,
		"doctor " + number,
		"erase x --reason " + number,
	} {
		t.Run(args, func(t *testing.T) {
			t.Setenv(envKeyFile, writeKey(t))
			code, stdout, stderr := bare(t, strings.Fields(args)...)
			if code == exitDone || strings.Contains(stdout+stderr, "5550177") {
				t.Errorf("exit code %d: %s%s", code, stdout, stderr)
			}
		})
	}
}

// TestCheckOfBadBytes: a number nobody can read is BLOCK, not an error.
func TestCheckOfBadBytes(t *testing.T) {
	s := &scripted{decision: &consentv1.Decision{Verdict: consentv1.Verdict_VERDICT_BLOCK}}
	if code, stdout, stderr := program(t, s, "check", "\xff12", "--campaign", "spring"); code != exitBlock || !strings.HasPrefix(stdout, "BLOCK") {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
}
