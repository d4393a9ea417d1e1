package bundle

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/consent-ledger/consent-ledger/ledger"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// peak watches the heap whenever bytes pass.
type peak struct {
	most  uint64
	since int
}

func (p *peak) look(n int) {
	if p.since += n; p.since < 1<<20 {
		return
	}
	p.since = 0
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	p.most = max(p.most, m.HeapAlloc)
}

type watchedWriter struct {
	io.Writer
	*peak
}

func (w watchedWriter) Write(b []byte) (int, error) { w.look(len(b)); return w.Writer.Write(b) }

type watchedReader struct {
	io.ReaderAt
	*peak
}

func (r watchedReader) ReadAt(b []byte, at int64) (int, error) {
	r.look(len(b))
	return r.ReaderAt.ReadAt(b, at)
}

// TestStreams: a bundle is written and verified a part at a time: many thousand
// entries take no more memory than a few thousand.
func TestStreams(t *testing.T) {
	const entries, allowed = 34_000, 48 << 20
	w := newWorld(t, "a large ledger")
	words := strings.Repeat("Yes, you may text me about offers. ", 30)
	for i := range entries {
		w.add(fmt.Sprint(i%10_000), &consentv1.Fact{Number: fmt.Sprintf("+1212555%04d", 100+i%100), Sellers: []string{"acme"}, Source: "crm", EventId: fmt.Sprint(i),
			Kind: &consentv1.Fact_ConsentRevoked{ConsentRevoked: &consentv1.ConsentRevoked{Words: words}}})
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "large.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	defer debug.SetGCPercent(debug.SetGCPercent(20))
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	writing, reading := &peak{}, &peak{}
	b := NewWriter(watchedWriter{f, writing}, Manifest{Origin: origin, Produced: began, Seller: "acme", Disclosed: AllClasses(), Through: entries}, w.checkpoint(), nil)
	s := &story{world: w}
	for at := range ledger.Position(entries) {
		if err := b.Add(s.item(w.record(at+1, 0, AllClasses()))); err != nil {
			t.Fatal(err)
		}
	}
	tail, _, err := b.Finish(w.signing.Exports)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(tail); err != nil {
		t.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	v, err := Verify(watchedReader{f, reading}, info.Size(), Trust{Keys: w.parsed()})
	if err != nil {
		t.Fatal(err)
	}
	if c := claim(v, "included"); !strings.HasPrefix(c.Text, "34000 entries") {
		t.Error(c)
	}
	base := before.HeapAlloc
	t.Logf("%d MB: %d MB more while writing, %d MB more while verifying", info.Size()>>20, (writing.most-min(base, writing.most))>>20, (reading.most-min(base, reading.most))>>20)
	if info.Size() < 2*allowed || writing.most > base+allowed || reading.most > base+allowed {
		t.Errorf("more than %d MB, or a bundle too small to tell", allowed>>20)
	}
	t.Cleanup(func() { runtime.KeepAlive(w) })
}
