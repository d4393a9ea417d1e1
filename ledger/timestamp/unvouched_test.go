package timestamp

import (
	"bytes"
	"errors"
	"testing"

	"github.com/consent-ledger/consent-ledger/ledger/timestamp/tsatest"
)

// TestUnvouched: what a token says of itself is read whoever made it, and only if it is
// whole and over the message.
func TestUnvouched(t *testing.T) {
	tsa := tsatest.New(t)
	s, err := authority(t, tsa, tsa.Serve(nil)).Ask(t.Context(), message)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Unvouched(s.Token, message)
	if err != nil || !got.At.Equal(s.At) || got.By != s.By || got.Accuracy != s.Accuracy {
		t.Fatalf("%+v, %v", got, err)
	}
	if _, err := Unvouched(s.Token, append(bytes.Clone(message), '\n')); !errors.Is(err, ErrRefused) {
		t.Errorf("another message: %v", err)
	}
	for i := range s.Token {
		changed := bytes.Clone(s.Token)
		changed[i] ^= 1 << (i % 8)
		if got, err := Unvouched(changed, message); err == nil && (!got.At.Equal(s.At) || got.By != s.By || got.Accuracy != s.Accuracy) {
			t.Fatalf("byte %d: it now says %+v", i, got)
		}
	}
	for _, cut := range [][]byte{nil, s.Token[:1], s.Token[:len(s.Token)-1], append(bytes.Clone(s.Token), 0)} {
		if _, err := Unvouched(cut, message); !errors.Is(err, ErrRefused) {
			t.Errorf("%d bytes: %v", len(cut), err)
		}
	}
}
