package store

import (
	"encoding/binary"

	"github.com/consent-ledger/consent-ledger/ledger"
)

// StateKey is the key of the state of a token towards a seller.
func StateKey(t ledger.Token, seller string) []byte { return key(SpaceState, t[:], []byte(seller)) }

// ParseStateKey undoes StateKey.
func ParseStateKey(k []byte) (t ledger.Token, seller string, err error) {
	b, err := bodyFrom(SpaceState, k, len(t))
	if err != nil {
		return t, "", err
	}
	return ledger.Token(b[:len(t)]), string(b[len(t):]), nil
}

// TimelineKey is the key of an entry in a token's timeline.
func TimelineKey(t ledger.Token, at ledger.Position) []byte {
	return key(SpaceTimeline, t[:], u64(uint64(at)))
}

// ParseTimelineKey undoes TimelineKey.
func ParseTimelineKey(k []byte) (t ledger.Token, at ledger.Position, err error) {
	b, err := body(SpaceTimeline, k, len(t)+8)
	if err != nil {
		return t, 0, err
	}
	return ledger.Token(b[:len(t)]), ledger.Position(binary.BigEndian.Uint64(b[len(t):])), nil
}

// TimelineRange is the range of a token's whole timeline.
func TimelineRange(t ledger.Token) (lo, hi []byte) { return PrefixRange(key(SpaceTimeline, t[:])) }

// ListingKey is the key of a listed thing. The kind is the projection's own
// enumeration.
func ListingKey(kind byte, id string) []byte { return key(SpaceListing, []byte{kind}, []byte(id)) }

// ParseListingKey undoes ListingKey.
func ParseListingKey(k []byte) (kind byte, id string, err error) {
	return kindAndID(SpaceListing, k)
}

// RegistryMetaKey begins the keys of a registry's versions. What follows it, a zero
// byte and the position of the announcement, is added by the projection.
func RegistryMetaKey(registry string) []byte { return key(SpaceRegistryMeta, []byte(registry)) }

// ParseRegistryMetaKey undoes RegistryMetaKey: it gives all that stands behind the
// space byte.
func ParseRegistryMetaKey(k []byte) (registry string, err error) {
	b, err := bodyFrom(SpaceRegistryMeta, k, 1)
	return string(b), err
}

// PackKey is the key of a published rule pack.
func PackKey(at ledger.Position) []byte { return key(SpacePack, u64(uint64(at))) }

// ParsePackKey undoes PackKey.
func ParsePackKey(k []byte) (ledger.Position, error) {
	return position(SpacePack, k)
}

// AnchorKey is the key of the last anchor.
func AnchorKey() []byte { return key(SpaceAnchor) }
