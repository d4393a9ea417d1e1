package bundle

import (
	"fmt"
	"slices"
	"strings"

	"github.com/transparency-dev/formats/witness"
	"golang.org/x/mod/sumdb/note"

	"github.com/consent-ledger/consent-ledger/ledger/proof"
)

// Policy says whose word the reader takes for a checkpoint, and how many of them must
// have cosigned it: a C2SP tlog-policy file.
type Policy struct {
	group     witness.Group
	witnesses []note.Verifier // by name
}

// ParsePolicy reads a policy file.
func ParsePolicy(file []byte) (*Policy, error) {
	if len(file) > proof.KeysBytesMax {
		return nil, form("a policy of %d bytes", len(file))
	}
	g, err := witness.ParsePolicy(file)
	if err != nil {
		return nil, fmt.Errorf("bundle: policy: %w", err)
	}
	p := &Policy{group: g}
	p.walk(g)
	slices.SortFunc(p.witnesses, func(a, b note.Verifier) int { return strings.Compare(a.Name(), b.Name()) })
	if len(p.witnesses) == 0 || g.N == 0 {
		return nil, form("a policy that demands no witness")
	}
	return p, nil
}

// walk finds the witnesses of a group, each once.
func (p *Policy) walk(g witness.Group) {
	for _, c := range g.Components {
		switch c := c.(type) {
		case witness.Group:
			p.walk(c)
		case witness.Witness:
			if !slices.ContainsFunc(p.witnesses, func(o note.Verifier) bool { return o.Name() == c.Key.Name() && o.KeyHash() == c.Key.KeyHash() }) {
				p.witnesses = append(p.witnesses, c.Key)
			}
		}
	}
}

// cosigners are those who cosigned a checkpoint, and whether they are enough.
func (p *Policy) cosigners(checkpoint []byte) (names []string, enough bool) {
	for _, w := range p.witnesses {
		if n, err := note.Open(checkpoint, note.VerifierList(w)); err == nil && len(n.Sigs) == 1 {
			names = append(names, w.Name())
		}
	}
	return names, p.group.Satisfied(checkpoint)
}

// anchored says who besides the operator vouches for the checkpoint.
func (v *verifier) anchored() ([]Claim, error) {
	report := unproven("report", "the report, the tables and the decisions are signed and not proven: what is proven are the entries")
	if v.trust.Policy == nil {
		return slices.Concat(unproven("anchored", "operator only: no witness and no timestamp was asked about the checkpoint, so others may have been shown another history"), report), nil
	}
	file, err := v.read(CheckpointFile)
	if err != nil {
		return nil, err
	}
	names, enough := v.trust.Policy.cosigners(file)
	if !enough {
		return nil, refuted("the checkpoint is not cosigned by as many witnesses as the policy demands: it is the operator's word alone")
	}
	return slices.Concat(proven("anchored", "by as many witnesses as your policy demands: %s; each saw this as the one history", strings.Join(names, ", ")), report), nil
}
