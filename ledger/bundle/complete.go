package bundle

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/directory"
)

// complete says whether nothing was left out.
func (v *verifier) complete() ([]Claim, error) {
	file, err := v.read(CompletenessFile)
	if err != nil {
		return nil, err
	}
	var by, covers ledger.Position
	shown, later, last, bound := 0, 0, 0, true
	err = lines(file, func(line []byte) error {
		c, err := parseCompleteness(line)
		if err != nil {
			return err
		}
		d, cited := v.cited[ledger.Position(c.Directory)]
		if c.Number <= last || c.Number > len(v.numbers) || !cited || by != 0 && by != d.position {
			return refuted("%s names a number or a directory that is not here", CompletenessFile)
		}
		a, err := v.history(c, d)
		by, covers, last = d.position, a.Statement.Covers, c.Number
		if a.Bound || a.Complete > 0 { // under a made-up token there is nothing
			shown, later = shown+1, later+a.Later
		}
		bound = bound && a.Bound
		return err
	})
	if err != nil {
		return nil, err
	}
	up := fmt.Sprintf("up to position %d, by the directory at position %d", covers, by)
	switch n := len(v.numbers); {
	case by == 0 && n == 0:
		return unproven("complete", "completeness: unproven; a directory lists numbers and not sellers, so entries may have been left out"), nil
	case by == 0:
		return unproven("complete", "completeness: unproven; no directory of all numbers is in this bundle, so entries after the last one, or persons, "+
			"may have been left out"), nil
	case shown < n:
		return unproven("complete", "completeness: unproven for %d of %s; about the others nothing was left out %s", n-shown, count(n, "number", "numbers"), up), nil
	}
	place := say(shown, "", "if it has the one place there that its key gives it", "if each has the one place there that its key gives it")
	if bound {
		place = say(shown, "", "in which it has one place", "in which each has one place")
	}
	return proven("complete", "nothing about %s was left out %s, %s; %s here", count(shown, "number", "numbers"), up, place,
		count(later, "later entry is", "later entries are")), nil
}

// history checks that the entries shown about a number are all that a directory knew.
func (v *verifier) history(c completeness, d head) (directory.Answer, error) {
	statement, err := only(d.fact, fieldDirectory)
	if err != nil {
		return directory.Answer{}, err
	}
	once := func(protowire.Number) bool { return true }
	if err := eachField(statement, once, func(protowire.Number, uint64, []byte) error { return nil }); err != nil {
		return directory.Answer{}, err
	}
	path, err := c.tokenPath()
	if err != nil {
		return directory.Answer{}, err
	}
	return directory.Verify(directory.Shown{Directory: d.raw, Number: v.numbers[c.Number-1].E164, Token: ledger.DirectoryToken(c.Token), TokenPath: path,
		Proof: c.Proof, Events: v.about[c.Number-1]})
}
