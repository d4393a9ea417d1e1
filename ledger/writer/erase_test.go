package writer_test

import "testing"

func TestErase(t *testing.T) {
	w := newWorld(t)
	l := w.start()
	l.must(sellerFact())
	mine := l.must(grant(number, "e1"))[0].Position
	theirs := l.must(grant(other, "e2"))[0].Position
	x, err := w.keys.Exchange(number)
	if err != nil {
		t.Fatal(err)
	}
	check := func(l *life) {
		t.Helper()
		e, err := l.reader.Entry(t.Context(), mine)
		if err != nil {
			t.Fatal(err)
		}
		if fact, erased, err := l.reader.Open(t.Context(), e); err != nil || !erased || fact.Number != "" {
			t.Errorf("after erasure: %v, erased %t, %v", fact, erased, err)
		}
		if e, err = l.reader.Entry(t.Context(), theirs); err != nil {
			t.Fatal(err)
		}
		if fact, erased, err := l.reader.Open(t.Context(), e); err != nil || erased || fact.Number != other {
			t.Errorf("somebody else: %v, erased %t, %v", fact, erased, err)
		}
	}
	r, persons, err := l.writer.Erase(t.Context(), number, x, "erasure_request")
	if err != nil || persons != 1 || r.Position == 0 {
		t.Fatalf("erase: %+v, %d, %v", r, persons, err)
	}
	check(l)
	again := l.must(grant(number, "e3"))[0].Position
	e, err := l.reader.Entry(t.Context(), again)
	if err != nil {
		t.Fatal(err)
	}
	if e.Msg.PersonSeq != 1 {
		t.Error("a number that comes again did not begin a new person")
	}
	if err := l.end(); err != nil {
		t.Fatal(err)
	}
	check(w.start())
}
