package scrub

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// number is one of fiction, whose last digit is chosen.
func number(r *rand.Rand) string { return fmt.Sprintf("+1202555010%d", r.IntN(10)) }

// cellsFor are our columns for a number, as text.
func cellsFor(number string) string { return string(cells(rowOf(kindOf(number)))) }

// TestBytesPass: whatever the cells hold and however they are quoted, each row comes
// back byte for byte, with the answer to its own number behind the header's columns.
func TestBytesPass(t *testing.T) {
	s := &server{renumber: 3}
	client := s.serve(t)
	rapid.Check(t, func(rt *rapid.T) {
		cell := rapid.StringOf(rapid.SampledFrom([]rune("ab ,\"\n\r;=+-@'\t5é\x00")))
		eol := rapid.SampledFrom([]string{"\n", "\r\n"}).Draw(rt, "eol")
		mark := rapid.SampledFrom([]string{"", byteOrderMark}).Draw(rt, "mark")
		at := rapid.IntRange(0, 2).Draw(rt, "column")
		header := []string{"a", "b", "c"}
		header[at] = "Phone"
		in, want := strings.Join(header, ","), ""
		want = mark + in + string(headerCells) + eol
		in = mark + in + eol
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "numbers"), 1))
		for i := range rapid.IntRange(0, 45).Draw(rt, "rows") {
			fields := []string{cell.Draw(rt, "x"), cell.Draw(rt, "y"), cell.Draw(rt, "z")}
			fields[at] = number(r)
			row := make([]string, 3)
			for k, f := range fields {
				row[k] = f
				if strings.ContainsAny(f, "\",\n\r") || rapid.Bool().Draw(rt, "quote") {
					row[k] = `"` + strings.ReplaceAll(f, `"`, `""`) + `"`
				}
			}
			end := eol
			if i%7 == 3 {
				in += eol // a blank line is no row
			}
			in += strings.Join(row, ",") + end
			want += strings.Join(row, ",") + cellsFor(fields[at]) + end
		}
		path := write(t, "in.csv", in)
		if _, err := Files(t.Context(), client, path, path+".out", options()); err != nil {
			rt.Fatal(err)
		}
		if diff := cmp.Diff(want, read(t, path+".out")); diff != "" {
			rt.Fatal(diff)
		}
	})
}

// FuzzAnyBytes: whatever a list holds, each of its rows is answered once, in order,
// and the column `verdict` holds a verdict.
func FuzzAnyBytes(f *testing.F) {
	f.Add([]byte("x,+12025550101\ny,\"+12025550104\"\n"))
	f.Add([]byte("\"never closed\n\n5\" pipe,+12025550101,surplus\n\"a\"b,c\n"))
	f.Add([]byte("\"two\r\nlines\",+12025550100\r\nshort\n\xff\xfe,\x00"))
	s := &server{}
	client := s.serve(f)
	f.Fuzz(func(t *testing.T, rows []byte) {
		path := write(t, "in.csv", "name,phone\n"+string(rows))
		sum, err := Files(t.Context(), client, path, path+".out", options())
		if err != nil {
			t.Fatal(err)
		}
		got := table(t, read(t, path+".out"))
		if len(got) != sum.Rows+1 || sum.Allow+sum.Block != sum.Rows {
			t.Fatalf("%d rows in the file, and the summary says %+v", len(got)-1, sum)
		}
		allow := 0
		for _, row := range got[1:] {
			if len(row) < 2+len(columns) || row[2] != "ALLOW" && row[2] != "BLOCK" {
				t.Fatalf("no verdict in its column: %q", row)
			}
			if row[2] == "ALLOW" {
				if allow++; kindOf(row[1]) > "2" {
					t.Fatalf("a number that is blocked is allowed: %q", row)
				}
			}
		}
		if allow != sum.Allow {
			t.Fatalf("%d rows are allowed, and the summary says %d", allow, sum.Allow)
		}
	})
}

// FuzzSplitRow: what encoding/csv writes is read back as it was.
func FuzzSplitRow(f *testing.F) {
	f.Add("a", "b,\"c\"")
	f.Add("", "x\ny")
	f.Fuzz(func(t *testing.T, a, b string) {
		var w strings.Builder
		cw := csv.NewWriter(&w)
		if err := cw.Write([]string{a, b}); err != nil {
			t.Fatal(err)
		}
		cw.Flush()
		text := []byte(strings.TrimSuffix(w.String(), "\n"))
		if _, state := splitRow(text); state != rowWhole {
			t.Fatalf("state %d", state)
		}
		if diff := cmp.Diff([]string{a, b}, fieldsOf(text)); diff != "" {
			t.Error(diff)
		}
	})
}

// TestFormulas: our cells are never formulas, whatever the server says. Those of the
// list are passed on, unless they are to be neutralised; plain numbers always are.
func TestFormulas(t *testing.T) {
	const list = "=cmd|' /C calc'!A1,+1 (202) 555-0104\n" +
		"\"=HYPERLINK(\"\"x\"\")\",+12025550104\n" +
		"@SUM(A1),-1-202-555-0104\n" +
		"\"\tx\",+12025550104\n" +
		"+1+cmd,'+12025550104\n" +
		"-,2025550104\n" +
		"Ann,+12025550104,=surplus\n" +
		"=\"a\"b,\"=1\"x\n"
	s := &server{bend: func(r *consentv1.ScrubResponse) {
		for _, row := range r.Rows {
			row.Reasons, row.Basis, row.Packs = []string{"=1+1"}, "+A1", []string{"-x", "@y"}
			row.Lists = append([]*consentv1.ListUse{{Registry: "=evil\"", VersionDate: "2026-01-01"}}, row.Lists...)
		}
	}}
	for _, neutralise := range []bool{false, true} {
		o := options()
		o.Neutralise = neutralise
		got, _ := scrubbed(t, s, "note,phone\n"+list, o)
		for i, row := range table(t, got)[1:] {
			for k, cell := range row {
				ours := k >= 2 && k < 2+len(columns)
				if (ours || neutralise) && formula([]byte(cell)) {
					t.Errorf("neutralise %t, row %d, column %d is a formula: %q", neutralise, i, k, cell)
				}
			}
		}
		for _, kept := range []string{",+1 (202) 555-0104,", ",-1-202-555-0104,", "\n-,2025550104,"} {
			if !strings.Contains(got, kept) {
				t.Errorf("neutralise %t: %q is gone from\n%s", neutralise, kept, got)
			}
		}
		if !neutralise && !strings.HasPrefix(got, "note,phone,verdict,reasons,basis,next_allowed_at,position,lists,packs\n=cmd|' /C calc'!A1,+1 (202) 555-0104,BLOCK,") {
			t.Errorf("the first row is changed: %s", got)
		}
	}
}

func TestPhoneColumn(t *testing.T) {
	for _, c := range []struct {
		header, column, want string
	}{
		{"id,phone", "", "phone"},
		{"id,Mobile Phone", "", "Mobile Phone"},
		{"number,phone", "", "several columns may hold the numbers"},
		{"phone,mobile", "", "several columns may hold the numbers"}, // the mobile may be listed where the other is not
		{"phone,mobile", "mobile", "mobile"},
		{"id,Customer Phone 1", "", "Customer Phone 1"},
		{"phone-type,cell", "", "several columns may hold the numbers"},
		{"x", "", "x"},
		{"id,tel", "tel", "tel"},
		{"Home Phone,Work Phone", "work phone", "Work Phone"},
		{"Home Phone,Work Phone", "", "several columns may hold the numbers"},
		{"id,colour", "", "no column holds the numbers"},
		{"phone,Phone", "", `two columns are named "phone"`},
		{"id,phone", "telephone", "no column holds the numbers"},
	} {
		header := strings.Split(c.header, ",")
		at, err := phoneColumn(header, c.column)
		if err == nil && header[at] != c.want || err != nil && strings.Contains(c.header, c.want) || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q, --column %q: column %d (%v), want %s", c.header, c.column, at, err, c.want)
		}
	}
}

// TestServerThatMisleads: answers that do not fit end the scrub.
func TestServerThatMisleads(t *testing.T) {
	for _, c := range []struct {
		name, want string
		bend       func(*consentv1.ScrubResponse)
	}{
		{"an answer too few", "2 rows were answered with 1", func(r *consentv1.ScrubResponse) { r.Answers = r.Answers[1:] }},
		{"an answer that was never given", "did not give", func(r *consentv1.ScrubResponse) { r.Answers[0] = 9 }},
		{"a yes without a number", "without a number", func(r *consentv1.ScrubResponse) {
			for _, row := range r.Rows {
				row.Verdict = consentv1.Verdict_VERDICT_ALLOW
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &server{bend: c.bend}
			in := write(t, "in.csv", "phone,x\n+12025550104,\n,x\n")
			if _, err := Files(t.Context(), s.serve(t), in, in+".out", options()); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestVerdictsToCome: what is not ALLOW blocks.
func TestVerdictsToCome(t *testing.T) {
	s := &server{bend: func(r *consentv1.ScrubResponse) {
		for _, row := range r.Rows {
			row.Verdict = 7
		}
	}}
	got, sum := scrubbed(t, s, "phone\n+12025550100\n", options())
	if !strings.Contains(got, "+12025550100,BLOCK,") || sum.Allow != 0 {
		t.Errorf("%+v\n%s", sum, got)
	}
}

// TestSummary counts by hand: rows, reasons, those that stand alone and for good.
func TestSummary(t *testing.T) {
	s := &server{renumber: 1}
	var list strings.Builder
	list.WriteString("phone\n")
	for i := range 100 {
		fmt.Fprintf(&list, "+1202555010%d\n", i%10)
	}
	list.WriteString("nobody\n")
	for _, out := range []string{"", "out.csv"} {
		in := write(t, "in.csv", list.String())
		if out != "" {
			out = in + ".out"
		}
		sum, err := Files(t.Context(), s.serve(t), in, out, options())
		if err != nil {
			t.Fatal(err)
		}
		sum.Seconds = 0
		want := newSummary()
		want.Rows, want.Allow, want.Block, want.Invalid, want.Later = 101, 30, 71, 1, 10
		want.Reasons = map[string]*Blocked{"CONSENT_MISSING": {60, 50, 60}, "REGISTRY_LISTED": {10, 0, 10}, "OUTSIDE_HOURS": {10, 10, 0}, "NUMBER_INVALID": {1, 1, 1}}
		want.Bases = map[string]int{"OK_WRITTEN_CONSENT": 30}
		want.Position, want.PositionLast = 42, 42
		want.From, want.To = rowOf("1").GetAt().AsTime(), rowOf("1").GetAt().AsTime()
		want.Lists, want.Packs = []string{"us_national_dnc 2026-06-20"}, []string{"us 1"}
		if diff := cmp.Diff(want, sum); diff != "" {
			t.Error(diff)
		}
		if got := sum.ByRows(); !cmp.Equal(got, []string{"CONSENT_MISSING", "OUTSIDE_HOURS", "REGISTRY_LISTED", "NUMBER_INVALID"}) {
			t.Errorf("%v", got)
		}
	}
}

// TestStreams: standard input and output, and a last line without its end.
func TestStreams(t *testing.T) {
	var out bytes.Buffer
	o := options()
	o.Stdin, o.Stdout = strings.NewReader("phone\r\n+12025550101\r\n+12025550104"), &out
	if _, err := Files(t.Context(), (&server{}).serve(t), Standard, Standard, o); err != nil {
		t.Fatal(err)
	}
	want := "phone" + string(headerCells) + "\r\n+12025550101" + cellsFor("+12025550101") + "\r\n+12025550104" + cellsFor("+12025550104") + "\r\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Error(diff)
	}
}

// TestLongLine: a line that never ends is refused before it fills the memory.
func TestLongLine(t *testing.T) {
	in := write(t, "in.csv", "phone,x\n+12025550101,"+strings.Repeat("x", rowBytesMax)+"\n")
	_, err := Files(t.Context(), (&server{}).serve(t), in, in+".out", options())
	var list *ListError
	if !errors.As(err, &list) || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("%v", err)
	}
	got, _ := scrubbed(t, &server{}, "phone,x\n+12025550101,"+strings.Repeat("x", 3<<20)+"\n", options())
	if !strings.HasSuffix(got, cellsFor("+12025550101")+"\n") {
		t.Error("a row of three megabytes is not whole")
	}
}
