package mend

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/directory"
)

// Damage is one message of the stream that is not what was recorded.
type Damage struct {
	Seq uint64 `json:"seq"`
	// First and Last are its positions; 0: nobody knows.
	First   ledger.Position `json:"first"`
	Last    ledger.Position `json:"last"`
	Problem string          `json:"problem"`
	FoundAt time.Time       `json:"found_at"`
	// Numbers are those its entries are about, as keys of the directory. Everybody: it
	// cannot be known, or it is about all.
	Numbers   []directory.Key `json:"numbers,omitempty"`
	Everybody bool            `json:"everybody,omitempty"`
	// Tampered: the message is a whole commit of other entries. No damaged file gives
	// that: somebody wrote it. It blocks everything, and only a person mends it.
	Tampered bool `json:"tampered,omitempty"`
	// Mended: every entry is there, from copies.
	Mended bool `json:"mended,omitempty"`
}

// Whole tells whether nothing is damaged that is not mended, and nobody waits for
// it: then there is no number to ask about. It is as cheap as it can be.
func (m *Mender) Whole() bool { return m.view.Load().open == 0 && m.waiting.Load() == 0 }

// Blocks tells whether something about a number is lost, or may be.
func (m *Mender) Blocks(e164 string) bool {
	if m.Whole() {
		return false
	}
	v := m.view.Load()
	if v.everybody || m.waiting.Load() > 0 {
		return true
	}
	_, blocked := v.blocked[m.keys(e164)]
	return blocked
}

// Waits tells whether somebody waits at a hole: state stands still, every answer is
// BLOCK, and nothing is gained by waiting for another.
func (m *Mender) Waits() bool { return m.waiting.Load() > 0 }

// Damages lists what is damaged, mended or not, in the order of the stream.
func (m *Mender) Damages() []Damage {
	v := m.view.Load()
	out := make([]Damage, 0, len(v.damages))
	for _, seq := range slices.Sorted(maps.Keys(v.damages)) {
		out = append(out, *v.damages[seq])
	}
	return out
}

// States of a ledger with damage; package tree has the others.
const (
	// StateDamaged: messages are lost, and block the numbers they are about until they
	// are mended, or everybody if that cannot be known.
	StateDamaged = "DAMAGED"
	// StateTampered: the stream holds other entries than were recorded. It blocks
	// everybody.
	StateTampered = "TAMPERED"
)

// State is the worst of what is not mended; empty if all is.
func (m *Mender) State() string {
	if m.Whole() {
		if m.grave() {
			return StateDamaged
		}
		return ""
	}
	for _, d := range m.view.Load().damages {
		if d.Tampered && !d.Mended {
			return StateTampered
		}
	}
	return StateDamaged
}

// Blocked counts the numbers that are blocked, and tells whether all are.
func (m *Mender) Blocked() (numbers int, everybody bool) {
	v := m.view.Load()
	return len(v.blocked), v.everybody || m.waiting.Load() > 0
}

// Counts tells how many damaged messages are not mended, and how many are.
func (m *Mender) Counts() (open, mended int) {
	v := m.view.Load()
	return v.open, len(v.damages) - v.open
}

// problemsMax bounds what is listed of many damages.
const problemsMax = 10

// Problems lists what somebody must do, for doctor.
func (m *Mender) Problems() []string {
	const help = "put it back from any copy: consent repair --from COPY"
	var out []string
	mended, more := 0, 0
	for _, d := range m.Damages() {
		switch {
		case d.Mended:
			mended++
		case len(out) == problemsMax:
			more++
		case d.Tampered:
			out = append(out, fmt.Sprintf("%s: message %d %s; every check is BLOCK. Find out who wrote it, then %s", StateTampered, d.Seq, d.Problem, help))
		default:
			out = append(out, fmt.Sprintf("%s: message %d%s %s; %s; %s", StateDamaged, d.Seq, d.positions(), d.Problem, d.touches(), help))
		}
	}
	if more > 0 {
		out = append(out, fmt.Sprintf("%s: %d more messages are lost; %s", StateDamaged, more, help))
	}
	if m.waiting.Load() > 0 {
		out = append(out, fmt.Sprintf("%s: projections must be folded across a lost message and wait for it; every check is BLOCK; %s", StateDamaged, help))
	}
	if mended > 0 {
		out = append(out, fmt.Sprintf("MENDED: %d messages of the stream are damaged and read from verified copies in the folder mended; nothing is "+
			"blocked; look at the disk", mended))
	}
	return out
}

func (d Damage) positions() string {
	switch {
	case d.First == 0:
		return ""
	case d.First == d.Last:
		return fmt.Sprintf(", position %d,", d.First)
	}
	return fmt.Sprintf(", positions %d to %d,", d.First, d.Last)
}

func (d Damage) touches() string {
	switch {
	case d.Everybody:
		return "whom it is about cannot be known, or it is about everybody: every check is BLOCK"
	case len(d.Numbers) == 0:
		return "it is about nobody, and blocks nothing"
	case len(d.Numbers) == 1:
		return "checks of the number it is about are BLOCK"
	}
	return fmt.Sprintf("checks of the %d numbers it is about are BLOCK", len(d.Numbers))
}

// at gives what is wrong with a message; nil: nothing is known to be.
func (m *Mender) at(seq uint64) *Damage {
	v := m.view.Load()
	if len(v.damages) == 0 {
		return nil
	}
	return v.damages[seq]
}
