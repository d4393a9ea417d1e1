package proof

import (
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// KeysBytesMax bounds a file of keys.
const KeysBytesMax = 1 << 16

// Keys are the public keys somebody trusts, by name.
type Keys map[string]note.Verifier

// ParseKeys reads a file of verifier lines: a key a line; empty lines and lines
// that begin with # do not count. Two keys of one name are refused: the file would
// not say which of them is trusted.
func ParseKeys(file []byte) (Keys, error) {
	if len(file) > KeysBytesMax {
		return nil, form("a file of keys of %d bytes", len(file))
	}
	out := Keys{}
	i := 0
	for line := range strings.Lines(string(file)) {
		i++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		v, err := note.NewVerifier(line)
		if err != nil {
			return nil, form("line %d of the keys is no verifier line (name+id+key)", i)
		}
		if out[v.Name()] != nil {
			return nil, form("line %d of the keys is a second key of %s", i, v.Name())
		}
		out[v.Name()] = v
	}
	if len(out) == 0 {
		return nil, form("a file of keys without a key")
	}
	return out, nil
}

// Receipts gives the one key whose name ends as those of receipts do.
func (k Keys) Receipts() (note.Verifier, error) {
	return k.only("receipts", func(name string) bool { return strings.HasSuffix(name, ReceiptsSuffix) })
}

// Log gives the one key that signs checkpoints.
func (k Keys) Log() (note.Verifier, error) {
	return k.only("checkpoints", func(name string) bool {
		return !strings.HasSuffix(name, ReceiptsSuffix) && !strings.HasSuffix(name, ExportsSuffix)
	})
}

// Exports gives the one key that signs export bundles.
func (k Keys) Exports() (note.Verifier, error) {
	return k.only("exports", func(name string) bool { return strings.HasSuffix(name, ExportsSuffix) })
}

func (k Keys) only(what string, is func(name string) bool) (found note.Verifier, err error) {
	for name, v := range k {
		if !is(name) {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("proof: there are several keys for %s; name the ledger's in a file of its own", what)
		}
		found = v
	}
	if found == nil {
		return nil, fmt.Errorf("proof: there is no key for %s among those given; consent keys show lists the ledger's", what)
	}
	return found, nil
}
