package proof

import (
	"fmt"
	"slices"
	"strings"

	"github.com/transparency-dev/formats/witness"
	"golang.org/x/mod/sumdb/note"
)

// Policy says whose word is taken for a checkpoint, and how many of them must have
// cosigned it: a C2SP tlog-policy file. Who checks a proof and who asks for cosignatures
// read the same one. It never changes and is safe for concurrent use.
type Policy struct {
	group     witness.Group
	witnesses []note.Verifier // by name, each once
}

// ParsePolicy reads a policy file. One that demands nobody is refused: whatever it is
// held against would look as if somebody vouched for it.
func ParsePolicy(file []byte) (*Policy, error) {
	if len(file) > KeysBytesMax {
		return nil, form("a policy of %d bytes", len(file))
	}
	g, err := witness.ParsePolicy(file)
	if err != nil {
		return nil, fmt.Errorf("proof: policy: %w", err)
	}
	p := &Policy{group: g}
	p.walk(g)
	slices.SortFunc(p.witnesses, func(a, b note.Verifier) int { return strings.Compare(a.Name(), b.Name()) })
	if len(p.witnesses) == 0 || g.N == 0 {
		return nil, form("a policy that demands no witness; name one in its quorum")
	}
	return p, nil
}

// walk finds the witnesses of a group.
func (p *Policy) walk(g witness.Group) {
	for _, c := range g.Components {
		switch c := c.(type) {
		case witness.Group:
			p.walk(c)
		case witness.Witness:
			known := func(o note.Verifier) bool { return o.Name() == c.Key.Name() && o.KeyHash() == c.Key.KeyHash() }
			if !slices.ContainsFunc(p.witnesses, known) {
				p.witnesses = append(p.witnesses, c.Key)
			}
		}
	}
}

// Endpoints are the witnesses by the URLs at which they are asked.
func (p *Policy) Endpoints() map[string]note.Verifier { return p.group.Endpoints() }

// Satisfied tells whether a checkpoint holds as many cosignatures as it must.
func (p *Policy) Satisfied(checkpoint []byte) bool { return p.group.Satisfied(checkpoint) }

// Fewest is how many witnesses can satisfy it, if all of them are others.
func (p *Policy) Fewest() int { return fewest(p.group) }

func fewest(g witness.Group) (n int) {
	var each []int
	for _, c := range g.Components {
		switch c := any(c).(type) {
		case witness.Group:
			each = append(each, fewest(c))
		default:
			each = append(each, 1)
		}
	}
	slices.Sort(each)
	for _, m := range each[:g.N] {
		n += m
	}
	return n
}

// Cosigners are those of the policy who cosigned a checkpoint, by name.
func (p *Policy) Cosigners(checkpoint []byte) (names []string) {
	for _, w := range p.witnesses {
		if n, err := note.Open(checkpoint, note.VerifierList(w)); err == nil && len(n.Sigs) == 1 {
			names = append(names, w.Name())
		}
	}
	return names
}
