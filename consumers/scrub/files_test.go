package scrub

import (
	"bytes"
	stdgzip "compress/gzip"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
)

func manyRows(n int) string {
	var b strings.Builder
	b.WriteString("id,phone\n")
	for i := range n {
		fmt.Fprintf(&b, "%d,+1202555010%d\n", i, i%10)
	}
	return b.String()
}

func gzipped(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := stdgzip.NewWriter(&b)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func zstded(t testing.TB, text string, o ...zstd.EOption) string {
	t.Helper()
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b, o...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// plain decompresses with other code than that which wrote it, as far as there is some.
func plain(t testing.TB, name, raw string) string {
	t.Helper()
	var r io.Reader = strings.NewReader(raw)
	var err error
	switch {
	case strings.HasSuffix(name, ".gz"):
		r, err = stdgzip.NewReader(r)
	case strings.HasSuffix(name, ".zst"):
		r, err = zstd.NewReader(r)
	}
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// TestCompressed: what was compressed is read whatever its name, several members
// too, and what is to be compressed is, whole and in frames.
func TestCompressed(t *testing.T) {
	list := manyRows(200)
	want, _ := scrubbed(t, &server{}, list, options())
	cut := strings.Index(list, "\n57,") + 1
	for name, raw := range map[string]string{
		"plain": list, "gzip": gzipped(t, list), "zstd": zstded(t, list),
		"gzip of two members": gzipped(t, list[:cut]) + gzipped(t, list[cut:]),
		"zstd of two frames":  zstded(t, list[:cut]) + zstded(t, list[cut:]),
	} {
		for _, ending := range []string{"", ".gz", ".zst"} {
			in := write(t, "list", raw)
			out := in + ".csv" + ending
			if _, err := Files(t.Context(), (&server{}).serve(t), in, out, options()); err != nil {
				t.Fatalf("%s into %s: %v", name, ending, err)
			}
			if diff := cmp.Diff(want, plain(t, out, read(t, out))); diff != "" {
				t.Errorf("%s into %s: %s", name, ending, diff)
			}
		}
	}
}

// TestRefusedFiles: what is no list, or not a whole one, gives no output.
func TestRefusedFiles(t *testing.T) {
	list := manyRows(5000)
	gz, zs := gzipped(t, list), zstded(t, list)
	damaged := []byte(gz)
	damaged[len(damaged)/2] ^= 0x55
	for _, c := range []struct{ name, raw, want string }{
		{"gzip that is cut off", gz[:len(gz)/2], "cut off"},
		{"gzip without its end", gz[:len(gz)-4], "cut off"},
		{"gzip that is damaged", string(damaged), "cannot be read"},
		{"zstd that is cut off", zs[:len(zs)/2], "cut off"},
		{"an Excel file", "PK\x03\x04 and so on", "ZIP or an Excel file"},
		{"xz", "\xfd7zXZ", "something else than gzip and zstd"},
		{"nothing", "", "it has no header"},
		{"UTF-16 without its mark", "p\x00h\x00o\x00n\x00e\x00\n\x001\x002\x00", "UTF-16"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := write(t, "in.csv", c.raw)
			if _, err := Files(t.Context(), (&server{}).serve(t), in, in+".out", options()); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v", err)
			}
			if _, err := os.Stat(in + ".out"); err == nil {
				t.Error("there is an output")
			}
		})
	}
	same := write(t, "in.csv", list)
	if _, err := Files(t.Context(), (&server{}).serve(t), same, same, options()); err == nil || !strings.Contains(err.Error(), "own scrub") {
		t.Errorf("onto itself: %v", err)
	}
}

// zeros never end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestBombs: a small file that unpacks to a gigabyte, or asks for one to unpack,
// does not fill the memory.
func TestBombs(t *testing.T) {
	var gz bytes.Buffer
	w := stdgzip.NewWriter(&gz)
	if _, err := io.Copy(w, io.LimitReader(zeros{}, 256<<20)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	wide := zstded(t, "phone\n"+strings.Repeat("+12025550104\n", 100_000), zstd.WithWindowSize(zstd.MaxWindowSize))
	for _, c := range []struct{ name, raw, want string }{
		{"a line of zeros", gz.String(), "longer than"},
		{"a window of half a gigabyte", wide, "window size"},
	} {
		in := write(t, "in.csv", c.raw)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := Files(t.Context(), (&server{}).serve(t), in, in+".out", options()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > 64<<20 {
			t.Errorf("%s took %d MB", c.name, took>>20)
		}
	}
}

// endless gives the same rows again and again, so many.
type endless struct{ left int }

func (e *endless) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n := min(len(p)/20, e.left)
	for i := range n {
		copy(p[20*i:], fmt.Sprintf("a name,+1202555010%d\n", i%10))
	}
	e.left -= n
	return 20 * n, nil
}

// TestFlatMemory: ten times the rows take no more memory.
func TestFlatMemory(t *testing.T) {
	peak := func(rows int) (most uint64) {
		var heap atomic.Uint64
		o := Options{Question: options().Question, Stdout: io.Discard, Stdin: io.MultiReader(strings.NewReader("name,phone\n"), &endless{rows})}
		batches := 0
		o.Progress = func(int64, int64, int) {
			if batches++; batches%8 == 0 {
				var m runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&m)
				heap.Store(max(heap.Load(), m.HeapAlloc))
			}
		}
		sum, err := Files(t.Context(), (&server{}).serve(t), Standard, Standard, o)
		if err != nil || sum.Rows != rows {
			t.Fatalf("%d rows: %v", sum.Rows, err)
		}
		return heap.Load()
	}
	few, many := peak(200_000), peak(2_000_000)
	if many > few+few/2+16<<20 {
		t.Errorf("200,000 rows need %d MB, 2,000,000 need %d MB", few>>20, many>>20)
	}
}
