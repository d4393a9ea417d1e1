package registry

import (
	"crypto/sha256"

	"github.com/consent-ledger/consent-ledger/ledger"
)

// HashOf names an object, so that the fuzzer gets past the name.
func HashOf(object []byte) ledger.Hash { return sha256.Sum256(object) }
