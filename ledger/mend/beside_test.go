package mend

import "testing"

// TestLossesHaveABound: beyond it nothing is added, and what is known can still heal.
func TestLossesHaveABound(t *testing.T) {
	w := newWorld(t)
	w.commit(nobody)
	m := w.open()
	defer w.close(m)
	var found []Loss
	for i := range uint64(lossesMax) {
		found = append(found, Loss{Stream: KeysName, First: 2*i + 1, Last: 2*i + 1})
	}
	for _, some := range [][]Loss{found, {{Stream: KeysName, First: 9_999, Last: 9_999}}} {
		if err := m.lose(some...); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(m.Losses()); n != lossesMax {
		t.Fatalf("%d losses are kept", n)
	}
	if err := m.Healed(KeysName, []uint64{5}); err != nil {
		t.Fatal(err)
	}
	for _, l := range m.Losses() {
		if l.Healed != (l.First == 5) {
			t.Errorf("message %d: healed %t", l.First, l.Healed)
		}
	}
}
