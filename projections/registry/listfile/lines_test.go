package listfile_test

import (
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/consent-ledger/consent-ledger/projections/registry/listfile"
)

func parse(t *testing.T, text string) (numbers []uint64, lines listfile.Lines, err error) {
	t.Helper()
	lines, err = listfile.Read(strings.NewReader(text), listfile.Flat{}, listfile.BadShareDefault, func(r listfile.Row) error {
		numbers = append(numbers, r.Number)
		return nil
	})
	return numbers, lines, err
}

// read reads a file whose rows do not matter.
func read(r io.Reader, add error) (listfile.Lines, error) {
	return listfile.Read(r, listfile.Flat{}, listfile.BadShareDefault, func(listfile.Row) error { return add })
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
	if _, _, err := parse(t, good+"x\ny\nz\n"); !errors.Is(err, listfile.ErrMalformed) || !strings.Contains(err.Error(), "line 200") {
		t.Errorf("three bad lines of 202: %v", err)
	}
	_, lines, err := parse(t, strings.Repeat("nothing\n", 500))
	if !errors.Is(err, listfile.ErrMalformed) || len(lines.MalformedLines) != 100 || lines.Malformed != 500 {
		t.Errorf("500 bad lines: %v, %d named", err, len(lines.MalformedLines))
	}
	broken := io.MultiReader(strings.NewReader(good), errReader{})
	if _, err := read(broken, nil); !errors.Is(err, errBroken) {
		t.Errorf("a disk that fails: %v", err)
	}
	if _, err := read(strings.NewReader(good), errBroken); !errors.Is(err, errBroken) {
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
	lines, err := read(&endless{left: 1 << 30}, nil)
	runtime.ReadMemStats(&after)
	if !errors.Is(err, listfile.ErrMalformed) || lines.Malformed != 1 {
		t.Errorf("%d malformed lines: %v", lines.Malformed, err)
	}
	if got := after.TotalAlloc - before.TotalAlloc; got > 1<<20 {
		t.Errorf("%d bytes were allocated", got)
	}
}

func TestParseFileName(t *testing.T) {
	for name, want := range map[string]listfile.FileName{
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
		if got := listfile.ParseFileName(name); got != want {
			t.Errorf("%q: %+v, want %+v", name, got, want)
		}
	}
}

func FuzzParseFlat(f *testing.F) {
	f.Add("818,5550101\r\n8185550102\n")
	f.Add("\xef\xbb\xbfx\n\n818,5550101")
	f.Fuzz(func(t *testing.T, text string) {
		var n uint64
		lines, err := listfile.Read(strings.NewReader(text), listfile.Flat{}, listfile.BadShareDefault, func(r listfile.Row) error {
			if n++; r.Number < 12002000000 || r.Number > 19999999999 {
				t.Errorf("a number out of range")
			}
			return nil
		})
		if errors.Is(err, listfile.ErrTruncated) && !strings.HasSuffix(text, "\n") {
			return
		}
		if n+lines.Malformed != lines.Read || lines.Malformed < uint64(len(lines.MalformedLines)) {
			t.Errorf("%d numbers and %d malformed of %d lines", n, lines.Malformed, lines.Read)
		}
		if (err != nil) != (lines.Malformed*100 > lines.Read) {
			t.Errorf("%d malformed of %d: %v", lines.Malformed, lines.Read, err)
		}
	})
}
