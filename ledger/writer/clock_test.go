package writer_test

import (
	"errors"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/ledger"
)

func TestClock(t *testing.T) {
	w := newWorld(t)
	l := w.start()
	l.must(sellerFact())
	before := l.must(grant(number, "e1"))[0]
	w.wall.set(w.wall.now.Add(-time.Hour))
	var invalid *ledger.InvalidError
	if o := l.record(grant(number, "e2"))[0]; !errors.As(o.Err, &invalid) || invalid.Field != "recorded_at" {
		t.Fatalf("a grant while the clock is wrong: %+v", o)
	}
	r := l.must(stop(number, "e3"))[0]
	if r.RecordedAt.Before(before.RecordedAt) {
		t.Error("recorded_at went backwards")
	}
	if p := l.writer.Problems(); len(p) != 1 {
		t.Errorf("problems %v", p)
	}
	l.writer.ConfirmClock()
	if r := l.must(grant(number, "e4"))[0]; r.RecordedAt.Before(before.RecordedAt) {
		t.Error("recorded_at went backwards after the officer's word")
	}
	if err := l.end(); err != nil {
		t.Fatal(err)
	}
	w.wall.set(w.wall.now.Add(-24 * time.Hour))
	l = w.start()
	if o := l.record(grant(other, "e5"))[0]; !errors.As(o.Err, &invalid) {
		t.Fatalf("a grant when the clock starts behind the tail: %+v", o)
	}
	l.must(stop(other, "e6"))
}

func TestDates(t *testing.T) {
	l := newWorld(t).start()
	l.must(sellerFact())
	ahead := grant(number, "e1")
	ahead.OccurredAt = timestamppb.New(l.w.wall.now.Add(24 * time.Hour))
	var invalid *ledger.InvalidError
	if o := l.record(ahead)[0]; !errors.As(o.Err, &invalid) || invalid.Field != "occurred_at" {
		t.Fatalf("a grant dated tomorrow: %+v", o)
	}
	late := stop(number, "e2")
	late.OccurredOn = "someday"
	r := l.must(late)[0]
	e, err := l.reader.Entry(t.Context(), r.Position)
	if err != nil {
		t.Fatal(err)
	}
	if got := e.Fact().Latest.AsTime(); !got.Equal(r.RecordedAt) || !e.Fact().Earliest.AsTime().Equal(got) {
		t.Errorf("an unreadable date of a stop: %s to %s", e.Fact().Earliest.AsTime(), got)
	}
	day := grant(number, "e3")
	day.OccurredAt, day.OccurredOn = nil, "2026-05-04"
	e, err = l.reader.Entry(t.Context(), l.must(day)[0].Position)
	if err != nil {
		t.Fatal(err)
	}
	if from, to := e.Fact().Earliest.AsTime(), e.Fact().Latest.AsTime(); from.After(time.Date(2026, 5, 4, 4, 0, 0, 0, time.UTC)) ||
		to.Before(time.Date(2026, 5, 5, 9, 59, 0, 0, time.UTC)) {
		t.Errorf("a day spans %s to %s", from, to)
	}
}
