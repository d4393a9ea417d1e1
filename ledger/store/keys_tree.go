package store

import (
	"encoding/binary"

	"github.com/consent-ledger/consent-ledger/ledger"
)

// TileKey is the key of one tile of the Merkle tree.
func TileKey(level byte, index uint64) []byte { return key(SpaceTile, []byte{level}, u64(index)) }

// ParseTileKey undoes TileKey.
func ParseTileKey(k []byte) (level byte, index uint64, err error) {
	b, err := body(SpaceTile, k, 9)
	if err != nil {
		return 0, 0, err
	}
	return b[0], binary.BigEndian.Uint64(b[1:]), nil
}

// ChainKey is the key of the end of a person's chain, as the tree read it.
func ChainKey(p ledger.PersonID) []byte { return key(SpaceChain, p[:]) }

// ParseChainKey undoes ChainKey.
func ParseChainKey(k []byte) (p ledger.PersonID, err error) {
	err = readID(p[:], SpaceChain, k)
	return p, err
}

// QuietKey is the key of an entry that no answer hangs on.
func QuietKey(at ledger.Position) []byte { return key(SpaceQuiet, u64(uint64(at))) }

// ParseQuietKey undoes QuietKey.
func ParseQuietKey(k []byte) (ledger.Position, error) {
	return position(SpaceQuiet, k)
}
