package timestamp

import (
	"bytes"
	"context"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	tsp "github.com/notaryproject/tspclient-go"
	"github.com/notaryproject/tspclient-go/pki"

	"github.com/consent-ledger/consent-ledger/ledger/timestamp/tsatest"
)

var message = []byte("ledger.example.com/test\n43\n44j58yQFQPACvAV1zTU6jBUsU4CxLMC7QkUAPpoixPM=\n")

func authority(t *testing.T, tsa *tsatest.Authority, url string) *Authority {
	t.Helper()
	a, err := NewAuthority(url, roots(t, tsa))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func roots(t *testing.T, tsa *tsatest.Authority) Roots {
	t.Helper()
	r, err := ParseRoots(tsa.CA())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A real authority stamps; openssl takes the token for what it is.
func TestAnAuthorityStamps(t *testing.T) {
	tsa := tsatest.New(t)
	before := time.Now().Add(-2 * time.Second)
	s, err := authority(t, tsa, tsa.Serve(nil)).Ask(t.Context(), message)
	if err != nil {
		t.Fatal(err)
	}
	if s.At.Before(before) || s.At.After(time.Now().Add(2*time.Second)) || s.Accuracy != time.Second || s.By != "CN=Test timestamp authority" || !bytes.Equal(s.Message, message) {
		t.Errorf("%+v", s)
	}
	if err := tsa.Verify(message, s.Token); err != nil {
		t.Error(err)
	}
	if tsa.Verify(append([]byte("x"), message...), s.Token) == nil {
		t.Error("openssl takes it for another message")
	}
	if _, err := Check(s.Token, message, roots(t, tsa)); err != nil {
		t.Error(err)
	}
	if _, err := Check(s.Token, append(bytes.Clone(message), '\n'), roots(t, tsa)); !errors.Is(err, ErrRefused) {
		t.Errorf("another message: %v", err)
	}
	stranger := tsatest.New(t)
	if _, err := Check(s.Token, message, roots(t, stranger)); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "not signed by an authority you trust") {
		t.Errorf("another root: %v", err)
	}
}

// Every byte of a token is changed. What is still accepted says the same: the time,
// the message and who signed are under the signature.
func TestAChangedTokenSaysNothingElse(t *testing.T) {
	tsa := tsatest.New(t)
	s, err := authority(t, tsa, tsa.Serve(nil)).Ask(t.Context(), message)
	if err != nil {
		t.Fatal(err)
	}
	trusted, accepted := roots(t, tsa), 0
	for i := range s.Token {
		changed := bytes.Clone(s.Token)
		changed[i] ^= 1 << (i % 8)
		got, err := Check(changed, message, trusted)
		if err != nil {
			continue
		}
		if accepted++; !got.At.Equal(s.At) || got.Accuracy != s.Accuracy || got.By != s.By {
			t.Fatalf("byte %d: it now says %+v", i, got)
		}
	}
	if accepted > len(s.Token)/2 {
		t.Errorf("%d of %d changes go unnoticed", accepted, len(s.Token))
	}
	for _, i := range []int{0, 1, 10, len(s.Token) / 2, len(s.Token) - 1} {
		if _, err := Check(s.Token[:i], message, trusted); !errors.Is(err, ErrRefused) {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
	if _, err := Check(append(bytes.Clone(s.Token), 0), message, trusted); !errors.Is(err, ErrRefused) {
		t.Errorf("a byte more: %v", err)
	}
}

func refusal(t *testing.T) []byte {
	t.Helper()
	r := tsp.Response{Status: pki.StatusInfo{Status: pki.StatusRejection}}
	out, err := r.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// What a hostile or broken authority may answer is refused and named, and no part of
// the URL but its host is in any error.
func TestHostileAnswersAreRefusedAndNamed(t *testing.T) {
	tsa, stranger := tsatest.New(t), tsatest.New(t)
	write := func(w http.ResponseWriter, b []byte) { _, _ = w.Write(b) }
	noNonce := tsa.Query(message)
	var earlier []byte // its answer to an earlier question of ours about the same message
	asked := func(t *testing.T, query []byte) tsp.Request {
		var q tsp.Request
		if err := q.UnmarshalBinary(query); err != nil {
			t.Error(err)
		}
		return q
	}
	for _, tc := range []struct {
		name, want string
		change     func(w http.ResponseWriter, query, reply []byte)
	}{
		{"another message", "of another message than was asked about", func(w http.ResponseWriter, query, _ []byte) {
			q := asked(t, query)
			q.MessageImprint.HashedMessage[0] ^= 1
			other, err := q.MarshalBinary()
			if err != nil {
				t.Error(err)
			}
			write(w, tsa.Reply(other))
		}},
		{"no nonce", "nonce is not ours", func(w http.ResponseWriter, _, _ []byte) { write(w, tsa.Reply(noNonce)) }},
		{"an earlier answer", "nonce is not ours", func(w http.ResponseWriter, _, reply []byte) {
			if earlier == nil {
				earlier = reply
			}
			write(w, earlier)
		}},
		{"not granted", "not granted", func(w http.ResponseWriter, _, _ []byte) { write(w, refusal(t)) }},
		{"an algorithm it does not take", "not granted", func(w http.ResponseWriter, query, _ []byte) {
			q := asked(t, query)
			q.MessageImprint.HashAlgorithm = pkix.AlgorithmIdentifier{Algorithm: asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}}
			q.MessageImprint.HashedMessage = make([]byte, 64)
			other, err := q.MarshalBinary()
			if err != nil {
				t.Error(err)
			}
			write(w, tsa.Reply(other))
		}},
		{"another authority", "not signed by an authority you trust", func(w http.ResponseWriter, query, _ []byte) { write(w, stranger.Reply(query)) }},
		{"a changed signature", "not signed by an authority you trust", func(w http.ResponseWriter, _, reply []byte) {
			reply[len(reply)-1] ^= 1
			write(w, reply)
		}},
		{"garbage", "no timestamp response", func(w http.ResponseWriter, _, _ []byte) { write(w, []byte("hello")) }},
		{"nothing", "no timestamp response", func(w http.ResponseWriter, _, _ []byte) {}},
		{"something more", "no timestamp response", func(w http.ResponseWriter, _, reply []byte) { write(w, append(reply, 0)) }},
		{"cut off", "no timestamp response", func(w http.ResponseWriter, _, reply []byte) { write(w, reply[:len(reply)/2]) }},
		{"without end", "more than 262144 bytes", func(w http.ResponseWriter, _, _ []byte) { write(w, make([]byte, AnswerBytesMax+1)) }},
		{"a web page", "content type", func(w http.ResponseWriter, _, reply []byte) {
			w.Header().Set("Content-Type", "text/html")
			write(w, reply)
		}},
		{"an error", "HTTP status 503", func(w http.ResponseWriter, _, _ []byte) { w.WriteHeader(http.StatusServiceUnavailable) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := authority(t, tsa, tsa.Serve(tc.change)+"/secret")
			s, err := a.Ask(t.Context(), message)
			if tc.name == "an earlier answer" {
				if err != nil {
					t.Fatal(err)
				}
				s, err = a.Ask(t.Context(), message)
			}
			if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "secret") || s.Token != nil {
				t.Errorf("%v", err)
			}
		})
	}
}

// A right answer of another time is no proof of now.
func TestAWrongClockIsRefused(t *testing.T) {
	tsa := tsatest.New(t)
	for _, apart := range []time.Duration{-11 * time.Minute, 11 * time.Minute} {
		a := authority(t, tsa, tsa.Serve(nil))
		a.now = func() time.Time { return time.Now().Add(apart) }
		if _, err := a.Ask(t.Context(), message); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "its clock or ours is wrong") {
			t.Errorf("our clock is %s off: %v", apart, err)
		}
	}
}

// An authority that is slow, or gone, costs no more than the patience for it.
func TestASlowAuthority(t *testing.T) {
	tsa := tsatest.New(t)
	heard, release := make(chan struct{}), make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(heard)
		<-release
	}))
	defer slow.Close()
	defer close(release)
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		<-heard
		cancel(errors.New("enough"))
	}()
	if _, err := authority(t, tsa, slow.URL+"/secret").Ask(ctx, message); err == nil || errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "does not answer") || strings.Contains(err.Error(), "secret") {
		t.Errorf("slow: %v", err)
	}
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	if _, err := authority(t, tsa, gone.URL+"/secret").Ask(t.Context(), message); err == nil || !strings.Contains(err.Error(), "does not answer") || strings.Contains(err.Error(), "secret") {
		t.Errorf("gone: %v", err)
	}
}

func TestAuthoritiesThatAreNone(t *testing.T) {
	for _, where := range []string{"", "tsa.example.com", "ftp://tsa.example.com", "http://", "://"} {
		if _, err := NewAuthority(where, Roots{}); err == nil {
			t.Errorf("%q is taken", where)
		}
	}
	if _, err := ParseRoots([]byte("hello")); err == nil {
		t.Error("roots without a certificate")
	}
}
