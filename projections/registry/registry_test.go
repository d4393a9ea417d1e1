package registry_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
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

func parse(t *testing.T, text string) (numbers []uint64, lines registry.Lines, err error) {
	t.Helper()
	lines, err = registry.ParseFlat(strings.NewReader(text), func(n uint64) error {
		numbers = append(numbers, n)
		return nil
	})
	return numbers, lines, err
}

func TestParseFlat(t *testing.T) {
	good := strings.Repeat("818,5550101\n", 200) // so that one bad line is no more than one in a hundred
	for _, tc := range []struct {
		name, text string
		want       uint64 // the last number
		count      int
		malformed  []uint64
	}{
		{"the form of today", "818,5550101\n", 18185550101, 1, nil},
		{"the form of 2003", "8185550101\n", 18185550101, 1, nil},
		{"CRLF", "818,5550101\r\n818,5550102\r\n", 18185550102, 2, nil},
		{"no last line feed", "818,5550101\n8185550102", 18185550102, 2, nil},
		{"byte order mark", "\xef\xbb\xbf818,5550101\n", 18185550101, 1, nil},
		{"blanks and blank lines", "\n \t818,5550101 \n\n", 18185550101, 1, nil},
		{"empty", "", 0, 0, nil},
		{"header", "number\n" + good, 18185550101, 200, []uint64{1}},
		{"eleven digits", good + "18185550101\n", 18185550101, 200, []uint64{201}},
		{"nine digits", good + "818555010\n", 18185550101, 200, []uint64{201}},
		{"area code 1xx", good + "118,5550101\n", 18185550101, 200, []uint64{201}},
		{"exchange 0xx", good + "818,0550101\n", 18185550101, 200, []uint64{201}},
		{"letters", good + "818,555O1O1\n", 18185550101, 200, []uint64{201}},
		{"plus", good + "+8185550101\n", 18185550101, 200, []uint64{201}},
		{"comma elsewhere", good + "8185,550101\n", 18185550101, 200, []uint64{201}},
		{"two bad of 200", good[:198*12] + "x\ny\n", 18185550101, 198, []uint64{199, 200}},
		{"long line", good + strings.Repeat("8", 70) + "\n8185550102\n", 18185550102, 201, []uint64{201}},
		{"longer than the buffer", good + strings.Repeat("8", 300_000) + "\n8185550102\n", 18185550102, 201, []uint64{201}},
		{"longer, at the end", good + strings.Repeat("8", 300_000), 18185550101, 200, []uint64{201}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			numbers, lines, err := parse(t, tc.text)
			if err != nil {
				t.Fatal(err)
			}
			if len(numbers) != tc.count || (tc.count > 0 && numbers[len(numbers)-1] != tc.want) {
				t.Errorf("%d numbers, want %d ending with the right one", len(numbers), tc.count)
			}
			if diff := cmp.Diff(tc.malformed, lines.MalformedLines); diff != "" || lines.Malformed != uint64(len(tc.malformed)) {
				t.Errorf("malformed lines (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseFlatRefuses(t *testing.T) {
	good := strings.Repeat("818,5550101\n", 199)
	if _, _, err := parse(t, good+"x\ny\nz\n"); !errors.Is(err, registry.ErrMalformed) || !strings.Contains(err.Error(), "line 200") {
		t.Errorf("three bad lines of 202: %v", err)
	}
	_, lines, err := parse(t, strings.Repeat("nothing\n", 500))
	if !errors.Is(err, registry.ErrMalformed) || len(lines.MalformedLines) != 100 || lines.Malformed != 500 {
		t.Errorf("500 bad lines: %v, %d named", err, len(lines.MalformedLines))
	}
	broken := io.MultiReader(strings.NewReader(good), errReader{})
	if _, err := registry.ParseFlat(broken, func(uint64) error { return nil }); !errors.Is(err, errBroken) {
		t.Errorf("a disk that fails: %v", err)
	}
	if _, err := registry.ParseFlat(strings.NewReader(good), func(uint64) error { return errBroken }); !errors.Is(err, errBroken) {
		t.Errorf("a receiver that fails: %v", err)
	}
}

var errBroken = errors.New("broken")

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errBroken }

// endless gives one line that does not end within n bytes.
type endless struct{ left int }

func (e *endless) Read(p []byte) (int, error) {
	if e.left <= 0 {
		return 0, io.EOF
	}
	n := min(len(p), e.left)
	for i := range p[:n] {
		p[i] = '8'
	}
	e.left -= n
	return n, nil
}

func TestALineOfAGigabyteIsNotHeld(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	lines, err := registry.ParseFlat(&endless{left: 1 << 30}, func(uint64) error { return nil })
	runtime.ReadMemStats(&after)
	if !errors.Is(err, registry.ErrMalformed) || lines.Malformed != 1 {
		t.Errorf("%d malformed lines: %v", lines.Malformed, err)
	}
	if got := after.TotalAlloc - before.TotalAlloc; got > 1<<20 {
		t.Errorf("%d bytes were allocated", got)
	}
}

func TestParseFileName(t *testing.T) {
	for name, want := range map[string]registry.FileName{
		"2026-11-9_818_3f2a0c.txt":             {VersionDate: "2026-11-09", AreaCode: "818"},
		"2026-11-9_818_3f2a0c.txt.zip":         {VersionDate: "2026-11-09", AreaCode: "818"},
		"/tmp/x/2026-1-31_818_3F2A0C.TXT":      {VersionDate: "2026-01-31", AreaCode: "818"},
		`C:\lists\2026-11-09_205_a-b-c.txt`:    {VersionDate: "2026-11-09", AreaCode: "205"},
		"2026-11-9_US_3f2a0c.txt":              {VersionDate: "2026-11-09"},
		"2026-11-9.txt":                        {VersionDate: "2026-11-09"},
		"2026-2-30_818_3f2a0c.txt":             {},
		"list.txt":                             {},
		"818_2026-11-9.txt":                    {},
		"":                                     {},
		"2026-11-9_118_no-such-area-code.txt":  {VersionDate: "2026-11-09"},
		"2026-11-9_8185_no-such-area-code.txt": {VersionDate: "2026-11-09"},
	} {
		if got := registry.ParseFileName(name); got != want {
			t.Errorf("%q: %+v, want %+v", name, got, want)
		}
	}
}

// file is one to be loaded.
type file struct{ name, text string }

func build(date string, files ...file) (registry.Built, []byte, error) {
	b, err := registry.NewBuilder(dnc, date)
	if err != nil {
		return registry.Built{}, nil, err
	}
	for _, f := range files {
		if err := b.AddFile(f.name, strings.NewReader(f.text), int64(len(f.text))); err != nil {
			return registry.Built{}, nil, err
		}
	}
	var object bytes.Buffer
	built, err := b.Finish(&object)
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
		{"one area code", "", []file{{"2026-11-9_818_g.txt", n818}}, "2026-11-09", 2, []string{"818"}},
		{"an area code without numbers", "", []file{{"2026-11-9_818_g.txt", ""}}, "2026-11-09", 0, []string{"818"}},
		{"a stray line covers nothing", "", []file{{"2026-11-9_818_g.txt", n818 + n205}}, "2026-11-09", 3, []string{"818"}},
		{"two files", "", []file{{"2026-11-9_818_g.txt", n818}, {"2026-11-9_205_g.txt", n205}}, "2026-11-09", 3, []string{"205", "818"}},
		{"one of them unnamed", "2026-11-09", []file{{"2026-11-9_818_g.txt", n818}, {"rest.txt", n205}}, "2026-11-09", 3, []string{"205", "818"}},
		{"a state", "2026-11-09", []file{{"dnc.txt", n818 + n205}}, "2026-11-09", 3, []string{"205", "818"}},
		{"doubles", "", []file{{"2026-11-9_818_g.txt", n818 + n818}}, "2026-11-09", 2, []string{"818"}},
		{"zip", "", []file{{"2026-11-9_818_g.txt.zip", zipped(t, file{"2026-11-9_818_g.txt", n818})}}, "2026-11-09", 2, []string{"818"}},
		{"zip with a plain name inside", "", []file{{"2026-11-9_818_g.txt.zip", zipped(t, file{"a.txt", n818}, file{"readme.pdf", "x"})}}, "2026-11-09", 2, []string{"818"}},
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
			if err != nil || set.Len() != tc.rows {
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
		{"no date", "", []file{{"list.txt", one}}, "version date: the file's name has none; give --version-date"},
		{"odd date", "9 Nov", nil, "version date: it must be a day"},
		{"two dates", "", []file{{"2026-11-9_818_g.txt", one}, {"2026-11-10_205_g.txt", one}}, "a file's name says 2026-11-10, the version being loaded is of 2026-11-09"},
		{"another date", "2026-11-10", []file{{"2026-11-9_818_g.txt", one}}, "one version at a time"},
		{"no list in the zip", "", []file{{"x.zip", zipped(t, file{"readme.md", ""})}}, "holds no .txt"},
		{"no zip", "", []file{{"x.zip", one}}, "zip:"},
		{"nothing", "2026-11-09", []file{{"list.txt", ""}}, "the list is empty and its name says no area code"},
		{"not a list", "2026-11-09", []file{{"list.txt", "hello\n"}}, "not a flat list"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, _, err := build(tc.date, tc.files...)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want one with %q", err, tc.want)
			}
		})
	}
	if _, err := registry.NewBuilder("uk_tps", ""); err == nil {
		t.Error("a list in another format was begun")
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
		built, object, err := build("2026-11-09", file{"list.txt", text.String()})
		if err != nil {
			t.Fatal(err)
		}
		name := ledger.Hash(built.Loaded.GetObjectSha256())
		set, err := registry.Decode(bytes.NewReader(object), name)
		if err != nil {
			t.Fatal(err)
		}
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

func FuzzParseFlat(f *testing.F) {
	f.Add("818,5550101\r\n8185550102\n")
	f.Add("\xef\xbb\xbfx\n\n818,5550101")
	f.Fuzz(func(t *testing.T, text string) {
		var n uint64
		lines, err := registry.ParseFlat(strings.NewReader(text), func(number uint64) error {
			if n++; number < 12002000000 || number > 19999999999 {
				t.Errorf("a number out of range")
			}
			return nil
		})
		if n+lines.Malformed != lines.Read || lines.Malformed < uint64(len(lines.MalformedLines)) {
			t.Errorf("%d numbers and %d malformed of %d lines", n, lines.Malformed, lines.Read)
		}
		if (err != nil) != (lines.Malformed*100 > lines.Read) {
			t.Errorf("%d malformed of %d: %v", lines.Malformed, lines.Read, err)
		}
	})
}

func FuzzDecode(f *testing.F) {
	_, object, err := build("", file{"2026-11-9_818_g.txt", "818,5550101\n818,5550102\n"})
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
		built, object, err := build("2026-11-09", file{"list.txt", text.String()})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := registry.Decode(bytes.NewReader(object), ledger.Hash(built.Loaded.GetObjectSha256())); err != nil {
			b.Fatal(err)
		}
	}
}
