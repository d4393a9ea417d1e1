package store

import (
	"encoding/binary"

	"github.com/consent-ledger/consent-ledger/ledger"
)

// PartyID is the key of a person with several numbers.
type PartyID = [ledger.PartyKeyBytes]byte

// PartyStateKey is the key of the state of a party towards a seller.
func PartyStateKey(p PartyID, seller string) []byte { return key(SpaceParty, p[:], []byte(seller)) }

// PartyNumberKey is the key of a number of a party.
func PartyNumberKey(p PartyID, t ledger.Token) []byte { return key(SpacePartyNumber, p[:], t[:]) }

// ParsePartyNumberKey undoes PartyNumberKey.
func ParsePartyNumberKey(k []byte) (p PartyID, t ledger.Token, err error) {
	b, err := body(SpacePartyNumber, k, len(p)+len(t))
	if err != nil {
		return p, t, err
	}
	return PartyID(b[:len(p)]), ledger.Token(b[len(p):]), nil
}

// PartyNumberRange is the range of all numbers of a party.
func PartyNumberRange(p PartyID) (lo, hi []byte) { return PrefixRange(key(SpacePartyNumber, p[:])) }

// NumberPartyKey is the key of a party of a number.
func NumberPartyKey(t ledger.Token, p PartyID) []byte { return key(SpaceNumberParty, t[:], p[:]) }

// ParseNumberPartyKey undoes NumberPartyKey.
func ParseNumberPartyKey(k []byte) (t ledger.Token, p PartyID, err error) {
	b, err := body(SpaceNumberParty, k, len(t)+len(p))
	if err != nil {
		return t, p, err
	}
	return ledger.Token(b[:len(t)]), PartyID(b[len(t):]), nil
}

// NumberPartyRange is the range of all parties of a number.
func NumberPartyRange(t ledger.Token) (lo, hi []byte) {
	return PrefixRange(key(SpaceNumberParty, t[:]))
}

// PartyFactKey is the key of a fact of a party's state.
func PartyFactKey(p PartyID, at ledger.Position) []byte {
	return key(SpacePartyFact, p[:], u64(uint64(at)))
}

// ParsePartyFactKey undoes PartyFactKey.
func ParsePartyFactKey(k []byte) (p PartyID, at ledger.Position, err error) {
	b, err := body(SpacePartyFact, k, len(p)+8)
	if err != nil {
		return p, 0, err
	}
	return PartyID(b[:len(p)]), ledger.Position(binary.BigEndian.Uint64(b[len(p):])), nil
}

// PartyFactRange is the range of all facts of a party's state.
func PartyFactRange(p PartyID) (lo, hi []byte) { return PrefixRange(key(SpacePartyFact, p[:])) }
