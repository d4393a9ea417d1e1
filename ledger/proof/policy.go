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
	if err := countsOnce(file); err != nil {
		return nil, err
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

// countsOnce refuses what C2SP tlog-policy forbids and the parser takes, because it makes
// one cosignature, or none, stand for several: a key under two names, a name that is a
// member twice, a group that demands nobody, a second quorum.
func countsOnce(file []byte) error {
	seen, quorums := map[string]bool{}, 0
	again := func(what string) bool { twice := seen[what]; seen[what] = true; return twice }
	for line := range strings.Lines(string(file)) {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		switch {
		case len(words) == 0:
		case words[0] == "quorum":
			quorums++
		case words[0] == "witness" && len(words) > 2:
			key := strings.SplitN(words[2], "+", 3)
			raw, err := decode64(key[len(key)-1])
			if err != nil || len(raw) < 1 || again("key "+string(raw[1:])) {
				return form("a policy in which the key of witness %s is none, or is there twice", clip(words[1]))
			}
		case words[0] == "group" && len(words) > 2:
			if len(words) == 3 || strings.Trim(words[2], "0") == "" || slices.ContainsFunc(words[3:], func(w string) bool { return again("member " + w) }) {
				return form("a policy whose group %s demands no witness, or has a member that is one already", clip(words[1]))
			}
		}
	}
	if quorums > 1 {
		return form("a policy with %d quorums", quorums)
	}
	return nil
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
