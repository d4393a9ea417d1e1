package bundle

import (
	"bytes"
	"encoding/asn1"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	tsp "github.com/notaryproject/tspclient-go"

	"github.com/consent-ledger/consent-ledger/ledger/bundle/bundletest"
	"github.com/consent-ledger/consent-ledger/ledger/timestamp"
	"github.com/consent-ledger/consent-ledger/ledger/timestamp/tsatest"
)

// stampedBy has an authority stamp a message.
func stampedBy(t *testing.T, tsa *tsatest.Authority, message []byte) timestamp.Stamp {
	t.Helper()
	var res tsp.Response
	if _, err := asn1.Unmarshal(tsa.Reply(tsa.Query(message)), &res); err != nil {
		t.Fatal(err)
	}
	s, err := timestamp.Check(res.TimestampToken.FullBytes, message, trusting(t, tsa.CA()))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func trusting(t *testing.T, pem []byte) timestamp.Roots {
	t.Helper()
	r, err := timestamp.ParseRoots(pem)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// authorityFile is the certificate of who stamped testdata/v1/timestamp.tsr.
const authorityFile = "authority.pem"

// stampedStory is a rich story with the timestamp of an authority that threw its keys
// away: what it signed is published.
func stampedStory(t *testing.T) *story {
	t.Helper()
	s := richStory(t)
	tokenPath, caPath := filepath.Join(vectorsDir, TimestampFile), filepath.Join(vectorsDir, authorityFile)
	if _, err := os.Stat(tokenPath); *update && os.IsNotExist(err) {
		tsa := tsatest.New(t)
		st := stampedBy(t, tsa, s.checkpoint().Note)
		if err := errors.Join(os.WriteFile(tokenPath, st.Token, 0o644), os.WriteFile(caPath, tsa.CA(), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	token, err := os.ReadFile(tokenPath)
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(caPath)
	if err != nil {
		t.Fatal(err)
	}
	st, err := timestamp.Check(token, s.checkpoint().Note, trusting(t, pem))
	if err != nil {
		t.Fatal(err)
	}
	s.stamp = &st
	return s
}

// TestTimestamps: a token is held against the checkpoint and the reader's trust. verify.py
// reads what it is over and when, and leaves who signed it to openssl.
func TestTimestamps(t *testing.T) {
	tsa, stranger := tsatest.New(t), tsatest.New(t)
	s := boundStory(t)
	st := stampedBy(t, tsa, s.checkpoint().Note)
	s.stamp = &st
	zip, bare := honest(s), honest(boundStory(t))
	with := func(token []byte) []byte {
		return s.lie(zip, func(f files) { f[TimestampFile] = token }, nil)
	}
	damaged := bytes.Clone(st.Token)
	damaged[len(damaged)-1] ^= 1 // of the signature
	at := st.At.Format(time.RFC3339)
	trusted, other := trusting(t, tsa.CA()), trusting(t, stranger.CA())
	for _, c := range []struct {
		name   string
		zip    []byte
		roots  *timestamp.Roots
		proven bool
		want   string // of the claim; of the refusal after a !
		python string // of verify.py's; empty: it refuses too
	}{
		{"vouched for", zip, &trusted, true, "existed by " + at + " (give or take 1s), says CN=Test timestamp authority, for whom", at},
		{"nobody is trusted", zip, nil, false, "by nobody you named: a token over this checkpoint says " + at, at},
		{"somebody else is trusted", zip, &other, false, "!not signed by an authority you trust", at},
		{"none", bare, nil, false, "by nobody: no timestamp is here", "by nobody: no timestamp is here"},
		{"none, and one is demanded", bare, &trusted, false, "!there is no timestamp.tsr", "by nobody: no timestamp is here"},
		{"over another checkpoint", with(stampedBy(t, tsa, richStory(t).checkpoint().Note).Token), &trusted, false, "!of another message", ""},
		{"over another checkpoint, nobody is trusted", with(stampedBy(t, tsa, richStory(t).checkpoint().Note).Token), nil, false, "!of another message", ""},
		{"a wrong signature", with(damaged), nil, false, "!not signed by the certificate it brings", at},
		{"cut off", with(st.Token[:len(st.Token)-1]), nil, false, "!no timestamp token", ""},
		{"a byte behind", with(append(bytes.Clone(st.Token), 0)), nil, false, "!no timestamp token", ""},
		{"too much", with(append(bytes.Clone(st.Token), make([]byte, timestamp.AnswerBytesMax)...)), nil, false, "!more than 262144 bytes", ""},
		{"nothing", with(nil), nil, false, "!no timestamp token", ""},
		{"something else", with([]byte("2026-03-01")), nil, false, "!no timestamp token", ""},
	} {
		v, err := Verify(bytes.NewReader(c.zip), int64(len(c.zip)), Trust{Keys: s.parsed(), Roots: c.roots})
		refusal, refused := strings.CutPrefix(c.want, "!")
		switch {
		case refused && (err == nil || !errors.Is(err, ErrRefuted) || !strings.HasPrefix(err.Error(), "timestamped: ") || !strings.Contains(err.Error(), refusal)):
			t.Errorf("%s: %v", c.name, err)
		case !refused && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case !refused:
			got, anchored := claim(v, "timestamped"), claim(v, "anchored")
			if got.Proven != c.proven || anchored.Proven != c.proven || !strings.Contains(got.Text, c.want) {
				t.Errorf("%s: %v, %v", c.name, got, anchored)
			}
		}
		answer := bundletest.Verify(t, Script(), s.keys(), c.zip)[0]
		i := slices.IndexFunc(answer.Claims, func(p bundletest.Claim) bool { return p.Claim == "timestamped" })
		if (answer.Refused != "") != (c.python == "") || i >= 0 && (answer.Claims[i].Proven || !strings.Contains(answer.Claims[i].Text, c.python)) {
			t.Errorf("%s: Python says %v", c.name, answer)
		}
	}
	// The files of a bundle are what openssl checks.
	f := s.unpack(zip)
	if err := tsa.Verify(f[CheckpointFile], f[TimestampFile]); err != nil {
		t.Error(err)
	}
	if stranger.Verify(f[CheckpointFile], f[TimestampFile]) == nil || tsa.Verify(f[SumsFile], f[TimestampFile]) == nil {
		t.Error("openssl takes it for another's, or over another file")
	}
	if page := string(f[ReportFile]); !strings.Contains(page, "it existed by "+at) {
		t.Error("the page does not tell of the timestamp")
	}
}

// TestNoTimestamp: a bundle for which an authority was asked in vain says so.
func TestNoTimestamp(t *testing.T) {
	s := boundStory(t)
	s.unstamped = true
	v, errs := both(t, s.world, honest(s))
	if errs[0] != nil || claim(v[0], "timestamped").Proven {
		t.Fatal(v, errs)
	}
	f := s.unpack(honest(s))
	if _, here := f[TimestampFile]; here || !strings.Contains(string(f[ReportFile]), "a timestamping authority was asked, and gave none") {
		t.Error("the page does not tell that an authority was asked in vain")
	}
}
