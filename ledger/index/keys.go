package index

import (
	"fmt"
	"slices"

	"github.com/consent-ledger/consent-ledger/ledger"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// keysMessage is a message of the keys stream of which some keys are not written
// yet. A restart reads on from before the first of them.
type keysMessage struct {
	seq  uint64
	left int // keys, or one commit that brings them all
}

// ahead is a key that is durable before its person has an entry. in is nil once it
// is written too.
type ahead struct {
	keys keyList
	in   *keysMessage
}

// KeysStored takes note that keys are durable as message seq of the keys stream:
// those a staged commit brings, or those of persons still to begin, one each. They
// are written with the commit that brings them, or with their person's first entry.
// Messages must be noted in the order of the stream.
func (ix *Index) KeysStored(seq uint64, keys *consentv1.WrappedKeys) error {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	at := ix.Applied()
	if seq <= at.KeysSeq {
		return fmt.Errorf("index: keys message %d after %d: %w", seq, at.KeysSeq, ledger.ErrDamaged)
	}
	m := &keysMessage{seq: seq, left: 1}
	staged := *ix.staged.Load()
	if i := slices.IndexFunc(staged, func(p *plan) bool { return p.brings == keys }); i >= 0 {
		staged[i].keysIn = m
	} else {
		m.left = len(keys.GetKeys())
		for _, w := range keys.GetKeys() {
			k, err := keyOfWrapped(w)
			if err != nil {
				return err
			}
			ix.ahead[k.person] = ahead{keyList(nil).with(k, w), m}
		}
	}
	ix.keysOpen = append(ix.keysOpen, m)
	at.KeysSeq = seq
	ix.applied.Store(&at)
	return nil
}

// KeysLeft takes note of a message of the keys stream that this process does not read:
// the next start reads on from before it. As with KeysStored, in the stream's order.
func (ix *Index) KeysLeft(seq uint64) {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	at := ix.Applied()
	ix.keysOpen = append(ix.keysOpen, &keysMessage{seq: seq, left: 1})
	at.KeysSeq = max(at.KeysSeq, seq)
	ix.applied.Store(&at)
}

// keysWritten takes note of what a plan's rows hold, and gives how far the keys stream
// is then written. The caller holds mu.
func (ix *Index) keysWritten(p *plan) uint64 {
	if p.keysIn != nil {
		p.keysIn.left--
	}
	if len(ix.ahead) > 0 {
		for id := range p.persons {
			if a, ok := ix.ahead[id]; ok {
				a.leave()
				delete(ix.ahead, id)
			}
		}
	}
	return ix.keysRead()
}

// leave says that a key is written.
func (a ahead) leave() {
	if a.in != nil {
		a.in.left--
	}
}

// keysRead gives the last message of the keys stream of which, and of all before
// it, everything is written. The caller holds mu.
func (ix *Index) keysRead() uint64 {
	ix.keysOpen = slices.DeleteFunc(ix.keysOpen, func(m *keysMessage) bool { return m.left == 0 })
	if len(ix.keysOpen) > 0 {
		return ix.keysOpen[0].seq - 1
	}
	return ix.Applied().KeysSeq
}

// Flush writes everything: what is settled, and the keys of persons still to begin.
func (ix *Index) Flush() error {
	if err := ix.Write(); err != nil {
		return err
	}
	ix.writing.Lock()
	defer ix.writing.Unlock()
	ix.mu.Lock()
	defer ix.mu.Unlock()
	p := &plan{persons: make(map[ledger.PersonID]person, len(ix.ahead))}
	for id, a := range ix.ahead {
		if a.in == nil {
			continue
		}
		p.persons[id] = person{keys: a.keys}
		a.leave()
		ix.ahead[id] = ahead{keys: a.keys} // written once more with the first entry
	}
	if len(p.persons) == 0 {
		return nil
	}
	at := ix.written
	at.KeysSeq = ix.keysRead()
	return ix.writeKeys(p, at)
}

// ApplyKeys writes one message of the keys stream that no commit brings: one read
// at a start, or keys wrapped anew. A key that is there already is replaced. A
// message at or before the last one is passed over. Nothing may be staged.
func (ix *Index) ApplyKeys(seq uint64, keys *consentv1.WrappedKeys) error {
	at := ix.Applied()
	if seq <= at.KeysSeq {
		return nil
	}
	if err := ix.Flush(); err != nil {
		return err
	}
	ix.writing.Lock()
	defer ix.writing.Unlock()
	ix.mu.Lock()
	defer ix.mu.Unlock()
	if len(*ix.staged.Load()) > 0 {
		return fmt.Errorf("index: keys message %d while a commit is open", seq)
	}
	p := &plan{persons: make(map[ledger.PersonID]person, len(keys.GetKeys()))}
	v := view{ix: ix, plans: []*plan{p}}
	for _, w := range keys.GetKeys() {
		if err := p.key(v, w); err != nil {
			return fmt.Errorf("index: keys message %d: %w", seq, err)
		}
	}
	for id, row := range p.persons {
		if _, ok := ix.ahead[id]; ok {
			ix.ahead[id] = ahead{keys: row.keys}
		}
	}
	at.KeysSeq = seq
	ix.applied.Store(&at)
	return ix.writeKeys(p, at)
}

// writeKeys makes the rows of persons, and takes note how far the keys stream is read.
func (ix *Index) writeKeys(p *plan, at Applied) error {
	if ix.broken != nil {
		return ix.broken
	}
	p.writePersons(ix.fresh.Load())
	return ix.wrote(at)
}
