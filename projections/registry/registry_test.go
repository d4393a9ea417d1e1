package registry_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/projections/registry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const dnc = "us_national_dnc"

// file is one to be loaded.
type file struct {
	name, text string
	submitted  bool
}

// build builds a version of which the area codes are said that occur in files whose
// names say none.
func build(date string, files ...file) (registry.Built, []byte, error) {
	var codes []string
	for _, f := range files {
		if f.name == "list.txt" || f.name == "rest.txt" {
			codes = append(codes, codesOf(f.text)...)
		}
	}
	return buildPlan(registry.Plan{Registry: dnc, VersionDate: date, AreaCodes: codes}, &registry.Snapshot{}, files...)
}

// codesOf are the area codes of a flat list's lines.
func codesOf(text string) (codes []string) {
	for line := range strings.Lines(text) {
		if len(line) > 10 && !slices.Contains(codes, line[:3]) {
			codes = append(codes, line[:3])
		}
	}
	return codes
}

// buildPlan builds a version among those of a snapshot.
func buildPlan(p registry.Plan, lists *registry.Snapshot, files ...file) (registry.Built, []byte, error) {
	b, err := registry.NewBuilder(p)
	if err != nil {
		return registry.Built{}, nil, err
	}
	for _, f := range files {
		if err := b.AddFile(registry.File{Name: f.name, Content: strings.NewReader(f.text), Size: int64(len(f.text)), Submitted: f.submitted}); err != nil {
			return registry.Built{}, nil, err
		}
	}
	all, err := b.Finish(lists)
	if err != nil {
		return registry.Built{}, nil, err
	}
	if len(all) != 1 {
		return registry.Built{}, nil, fmt.Errorf("%d versions where one was meant", len(all))
	}
	built := all[0]
	if built.Object == nil {
		return built, nil, nil
	}
	var object bytes.Buffer
	_, err = built.Object.Encode(&object)
	return built, object.Bytes(), err
}

func zipped(t *testing.T, files ...file) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, f := range files {
		w, err := z.Create(f.name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, f.text); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestBuild(t *testing.T) {
	const n818, n205 = "818,5550101\n818,5550102\n", "205,5550101\n"
	for _, tc := range []struct {
		name, date string
		files      []file
		wantDate   string
		rows       uint64
		codes      []string
	}{
		{"one area code", "", []file{{name: "2026-11-9_818_g.txt", text: n818}}, "2026-11-09", 2, []string{"818"}},
		{"a stray line covers nothing", "", []file{{name: "2026-11-9_818_g.txt", text: strings.Repeat(n818, 60) + n205}}, "2026-11-09", 3, []string{"818"}},
		{"two files", "", []file{{name: "2026-11-9_818_g.txt", text: n818}, {name: "2026-11-9_205_g.txt", text: n205}}, "2026-11-09", 3, []string{"205", "818"}},
		{"one of them unnamed", "2026-11-09", []file{{name: "2026-11-9_818_g.txt", text: n818}, {name: "rest.txt", text: n205}}, "2026-11-09", 3, []string{"205", "818"}},
		{"a state", "2026-11-09", []file{{name: "list.txt", text: n818 + n205}}, "2026-11-09", 3, []string{"205", "818"}},
		{"doubles", "", []file{{name: "2026-11-9_818_g.txt", text: n818 + n818}}, "2026-11-09", 2, []string{"818"}},
		{"zip", "", []file{{name: "2026-11-9_818_g.txt.zip", text: zipped(t, file{name: "2026-11-9_818_g.txt", text: n818})}}, "2026-11-09", 2, []string{"818"}},
		{"zip with a plain name inside", "", []file{{name: "2026-11-9_818_g.txt.zip", text: zipped(t, file{name: "a.txt", text: n818}, file{name: "readme.pdf", text: "x"})}}, "2026-11-09", 2, []string{"818"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			built, object, err := build(tc.date, tc.files...)
			if err != nil {
				t.Fatal(err)
			}
			l := built.Loaded
			if l.GetVersionDate() != tc.wantDate || l.GetRows() != tc.rows || l.GetRegistry() != dnc || len(l.GetFileSha256()) != 32 {
				t.Errorf("loaded %v", l)
			}
			if diff := cmp.Diff(tc.codes, l.GetAreaCodes()); diff != "" {
				t.Errorf("area codes (-want +got):\n%s", diff)
			}
			set, err := registry.Decode(bytes.NewReader(object), ledger.Hash(l.GetObjectSha256()))
			if err != nil || set.Numbers.Len() != tc.rows {
				t.Fatalf("decode: %v", err)
			}
		})
	}
}

func TestBuildRefuses(t *testing.T) {
	const one = "818,5550101\n"
	for _, tc := range []struct {
		name, date string
		files      []file
		want       string
	}{
		{"no date", "", []file{{name: "list.txt", text: one}}, "version date: the file's name has none; give --version-date"},
		{"odd date", "9 Nov", nil, "version date: it must be a day"},
		{"two dates", "", []file{{name: "2026-11-9_818_g.txt", text: one}, {name: "2026-11-10_205_g.txt", text: one}}, "a file's name says 2026-11-10, the version being loaded is of 2026-11-09"},
		{"another date", "2026-11-10", []file{{name: "2026-11-9_818_g.txt", text: one}}, "one version at a time"},
		{"no list in the zip", "", []file{{name: "x.zip", text: zipped(t, file{name: "readme.md", text: ""})}}, "holds no .txt or .csv"},
		{"no zip", "", []file{{name: "x.zip", text: one}}, "zip: "},
		{"nothing", "2026-11-09", []file{{name: "list.txt", text: ""}}, "--accept-empty"},
		{"nothing of an area code", "", []file{{name: "2026-11-9_818_g.txt", text: ""}}, "the file of area code 818 has no numbers"},
		{"not a list", "2026-11-09", []file{{name: "list.txt", text: "hello\n"}}, "not a flat list"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, _, err := build(tc.date, tc.files...)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want one with %q", err, tc.want)
			}
		})
	}
	now := time.Date(2026, 11, 23, 18, 0, 0, 0, time.UTC)
	for date, ok := range map[string]bool{"2026-11-24": true, "2026-11-25": false, "2026-1-1": false, "": false, "1999-01-01": true} {
		if err := registry.CheckVersionDate(date, now); (err == nil) != ok {
			t.Errorf("%q: %v", date, err)
		}
	}
}

// TestObject: what is encoded is decoded, for sparse, dense and full blocks, and
// no byte of it can be changed, left out or added.
func TestObject(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var text strings.Builder
		want := map[uint64]bool{}
		for range rapid.IntRange(1, 4).Draw(t, "blocks") {
			base := rapid.Uint64Range(2_005_550_000/4096, 9_995_550_000/4096).Draw(t, "block") * 4096
			step := rapid.SampledFrom([]uint64{1, 2, 16, 17, 1000}).Draw(t, "step")
			for n := base; n < base+4096; n += step {
				if n/1e9 >= 2 && n/1e6%10 >= 2 {
					fmt.Fprintf(&text, "%d\n", n)
					want[1e10+n] = true
				}
			}
		}
		if len(want) == 0 {
			return
		}
		built, object, err := build("2026-11-09", file{name: "list.txt", text: text.String()})
		if err != nil {
			t.Fatal(err)
		}
		name := ledger.Hash(built.Loaded.GetObjectSha256())
		o, err := registry.Decode(bytes.NewReader(object), name)
		if err != nil {
			t.Fatal(err)
		}
		set := o.Numbers
		if set.Len() != uint64(len(want)) {
			t.Fatalf("%d numbers, want %d", set.Len(), len(want))
		}
		for n := range want {
			if !set.Contains(n) || set.Contains(n+1) != want[n+1] {
				t.Fatal("a number is not where it was, or its neighbour is")
			}
		}
		broken := bytes.Clone(object)
		switch i := rapid.IntRange(0, len(object)-1).Draw(t, "at"); rapid.IntRange(0, 2).Draw(t, "damage") {
		case 0:
			broken[i] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		case 1:
			broken = broken[:i]
		default:
			broken = append(broken, broken[i])
		}
		if _, err := registry.Decode(bytes.NewReader(broken), name); !errors.Is(err, registry.ErrBadObject) {
			t.Fatalf("damaged: %v", err)
		}
	})
}

func FuzzDecode(f *testing.F) {
	_, object, err := build("", file{name: "2026-11-9_818_g.txt", text: "818,5550101\n818,5550102\n"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(object)
	f.Add([]byte("CLREG\x00\x01\x00"))
	f.Fuzz(func(t *testing.T, object []byte) {
		if _, err := registry.Decode(bytes.NewReader(object), registry.HashOf(object)); err == nil {
			return
		} else if !errors.Is(err, registry.ErrBadObject) {
			t.Error(err)
		}
	})
}

// BenchmarkLoad is a million numbers, from the flat file to the object and back.
func BenchmarkLoad(b *testing.B) {
	var text strings.Builder
	for n := uint64(2_125_550_000); n < 2_125_550_000+2_000_000; n += 2 {
		text.WriteString(formatNumber(n))
	}
	for b.Loop() {
		built, object, err := build("2026-11-09", file{name: "list.txt", text: text.String()})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := registry.Decode(bytes.NewReader(object), ledger.Hash(built.Loaded.GetObjectSha256())); err != nil {
			b.Fatal(err)
		}
	}
}
