package bundle

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/consent-ledger/consent-ledger/ledger"
)

// Record is one entry as a bundle shows it.
type Record struct {
	Position ledger.Position
	// Number says which of the bundle's numbers it is about, from 1; 0: none.
	Number int
	// Entry is the stored bytes.
	Entry []byte
	// Path leads from the entry's leaf to the checkpoint's root.
	Path tlog.RecordProof
	// Opened are the disclosed parts, in the order of the entry.
	Opened []Opened
}

// Opened is a disclosed part: with salt and value anybody can make its commitment.
type Opened struct {
	Field       string
	Salt, Value []byte
}

// The JSON of a record: keys in this order, base64, no blanks.
type recordJSON struct {
	Position uint64       `json:"position"`
	Number   int          `json:"number,omitempty"`
	Entry    []byte       `json:"entry"`
	Path     [][]byte     `json:"path"`
	Opened   []openedJSON `json:"opened,omitempty"`
}

type openedJSON struct {
	Field string `json:"field"`
	Salt  []byte `json:"salt"`
	Value []byte `json:"value"`
}

// line gives the record's one encoding, with the newline.
func (r Record) line() ([]byte, error) {
	j := recordJSON{Position: uint64(r.Position), Number: r.Number, Entry: r.Entry, Path: make([][]byte, len(r.Path))}
	for i := range r.Path {
		j.Path[i] = r.Path[i][:]
	}
	for _, o := range r.Opened {
		j.Opened = append(j.Opened, openedJSON{o.Field, o.Salt, nonNil(o.Value)})
	}
	return jsonLine(j)
}

// nonNil: an empty value is "", not null.
func nonNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// parseRecord undoes line.
func parseRecord(line []byte) (r Record, err error) {
	var j recordJSON
	if err := oneLine(line, &j); err != nil {
		return r, err
	}
	r = Record{Position: ledger.Position(j.Position), Number: j.Number, Entry: j.Entry}
	for _, h := range j.Path {
		if len(h) != tlog.HashSize {
			return r, form("a path with a hash of %d bytes", len(h))
		}
		r.Path = append(r.Path, tlog.Hash(h))
	}
	for _, o := range j.Opened {
		if !plain(o.Field, "0123456789.") || o.Value == nil {
			return r, form("an opened part without a field or a value")
		}
		r.Opened = append(r.Opened, Opened(o))
	}
	if j.Path == nil || j.Position == 0 || j.Position > numberMax || j.Number < 0 || j.Number > numberMax || len(j.Entry) == 0 || len(j.Entry) > ledger.EntryBytesMax {
		return r, form("an entry of an impossible place or size")
	}
	return r, nil
}

// Number is one of the numbers that a bundle is about.
type Number struct {
	// Number counts from 1.
	Number int `json:"number"`
	// E164 is empty if numbers are not disclosed.
	E164 string `json:"e164,omitempty"`
	// Entries about it in the bundle.
	Entries int `json:"entries"`
	// Persons are its holders, in the order of their first entries.
	Persons []Person `json:"persons"`
}

// Person is one holder of a number, with what his chain of entries must come to.
type Person struct {
	Person  []byte `json:"person"`
	Entries uint64 `json:"entries"`
	// Head is the leaf hash of the last entry.
	Head []byte `json:"head"`
}

// parseNumber reads one line of numbers.jsonl.
func parseNumber(line []byte) (n Number, err error) {
	if err := oneLine(line, &n); err != nil {
		return n, err
	}
	ok := n.Persons != nil && n.Number > 0 && n.Number <= numberMax && n.Entries >= 0 && n.Entries <= numberMax
	if n.E164 != "" {
		digits, plus := strings.CutPrefix(n.E164, "+")
		ok = ok && plus && plain(digits, "0123456789")
	}
	for _, p := range n.Persons {
		ok = ok && len(p.Person) > 0 && len(p.Head) == sha256.Size && p.Entries > 0 && p.Entries <= numberMax
	}
	if !ok {
		return n, form("%s has a line that is none", NumbersFile)
	}
	return n, nil
}

// completeness is one line of completeness.jsonl: what leads from a number to the
// directory that a cited entry committed.
type completeness struct {
	Number    int    `json:"number"`
	Directory uint64 `json:"directory"`
	Token     []byte `json:"token"`
	Proof     []byte `json:"proof"`
	// TokenPath shows that the token is the number's only one.
	TokenPath [][]byte `json:"tokenPath,omitempty"`
}

// tokenPath is the path as hashes; nil if there is none.
func (c completeness) tokenPath() (path []ledger.Hash, err error) {
	for _, h := range c.TokenPath {
		if len(h) != len(ledger.Hash{}) {
			return nil, form("a path with a hash of %d bytes", len(h))
		}
		path = append(path, ledger.Hash(h))
	}
	return path, nil
}

func parseCompleteness(line []byte) (c completeness, err error) {
	if err := oneLine(line, &c); err != nil {
		return c, err
	}
	if c.Number < 1 || c.Number > numberMax || c.Directory < 1 || c.Directory > numberMax || len(c.Token) != len(ledger.DirectoryToken{}) || c.Proof == nil {
		return c, form("%s has a line that is none", CompletenessFile)
	}
	return c, nil
}

// plain tells whether a word is made of some characters alone.
func plain(word, of string) bool { return word != "" && strings.Trim(word, of) == "" }

// jsonLine writes a value on a line, without escapes that JSON does not ask for.
func jsonLine(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return b.Bytes(), err
}

// oneLine reads a line that jsonLine wrote; whatever it would write otherwise is
// refused: a key twice, in capitals or unknown, a blank, lax base64.
func oneLine(line []byte, v any) error {
	if err := json.Unmarshal(line, v); err != nil {
		return form("a line that is not the JSON it should be")
	}
	again, err := jsonLine(v)
	if err != nil || !bytes.Equal(again, append(slices.Clip(line), '\n')) {
		return form("a line that is not in its one encoding")
	}
	return nil
}

// lines visits the lines of a file, each of which must end.
func lines(file []byte, visit func(line []byte) error) error {
	for len(file) > 0 {
		line, rest, ended := bytes.Cut(file, []byte{'\n'})
		if !ended {
			return form("a last line that does not end")
		}
		if err := visit(line); err != nil {
			return err
		}
		file = rest
	}
	return nil
}
