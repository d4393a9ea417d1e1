package directory

import (
	"github.com/consent-ledger/consent-ledger/ledger"
)

// Shown is what is shown to prove a number's history complete.
type Shown struct {
	// Directory is the stored entry of a DirectoryCommitted.
	Directory []byte
	// Number is the number in E.164 with its plus, Token its directory token.
	Number string
	Token  ledger.DirectoryToken
	// TokenPath leads from the token to the statement's token key, from below; nil: it is
	// not shown that the token is the number's only one.
	TokenPath []ledger.Hash
	// Proof leads from the number to the directory's root.
	Proof []byte
	// Events are all entries about the number, in order. Those whose content is
	// withheld are listed too: position and leaf are enough.
	Events []Event
}

// Answer is what then follows, provided that the directory's entry and all events
// are in the ledger: Complete of the events are all that the ledger held about the
// number up to the position that the statement covers. Later ones may be missing.
type Answer struct {
	Statement Statement
	Complete  int // of the events shown, from the first
	Later     int // beyond what the statement covers: not shown to be all
	// Bound: the token is the only one the number can have.
	Bound bool
}

// Verify checks it, without any secret. Unless the answer is Bound, an operator can
// show a made-up token under which there is nothing.
func Verify(s Shown) (a Answer, err error) {
	if a.Statement, err = ReadStatement(s.Directory); err != nil {
		return Answer{}, err
	}
	if err := checkNumber(s.Number, s.Token); err != nil {
		return Answer{}, err
	}
	if s.TokenPath != nil {
		if err := checkToken(a.Statement.TokenKey, s.Number, s.Token, s.TokenPath); err != nil {
			return Answer{}, err
		}
		a.Bound = true
	}
	p, err := DecodeProof(s.Proof)
	if err != nil {
		return Answer{}, err
	}
	want, err := p.Check(a.Statement.Root, KeyOf(s.Number, s.Token))
	if err != nil {
		return Answer{}, err
	}
	got, last := Record{}, ledger.Position(0)
	for _, e := range s.Events {
		if e.Position <= last {
			return Answer{}, refuted("position %d is listed after %d", e.Position, last)
		}
		if last = e.Position; last > a.Statement.Covers {
			a.Later++
			continue
		}
		got = got.Add(e)
		a.Complete++
	}
	if got != want {
		return Answer{}, refuted("%d events are shown up to position %d; the directory has %d, the last at position %d, or they are others",
			got.Count, a.Statement.Covers, want.Count, want.Last)
	}
	return a, nil
}

// checkNumber refuses what KeyOf would take for another number: the two parts of
// what it hashes must not be movable.
func checkNumber(number string, t ledger.DirectoryToken) error {
	if len(number) < 2 || len(number) > 16 || number[0] != '+' {
		return form("a number that is not in E.164 with its plus")
	}
	for _, c := range number[1:] {
		if c < '0' || c > '9' {
			return form("a number that is not in E.164 with its plus")
		}
	}
	if t[0] != ledger.TokenVersion {
		return form("a directory token of version %d", t[0])
	}
	return nil
}
