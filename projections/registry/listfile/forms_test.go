package listfile_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/consent-ledger/consent-ledger/projections/registry/listfile"
)

// rows reads a file in one form.
func rows(form listfile.Form, badShareMax float64, text string) (out []listfile.Row, lines listfile.Lines, err error) {
	lines, err = listfile.Read(strings.NewReader(text), form, badShareMax, func(r listfile.Row) error {
		out = append(out, r)
		return nil
	})
	return out, lines, err
}

func listed(numbers ...uint64) (out []listfile.Row) {
	for _, n := range numbers {
		out = append(out, listfile.Row{Number: n})
	}
	return out
}

// unix is an instant of November 2026.
func unix(day, hour, minute int) int64 {
	return time.Date(2026, 11, day, hour, minute, 0, 0, time.UTC).Unix()
}

func TestForms(t *testing.T) {
	const uk1, uk2 = 441632960123, 442079460123
	for _, tc := range []struct {
		name string
		form listfile.Form
		text string
		want []listfile.Row
		bad  uint64
	}{
		{"changes", listfile.Changes{}, "818,5550103,2026-11-08T03:10:00,D\r\n8185550104,2026-11-08,a\n",
			[]listfile.Row{{Number: 18185550103, Removed: true, At: unix(8, 3, 10)}, {Number: 18185550104, At: unix(8, 0, 0)}}, 0},
		{"changes, the time in other forms", listfile.Changes{}, "818,5550101,2026-11-08 03:10:00,D\n818,5550101,2026-11-08T03:10,A\n818,5550101,2026-11-08T03:10:00Z,A\n818,5550101,2026-11-08 3.10 am,A\n",
			[]listfile.Row{{Number: 18185550101, Removed: true, At: unix(8, 3, 10)}, {Number: 18185550101, At: unix(8, 3, 10)},
				{Number: 18185550101, At: unix(8, 3, 10)}, {Number: 18185550101, At: unix(8, 0, 0)}}, 0},
		{"changes without a day", listfile.Changes{}, "818,5550103,soon,D\n818,5550103,D\n818,5550103\n", nil, 3},
		{"tps with spaces", listfile.TPS{}, "01632 960123\r\n0207 9460123\r\n", listed(uk1, uk2), 0},
		{"tps without", listfile.TPS{}, "01632960123 \r\n02079460123 \r\n", listed(uk1, uk2), 0},
		{"tps, blanks cut off", listfile.TPS{}, "01632960123\n", listed(uk1), 0},
		{"tps, nine digits", listfile.TPS{}, "01632 96012 \n", listed(44163296012), 0},
		{"tps, not British", listfile.TPS{}, "+44163296012\n441632960123\n0163 2 96012\n01632 9601234\n01632-960123\n000000000000\n", nil, 6},
		{"csv, one column", &listfile.CSV{Region: "US"}, "818-555-0101\n(818) 555-0102\n+442079460123\n", listed(18185550101, 18185550102, uk2), 0},
		{"csv, one column with a header", &listfile.CSV{Region: "US"}, "Number to block\n8185550101\n", listed(18185550101), 0},
		{"csv, a first number that cannot be read is no header", &listfile.CSV{Region: "US"}, "1.30555E+0900\n8185550101\n", listed(18185550101), 1},
		{"csv, a word of its name", &listfile.CSV{Region: "US"}, "Who,Cell phone\nAnn,8185550101\n", listed(18185550101), 0},
		{"csv, a header in the middle", &listfile.CSV{Region: "US"}, "who,phone\nAnn,8185550101\nwho,phone\nBen,8185550102\n", listed(18185550101, 18185550102), 1},
		{"csv, as spreadsheets write", &listfile.CSV{Column: "n", Region: "US"},
			"x,n\n1,'8185550101\n2,8185550102.0\n3,1.81856E+09\n4,-8185550103\n5, 8185550104  \n6,99999999999999999999\n",
			listed(18185550101, 18185550103, 18185550104), 3},
		{"csv, a usual name", &listfile.CSV{Region: "CA"}, "name;Phone Number\nAnn;604-555-0101\n", listed(16045550101), 0},
		{"csv, quotes", &listfile.CSV{Column: "TEL", Region: "GB"}, "who,tel\n\"a, b\",\"01632 960123\"\n\"x\" y,01632960123\n", listed(uk1), 1},
		{"csv, more columns than the header", &listfile.CSV{Region: "US"}, "who,id,phone\nDoe, Ann,8185550109,8185550101\nBen,x,8185550102, ,\n", listed(18185550102), 1},
		{"csv, two numbers in a line of one", &listfile.CSV{Region: "US"}, "8185550101\n8185550102,8185550103\n", listed(18185550101), 1},
		{"csv, quotes in a name", &listfile.CSV{Region: "US"}, "who,phone\nAnn \"Annie\" Doe,8185550101\n5\" pipe,8185550102\n", listed(18185550101, 18185550102), 0},
		{"csv, a line break in quotes", &listfile.CSV{Region: "US"}, "id,who,phone,fax\n1,\"Doe\nAnn\",8185550101,8185550109\n", nil, 2},
		{"csv, too few columns", &listfile.CSV{Column: "tel", Region: "GB"}, "who,tel\nAnn\n", nil, 1},
		{"csv, tabs", &listfile.CSV{Region: "GB"}, "x\tphone\n1\t+441632960123\n", listed(uk1), 0},
		{"csv, changes", &listfile.CSV{Column: "n", ChangeColumn: "what", Region: "US"}, "what,n\nA,8185550101\nd,8185550102\n",
			[]listfile.Row{{Number: 18185550101}, {Number: 18185550102, Removed: true}}, 0},
		{"csv, no country code and no region", &listfile.CSV{}, "phone\n8185550101\n", nil, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, lines, err := rows(tc.form, 100, tc.text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" || lines.Malformed != tc.bad {
				t.Errorf("%d malformed, want %d; rows (-want +got):\n%s", lines.Malformed, tc.bad, diff)
			}
		})
	}
}

// TestFormsRefuse: whatever the share of bad lines that is borne.
func TestFormsRefuse(t *testing.T) {
	for _, tc := range []struct {
		name string
		form listfile.Form
		text string
		want error
		says string
	}{
		{"a change nobody knows", listfile.Changes{}, "818,5550103,2026-11-08T03:10:00,A\n818,5550103,2026-11-08T03:10:00,U\n", nil, "line 2: the change is neither A nor D"},
		{"flat, cut off", listfile.Flat{}, "818,5550101\n818,555", listfile.ErrTruncated, "within line 2"},
		{"changes, cut off", listfile.Changes{}, "818,5550103,2026-11-08T03:10:00,A\n818,5550103,2026-11", listfile.ErrTruncated, "within line 2"},
		{"tps, cut off where it still looks like a number", listfile.TPS{}, "01632 960123\r\n0163296012", listfile.ErrTruncated, "within line 2"},
		{"two columns of numbers", &listfile.CSV{}, "phone,mobile\n", listfile.ErrColumn, "--column"},
		{"two columns of numbers, one by a word of its name", &listfile.CSV{}, "Phone;Cell phone\n", listfile.ErrColumn, "--column"},
		{"UTF-16", &listfile.CSV{Region: "US"}, "\xff\xfep\x00h\x00\n\x00", listfile.ErrMalformed, "UTF-16"},
		{"UTF-16, the other way", listfile.Flat{}, "\xfe\xff\x008\x001\x008", listfile.ErrMalformed, "UTF-16"},
		{"no column of numbers", &listfile.CSV{}, "a,b\n1,2\n", listfile.ErrColumn, "--column"},
		{"no such column", &listfile.CSV{Column: "x"}, "a,b\n1,2\n", listfile.ErrColumn, "--column"},
		{"no such change column", &listfile.CSV{Column: "a", ChangeColumn: "x"}, "a,b\n1,2\n", nil, "--change-column"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, _, err := rows(tc.form, 100, tc.text)
			if err == nil || tc.want != nil && !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("error %v, want one with %q", err, tc.says)
			}
		})
	}
	if _, _, err := rows(listfile.Flat{}, 0, strings.Repeat("818,5550101\n", 1000)+"x\n"); !errors.Is(err, listfile.ErrMalformed) {
		t.Errorf("one bad line where none is borne: %v", err)
	}
}

// packed makes a zip of members, written by write.
func packed(t *testing.T, members map[string]func(io.Writer) error) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, write := range members {
		w, err := z.Create(name)
		if err == nil {
			err = write(w)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func text(s string) func(io.Writer) error {
	return func(w io.Writer) error { _, err := io.WriteString(w, s); return err }
}

// unpackAll reads the list in a file to its end.
func unpackAll(name string, raw []byte) (member string, bytesRead int64, err error) {
	m, err := listfile.Unpack(name, bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		return "", 0, err
	}
	r, err := m.Open()
	if err != nil {
		return "", 0, err
	}
	defer r.Close()
	n, err := io.Copy(io.Discard, r)
	return m.Name, n, err
}

func TestUnpack(t *testing.T) {
	const list = "818,5550101\n"
	one := packed(t, map[string]func(io.Writer) error{"a/2026-11-9_818_g.TXT": text(list), "readme.pdf": text("x"), "a/": text(""), "__MACOSX/a/._2026-11-9_818_g.TXT": text("\x00\x05\x16\x07")})
	for name, raw := range map[string][]byte{"x.zip": one, "x.txt": []byte(list), "x": []byte(list)} {
		if _, n, err := unpackAll(name, raw); err != nil || n != int64(len(list)) {
			t.Errorf("%s: %d bytes, %v", name, n, err)
		}
	}
	sequential := packed(t, map[string]func(io.Writer) error{"all.txt": func(w io.Writer) error {
		for i := range 1_000_000 {
			if _, err := fmt.Fprintf(w, "818,%07d\n", 5_550_000+i); err != nil {
				return err
			}
		}
		return nil
	}})
	if _, n, err := unpackAll("x.zip", sequential); err != nil || n != 12_000_000 {
		t.Errorf("a list of neighbours: %d bytes, %v", n, err)
	}

	bomb := packed(t, map[string]func(io.Writer) error{"a.txt": func(w io.Writer) error {
		line := bytes.Repeat([]byte(list), 100_000)
		for range 50 {
			if _, err := w.Write(line); err != nil {
				return err
			}
		}
		return nil
	}})
	// What a bomb says of its own size counts for nothing: here it says a megabyte.
	lying := bytes.Clone(bomb)
	at := bytes.LastIndex(lying, []byte("PK\x01\x02"))
	copy(lying[at+24:], []byte{0, 0, 16, 0})
	for name, tc := range map[string]struct {
		raw  []byte
		says string
	}{
		"two lists": {packed(t, map[string]func(io.Writer) error{"a.txt": text(list), "b.csv": text(list)}), "two lists"},
		"no list":   {packed(t, map[string]func(io.Writer) error{"a.exe": text(list)}), "no .txt or .csv"},
		"in a zip":  {packed(t, map[string]func(io.Writer) error{"a.zip": text(string(one))}), "no .txt or .csv"},
		"gzip":      {[]byte("\x1f\x8b\x08\x00 and so on"), "packed by gzip"},
		"cut off":   {one[:len(one)-30], "cut off"},
		"no zip":    {[]byte(list), "cut off"},
		"a bomb":    {bomb, "times its own size"},
		"a liar":    {lying, ""},
		"damaged":   {damaged(sequential), ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, n, err := unpackAll("x.zip", tc.raw)
			if err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("error %v, want one with %q", err, tc.says)
			}
			if most := int64(len(tc.raw))*100 + 2<<20; n > most {
				t.Errorf("%d bytes came out of %d", n, len(tc.raw))
			}
		})
	}
}

// damaged flips a bit in the middle of what is packed.
func damaged(raw []byte) []byte {
	raw = bytes.Clone(raw)
	raw[len(raw)/2] ^= 1
	return raw
}

func FuzzForms(f *testing.F) {
	f.Add("818,5550103,2026-11-08T03:10:00,D\n", byte(0))
	f.Add("01632 960123\r\n02079460123 \r\n", byte(1))
	f.Add("phone,what\n+441632960123,A\n\"8185550101\",D", byte(2))
	f.Fuzz(func(t *testing.T, text string, kind byte) {
		form := []listfile.Form{listfile.Changes{}, listfile.TPS{}, &listfile.CSV{Region: "US"}, &listfile.CSV{Column: "phone", ChangeColumn: "what"}}[kind%4]
		got, lines, err := rows(form, 100, text)
		for _, r := range got {
			if r.Number == 0 || r.Number > 999_999_999_999_999 || kind%4 == 1 && r.Number/1e9 != 44 && r.Number/1e10 != 44 {
				t.Errorf("a number out of range")
			}
		}
		if err == nil && uint64(len(got))+lines.Malformed != lines.Read {
			t.Errorf("%d numbers and %d malformed of %d lines", len(got), lines.Malformed, lines.Read)
		}
	})
}

// TestUnpackByItsBytes: a packed file under another name is no list with bad lines.
func TestUnpackByItsBytes(t *testing.T) {
	inside := packed(t, map[string]func(io.Writer) error{"a.txt": text("818,5550101\n")})
	for name, raw := range map[string]string{"list.csv": string(inside), "list.xlsx": string(inside), "list.txt": "\x1f\x8b\x08\x00 and so on",
		"list.txt.zst": "\x28\xb5\x2f\xfd and so on"} {
		if _, _, err := unpackAll(name, []byte(raw)); !errors.Is(err, listfile.ErrArchive) || strings.Contains(err.Error(), "cut off") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
