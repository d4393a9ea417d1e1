package writer_test

import (
	"bytes"
	"errors"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/consent-ledger/consent-ledger/ledger"
)

func TestRecordOnce(t *testing.T) {
	l := newWorld(t).start()
	l.must(sellerFact())
	first := l.must(grant(number, "e1"))[0]
	again := l.must(grant(number, "e1"))[0]
	if !again.Duplicate || again.Position != first.Position || again.Leaf != first.Leaf || again.EntryID != first.EntryID {
		t.Errorf("retry got %+v, first was %+v", again, first)
	}
	both := l.must(grant(other, "e2"), grant(other, "e2"))
	if both[0].Duplicate || !both[1].Duplicate || both[0].Position != both[1].Position {
		t.Errorf("the same fact twice in one call: %+v", both)
	}
	if err := l.end(); err != nil {
		t.Fatal(err)
	}
	l = l.w.start()
	if r := l.must(grant(number, "e1"))[0]; !r.Duplicate || r.Position != first.Position || r.Leaf != first.Leaf {
		t.Errorf("after a restart: %+v", r)
	}
}

func TestConflict(t *testing.T) {
	l := newWorld(t).start()
	l.must(sellerFact())
	first := l.must(grant(number, "e1"))[0]
	if o := l.record(grant(other, "e1"))[0]; !errors.Is(o.Err, ledger.ErrEventIDConflict) {
		t.Fatalf("another grant under the same id: %+v", o)
	}
	r := l.must(stop(number, "e1"))[0]
	if r.Duplicate || r.ConflictsWith != first.Position || r.Position <= first.Position {
		t.Fatalf("a conflicting revocation: %+v", r)
	}
	if again := l.must(stop(number, "e1"))[0]; !again.Duplicate || again.Position != r.Position || again.ConflictsWith != first.Position {
		t.Fatalf("its retry: %+v", again)
	}
}

func TestStoredEntryOpens(t *testing.T) {
	l := newWorld(t).start()
	l.must(sellerFact())
	at := l.must(grant(number, "e1"), stop(number, "e2"))[1].Position
	e, err := l.reader.Entry(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(e.Bytes, []byte("2125550143")) {
		t.Error("the number stands in clear")
	}
	fact, erased, err := l.reader.Open(t.Context(), e)
	if err != nil || erased || fact.Number != number || fact.EventId != "e2" || fact.GetConsentRevoked().Words != "please stop" {
		t.Errorf("opened %v, erased %t, %v", fact, erased, err)
	}
	if e.Msg.PersonSeq != 2 || len(e.Msg.PersonPrev) != 32 {
		t.Errorf("back-link: seq %d, prev %x", e.Msg.PersonSeq, e.Msg.PersonPrev)
	}
}

func TestLargeStopIsKeptWhole(t *testing.T) {
	l := newWorld(t).start()
	l.must(sellerFact())
	f := stop(number, "e1")
	f.GetConsentRevoked().Words = string(bytes.Repeat([]byte("stop "), 400_000))
	e, err := l.reader.Entry(t.Context(), l.must(f)[0].Position)
	if err != nil {
		t.Fatal(err)
	}
	if len(e.Bytes) > ledger.EntryBytesMax || proto.Size(e.Msg) > 4096 {
		t.Errorf("entry of %d bytes", len(e.Bytes))
	}
	if fact, _, err := l.reader.Open(t.Context(), e); err != nil || fact.GetConsentRevoked().Words != f.GetConsentRevoked().Words {
		t.Errorf("words lost: %v", err)
	}
}
