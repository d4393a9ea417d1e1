package bundle

import (
	"crypto/sha256"
	"slices"
	"strings"

	"github.com/consent-ledger/consent-ledger/ledger"
)

// Wording is a text that people were shown, as the ledger published it.
type Wording struct {
	ID, Language, Text string
	Position           ledger.Position
	// Recorded is when it was published, in UTC.
	Recorded string
}

// Wording adds a text whose publication is cited. A second time is no time.
func (b *Writer) Wording(w Wording) error {
	name := wordingName(sha256.Sum256([]byte(w.Text)))
	b.report.wordings = append(b.report.wordings, w)
	if _, twice := b.sums[name]; twice { // two ids may have one text
		return nil
	}
	return b.file(name, []byte(w.Text))
}

func wordingName(sum ledger.Hash) string { return wordingsFolder + sum.String() + ".txt" }

// wordings checks that the texts are those the ledger published, each id with one.
func (v *verifier) wordings() ([]Claim, error) {
	published, named := map[string][]string{}, map[string]bool{}
	for _, h := range v.cited {
		fact, err := only(h.fact, fieldWording)
		if err != nil {
			return nil, err
		}
		if fact == nil {
			continue
		}
		id, err := only(fact, fieldWordingID)
		if err != nil {
			return nil, err
		}
		sum, err := only(fact, fieldWordingSHA256)
		if err != nil {
			return nil, err
		}
		if !plain(string(id), "abcdefghijklmnopqrstuvwxyz0123456789_-") || len(sum) != sha256.Size || named[string(id)] {
			return nil, refuted("a wording is published twice, or as none")
		}
		named[string(id)] = true
		name := wordingName(ledger.Hash(sum))
		published[name] = append(published[name], string(id))
	}
	var ids []string
	texts := 0
	for name, sum := range v.sums {
		if !strings.HasPrefix(name, wordingsFolder) {
			continue
		}
		if name != wordingName(sum) || published[name] == nil {
			return nil, refuted("%s is no wording that the ledger published", name)
		}
		ids = append(ids, published[name]...)
		texts++
	}
	if texts == 0 {
		return proven("wordings", "no text of a wording is here"), nil
	}
	slices.Sort(ids)
	return proven("wordings", "%s: %s", say(texts, "", "1 text is what the ledger published as", "%d texts are what the ledger published as"),
		strings.Join(ids, ", ")), nil
}
