package keeper

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/directory"
	"github.com/consent-ledger/consent-ledger/ledger/store"
)

// TestAnyHistory: whatever comes, whenever roots are taken and however often the
// keeper restarts, dies in the middle of a batch or loses its folder, each root is
// that of a tree made of everything at once, and every number is proven under it.
func TestAnyHistory(t *testing.T) {
	const numbers = 30
	base := t.TempDir()
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		dir := filepath.Join(base, strconv.Itoa(run))
		f := newFake()
		cfg := f.config(dir)
		l := start(t, f, cfg)
		var open []*Committed
		closeAll := func() {
			for _, c := range open {
				l.check(c, numbers) // a view that was taken earlier does not move
				if err := c.Close(); err != nil {
					rt.Fatal(err)
				}
			}
			open = nil
		}
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			switch rapid.SampledFrom([]string{"append", "append", "append", "commit", "restart", "lose", "die"}).Draw(rt, "step") {
			case "append":
				f.append(rapid.SliceOfN(rapid.IntRange(-1, numbers-2), 1, 12).Draw(rt, "about")...)
			case "commit":
				open = append(open, l.commit(numbers))
			case "restart":
				closeAll()
				if err := l.end(); err != nil {
					rt.Fatal(err)
				}
				l = start(t, f, cfg)
			case "lose":
				closeAll()
				if err := errors.Join(l.end(), os.RemoveAll(dir)); err != nil {
					rt.Fatal(err)
				}
				l = start(t, f, cfg)
			case "die":
				closeAll()
				if err := l.end(); err != nil {
					rt.Fatal(err)
				}
				die(t, f, cfg, rapid.IntRange(0, 2).Draw(rt, "batches"))
				l = start(t, f, cfg)
			}
		}
		last := l.commit(numbers)
		if again := l.commit(0); again.Position != last.Position || again.Statement != last.Statement {
			rt.Fatalf("nothing came, and another directory was committed: %+v after %+v", again, last)
		} else if err := again.Close(); err != nil {
			rt.Fatal(err)
		}
		open = append(open, last)
		closeAll()
		if err := l.end(); err != nil {
			rt.Fatal(err)
		}
	})
}

// die runs a keeper that fails before the commit of a batch.
func die(t testing.TB, f *fake, cfg Config, batches int) {
	died := errors.New("died")
	l := start(t, f, cfg, func(k *Keeper) {
		k.testingOnlyBeforeCommit = func() error {
			if batches--; batches < 0 {
				return died
			}
			return nil
		}
	})
	f.append(1, system, 2)
	for range 3 { // one batch each, unless they are folded together
		f.append(1)
	}
	for l.k.Status().Applied < f.acked() { // unless all was folded into fewer batches than it takes
		select {
		case err := <-l.ended:
			l.ended <- err
		case <-time.After(time.Millisecond):
			continue
		}
		break
	}
	if err := l.end(); err != nil && !errors.Is(err, died) {
		t.Fatal(err)
	}
}

// TestDiesBetweenRecordAndAnswer: the entry is in the ledger and nobody heard of it;
// the next start goes on from what the ledger says.
func TestDiesBetweenRecordAndAnswer(t *testing.T) {
	f := newFake()
	cfg := f.config(tempDir(t))
	l := start(t, f, cfg)
	f.append(0, 1, 2)
	f.lost = ledger.ErrUncertain
	if _, err := l.k.Commit(t.Context()); !errors.Is(err, ledger.ErrUncertain) {
		t.Fatal(err)
	}
	if err := l.end(); err != nil {
		t.Fatal(err)
	}
	l = start(t, f, cfg)
	c := l.commit(4)
	if c.Position != 4 || c.Statement.Covers != 3 {
		t.Errorf("directory at %d covers %d, want the one at 4 that is there", c.Position, c.Statement.Covers)
	}
	if err := errors.Join(c.Close(), l.end()); err != nil {
		t.Fatal(err)
	}
}

// TestSamePositionIsOneEntry: a keeper that lost what it read after the record commits
// again at the same position, and finds its entry.
func TestSamePositionIsOneEntry(t *testing.T) {
	f := newFake()
	f.append(0, 1)
	first := start(t, f, f.config(tempDir(t)))
	second := start(t, f, f.config(tempDir(t)))
	ctx := t.Context()
	a, err := first.k.view(ctx, 2)
	if err != nil {
		t.Fatal(err)
	}
	b, err := second.k.view(ctx, 2)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []*view{a, b} {
		c, err := first.k.commit(ctx, v)
		if err != nil || c.Position != 3 {
			t.Fatalf("%+v, %v", c, err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAnotherRoot: if the ledger says another root of the same entries, nothing is
// proven and doctor hears of it.
func TestAnotherRoot(t *testing.T) {
	f := newFake()
	f.append(0, 1)
	cfg := f.config(tempDir(t))
	l := start(t, f, cfg)
	lie := f.naive(2)
	lie.CoversRecordedAt = time.Date(2026, 5, 1, 0, 0, 2, 0, time.UTC)
	lie.Root[0] ^= 1
	if _, err := f.record(t.Context(), fact(lie)); err != nil {
		t.Fatal(err)
	}
	for range 2 { // it was read from the ledger by now; then something came after it
		if _, err := l.k.Commit(t.Context()); !errors.Is(err, ErrMismatch) {
			t.Fatalf("committed beside a root that it contradicts: %v", err)
		}
		if p := l.k.Problems(time.Now()); len(p) == 0 || !strings.Contains(p[0], "MISMATCH") {
			t.Errorf("problems %v", p)
		}
		f.append(system)
	}
	v, err := l.k.view(t.Context(), 2)
	if err != nil {
		t.Fatal(err)
	}
	v.statement.Covers, v.statement.CoversRecordedAt, v.last = 2, lie.CoversRecordedAt, Last{} // as if it had not been read
	if _, err := l.k.commit(t.Context(), v); !errors.Is(err, ErrMismatch) {
		t.Errorf("another root at the same position: %v", err)
	}
	if err := v.snap.Close(); err != nil {
		t.Error(err)
	}
}

// TestOtherHistory: a folder that was folded from another ledger's entries, or from
// entries that are gone, is built anew and proves nothing before.
func TestOtherHistory(t *testing.T) {
	for name, other := range map[string]func(*fake){
		"other entries":           func(f *fake) { f.append(5, 6, 7, 8, 9) },
		"a shorter ledger":        func(f *fake) { f.append(5) },
		"shorter by one":          func(f *fake) { f.append(5, 6) },
		"an empty ledger":         func(*fake) {},
		"other from there on":     func(f *fake) { f.append(0, 1, 3, 3) },
		"the same but for itself": func(f *fake) { f.append(0, 1, system) },
	} {
		t.Run(name, func(t *testing.T) {
			_, dir := kept(t)
			g := newFake()
			other(g)
			l := start(t, g, g.config(dir))
			g.append(4) // while it is not known whose history it is, it waits
			if err := errors.Join(l.commit(12).Close(), l.end()); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// kept is a ledger of three entries, and the folder of a keeper that committed them
// and ended.
func kept(t *testing.T) (f *fake, dir string) {
	t.Helper()
	f, dir = newFake(), tempDir(t)
	f.append(0, 1, 2)
	l := start(t, f, f.config(dir))
	if err := errors.Join(l.commit(3).Close(), l.end()); err != nil {
		t.Fatal(err)
	}
	return f, dir
}

// TestForeignFolder: another ledger, token key or version begins anew.
func TestForeignFolder(t *testing.T) {
	f, dir := kept(t)
	cfg := f.config(dir)
	cfg.Ledger[0]++
	l := start(t, f, cfg)
	if err := errors.Join(l.commit(3).Close(), l.end()); err != nil {
		t.Fatal(err)
	}
}

// TestDamagedRecord: a record that was changed under our hands proves nothing.
func TestDamagedRecord(t *testing.T) {
	f, dir := kept(t)
	db, err := store.Open(dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	key := keyOf(f, phone(1))
	b := db.NewBatch()
	err = errors.Join(b.Set(store.RecordKey(ledger.Hash(key)), directory.Record{Count: 7, Last: 9}.Append(nil)), b.Commit(true), db.Close())
	if err != nil {
		t.Fatal(err)
	}
	l := start(t, f, f.config(dir))
	c, err := l.k.Commit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Prove(phone(1)); !errors.Is(err, directory.ErrRefuted) {
		t.Errorf("a changed record was proven: %v", err)
	}
	if at, err := c.Positions(phone(1)); !errors.Is(err, errFolder) {
		t.Errorf("a changed record was listed: %v, %v", at, err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestDamagedFolder: rows that are gone, cut off or of no known form are noticed when
// a root is made of them, and the folder is built anew under whoever asks.
func TestDamagedFolder(t *testing.T) {
	key := keyOf(newFake(), phone(1))
	for name, damage := range map[string]func(*store.Batch) error{
		"a record gone":     func(b *store.Batch) error { return b.Delete(store.RecordKey(ledger.Hash(key))) },
		"a record cut off":  func(b *store.Batch) error { return b.Set(store.RecordKey(ledger.Hash(key)), []byte{1}) },
		"a bucket gone":     func(b *store.Batch) error { return b.Delete(store.BucketKey(bucketOf(key))) },
		"a bucket cut off":  func(b *store.Batch) error { return b.Set(store.BucketKey(bucketOf(key)), []byte{1}) },
		"its progress gone": func(b *store.Batch) error { return b.Set(metaProgress, []byte{1}) },
	} {
		t.Run(name, func(t *testing.T) {
			f, dir := kept(t)
			db, err := store.Open(dir, store.Options{})
			if err != nil {
				t.Fatal(err)
			}
			b := db.NewBatch()
			if err := errors.Join(damage(b), b.Commit(true), db.Close()); err != nil {
				t.Fatal(err)
			}
			f.append(1, 3)
			l := start(t, f, f.config(dir))
			if err := errors.Join(l.commit(5).Close(), l.end()); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestCommits: what changed is committed at the start, now and then, and at the end;
// without a change nothing is.
func TestCommits(t *testing.T) {
	f := newFake()
	f.append(system)
	cfg := f.config(tempDir(t))
	cfg.Every = time.Millisecond
	l := start(t, f, cfg)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.k.Commits(ctx) }()
	for i := range 3 {
		at := f.append(i, system)
		l.until(func(s Status) bool { return s.Last.Statement.Covers >= at && s.Uncommitted() == 0 })
	}
	if n := len(f.ids); n != 3 {
		t.Errorf("%d directories for 3 changes", n)
	}
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	f.append(7)
	ended, cancel := context.WithCancel(t.Context())
	cancel() // a start that is told to stop at once
	if err := l.k.Commits(ended); err != nil {
		t.Fatal(err)
	}
	if n := len(f.ids); n != 4 {
		t.Errorf("%d directories, want one more at the end", n)
	}
	l.until(func(s Status) bool { return s.Uncommitted() == 0 })
	if p := l.k.Problems(time.Now()); len(p) > 0 {
		t.Errorf("problems %v", p)
	}
}

// until waits for a status.
func (l *life) until(ok func(Status) bool) {
	l.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(l.k.Status()); {
		if time.Now().After(deadline) {
			l.t.Fatalf("it stays at %+v", l.k.Status())
		}
		<-time.After(time.Millisecond)
	}
}

// TestProblems: entries that wait too long for a directory are a problem.
func TestProblems(t *testing.T) {
	f := newFake()
	f.append(0)
	l := start(t, f, f.config(tempDir(t)))
	c := l.commit(1)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	at := f.append(0)
	l.until(func(s Status) bool { return s.Applied == at })
	recorded := l.k.Status().Last.RecordedAt
	if p := l.k.Problems(recorded.Add(Every)); len(p) > 0 {
		t.Errorf("after one period: %v", p)
	}
	if p := l.k.Problems(recorded.Add(4 * Every)); len(p) != 1 || !strings.Contains(p[0], "DIRECTORY: 1 entries") {
		t.Errorf("after four: %v", p)
	}
}

// TestStopped: who asks a keeper that has ended hears so, and nobody waits for ever.
func TestStopped(t *testing.T) {
	f := newFake()
	l := start(t, f, f.config(tempDir(t)))
	waiting := make(chan error, 1)
	go func() {
		_, err := l.k.view(t.Context(), 99)
		waiting <- err
	}()
	l.stop()
	if err := <-waiting; !errors.Is(err, ErrStopped) {
		t.Error(err)
	}
	if _, err := l.k.Commit(t.Context()); !errors.Is(err, ErrStopped) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f2 := newFake()
	if _, err := start(t, f2, f2.config(tempDir(t))).k.Commit(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestGap: a position that is missing ends the keeper, and nothing after it is folded.
func TestGap(t *testing.T) {
	f := newFake()
	f.append(0)
	f.tail++
	f.append(1)
	l := start(t, f, f.config(tempDir(t)))
	err := <-l.ended
	l.ended <- err
	if !errors.Is(err, ledger.ErrGap) {
		t.Errorf("%v", err)
	}
	if s := l.k.Status(); s.Applied > 1 {
		t.Errorf("applied %d", s.Applied)
	}
	if err := l.end(); !errors.Is(err, ledger.ErrGap) {
		t.Error(err)
	}
}

// TestRebuild: the records that are built anew have the same root.
func TestRebuild(t *testing.T) {
	f := newFake()
	cfg := f.config(filepath.Join(t.TempDir(), "directory"))
	l := start(t, f, cfg)
	for i := range 40 {
		f.append(i%5, system, i)
	}
	before := l.commit(40)
	if err := before.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.k.Rebuild(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after := l.k.Status(); after.Numbers != before.Statement.Numbers || after.Entries != before.Statement.Entries || after.Applied < before.Position {
		t.Errorf("%+v after %+v", after, before.Statement)
	}
	if after := l.commit(40); after.Statement.Root != before.Statement.Root {
		t.Errorf("another root")
	} else if err := after.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.end(); err != nil {
		t.Fatal(err)
	}
	if err := l.k.Rebuild(t.Context()); !errors.Is(err, ErrStopped) {
		t.Errorf("after the end: %v", err)
	}
}
