package proof

import (
	"crypto/sha256"
	"encoding/binary"
)

// commitmentLabel begins what a commitment hashes, so that it can be mistaken for
// no other hash of the program. It is part of the format, for ever.
const commitmentLabel = "consent.v1/commitment"

// SaltBytes is the size of the salt that keeps a commitment from being guessed.
const SaltBytes = 32

// Commitment is SHA-256(label || u8 class || u16 length of field || field || salt
// || value), the label being the bytes "consent.v1/commitment". An entry holds it
// beside each sealed part: whoever is given salt and value can tell, without a key,
// that they are what was sealed.
func Commitment(class byte, field string, salt [SaltBytes]byte, value []byte) [sha256.Size]byte {
	return sha256.Sum256(AppendCommitted(nil, class, field, salt[:], value))
}

// AppendCommitted appends what a commitment hashes, for whoever makes many.
func AppendCommitted(b []byte, class byte, field string, salt, value []byte) []byte {
	b = append(b, commitmentLabel...)
	b = append(b, class)
	b = binary.BigEndian.AppendUint16(b, uint16(len(field)))
	b = append(b, field...)
	b = append(b, salt...)
	return append(b, value...)
}
