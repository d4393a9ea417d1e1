package bundle

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/bundle/bundletest"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

func verify(w *world, zip []byte) (*Verdict, error) {
	return Verify(bytes.NewReader(zip), int64(len(zip)), Trust{Keys: w.parsed()})
}

// both lets both verifiers check files. They must agree to the letter in what they
// accept, and in what they refuse. It gives the verdicts; nil for what was refused.
func both(t *testing.T, w *world, zips ...[]byte) ([]*Verdict, []error) {
	t.Helper()
	answers := bundletest.Verify(t, Script(), w.keys(), zips...)
	out, errs := make([]*Verdict, len(zips)), make([]error, len(zips))
	for i, zip := range zips {
		out[i], errs[i] = verify(w, zip)
		if (errs[i] != nil) != (answers[i].Refused != "") {
			t.Errorf("bundle %d: Go says %v, Python says %q", i, errs[i], answers[i].Refused)
			continue
		}
		if errs[i] != nil {
			continue
		}
		if !slices.Equal(out[i].About(), answers[i].About) {
			t.Errorf("bundle %d: it is about\n%v\nby Go, and about\n%v\nby Python", i, out[i].About(), answers[i].About)
		}
		if !slices.EqualFunc(out[i].Claims, answers[i].Claims, agree) {
			t.Errorf("bundle %d: Go claims\n%v\nPython claims\n%v", i, out[i].Claims, answers[i].Claims)
		}
	}
	return out, errs
}

// accepted holds what became of a bundle against what a table wants: words of the refusal
// behind a !, or none. It tells whether the bundle was taken, as it should be.
func accepted(t *testing.T, name string, err error, want string) bool {
	t.Helper()
	refusal, refused := strings.CutPrefix(want, "!")
	if refused != (err != nil) || refused && !strings.Contains(err.Error(), refusal) {
		t.Errorf("%s: %v, want %q", name, err, want)
	}
	return !refused && err == nil
}

// agree tells whether both verifiers say the same of a claim. What verify.py leaves to
// others it never calls proven.
func agree(ours Claim, theirs bundletest.Claim) bool {
	return ours == Claim(theirs) || bundletest.Leaves(ours.Claim) && ours.Claim == theirs.Claim && !theirs.Proven
}

func claim(v *Verdict, name string) Claim {
	i := slices.IndexFunc(v.Claims, func(c Claim) bool { return c.Claim == name })
	if i < 0 {
		return Claim{}
	}
	return v.Claims[i]
}

// honest is the bundle of a story, all of it.
func honest(s *story) []byte { return s.bundle(s.manifest(), s.records(AllClasses())) }

func TestVerifies(t *testing.T) {
	s := newStory(t)
	words := []consentv1.PersonalClass{consentv1.PersonalClass_PERSONAL_CLASS_WORDS}
	m := s.manifest()
	m.Disclosed = words
	numbers := s.numbers
	s.numbers = []string{"", ""}
	some := s.bundle(m, s.records(words))
	s.numbers = numbers
	v, _ := both(t, s.world, honest(s), some)
	if v[0] == nil || v[1] == nil {
		t.Fatal("refused")
	}
	for name, want := range map[string]string{
		"included": "7 entries, and 2 others that they cite", "back-linked": "3 holders of 2 numbers", "disclosed": "; none is withheld",
		"packs": "1 rule pack is the file",
		"about": "each of the 7 entries shows", "tables": "each of the 7 rows", "timestamped": "by nobody",
		"complete": "nothing about 2 numbers was left out up to position 10, by the directory at position 11", "anchored": "operator only",
	} {
		if c := claim(v[0], name); !strings.Contains(c.Text, want) {
			t.Errorf("%s: %q does not say %q", name, c.Text, want)
		}
	}
	if c := claim(v[1], "complete"); c.Proven || !strings.HasPrefix(c.Text, "completeness: unproven") || !claim(v[0], "complete").Proven {
		t.Errorf("complete: %v", c)
	}
	if c := claim(v[1], "disclosed"); !strings.HasPrefix(c.Text, "7 personal parts are") || !strings.Contains(c.Text,
		"(words); ") || strings.Contains(c.Text, "none is withheld") {
		t.Errorf("disclosed: %q", c.Text)
	}
	for _, secret := range []string{ann, eve, "sig-1"} {
		if bytes.Contains(some, []byte(secret)) {
			t.Errorf("%q is in a bundle that does not disclose it", secret)
		}
	}
}

// TestSeller: a seller's entries are a selection, and no more is claimed.
func TestSeller(t *testing.T) {
	s := newStory(t)
	v, errs := both(t, s.world, ofSeller(s, s.sellerManifest(), 5, 6, 7))
	if errs[0] != nil || claim(v[0], "back-linked").Proven || claim(v[0], "complete").Proven || !claim(v[0], "included").Proven {
		t.Fatal(v, errs)
	}
}

// TestDeterministic: the same export is the same file.
func TestDeterministic(t *testing.T) {
	if !bytes.Equal(honest(newStory(t)), honest(newStory(t))) {
		t.Fatal("two bundles of the same export differ")
	}
}

// TestOtherLedger: a bundle of a ledger with the same name and other keys.
func TestOtherLedger(t *testing.T) {
	s, other := newStory(t), tellStory(newWorld(t, "another ledger"))
	_, errs := both(t, s.world, honest(other))
	if errs[0] == nil || !strings.Contains(errs[0].Error(), "not signed by the key given") {
		t.Fatal(errs[0])
	}
}

// TestLies: who holds all keys changes files and signs them again. What the entries
// themselves show cannot be lied about.
func TestLies(t *testing.T) {
	s, other := newStory(t), tellStory(newWorld(t, "another ledger"))
	zip := honest(s)
	drop := func(i int) func(files) {
		return func(f files) { editLines(f, firstPart, func(l [][]byte) [][]byte { return slices.Delete(l, i, i+1) }) }
	}
	count := func(n int) func(*Manifest) { return func(m *Manifest) { m.Entries = n } }
	persons := func(edit func(string) string) func(files) {
		return func(f files) { f[NumbersFile] = []byte(edit(string(f[NumbersFile]))) }
	}
	record := func(i int, edit func(*Record)) func(files) { return func(f files) { editRecord(f, i, edit) } }
	replace := func(name, old, new string) func(files) {
		return func(f files) {
			if !bytes.Contains(f[name], []byte(old)) {
				panic(old)
			}
			f[name] = bytes.Replace(f[name], []byte(old), []byte(new), 1)
		}
	}
	lies := []struct {
		name     string
		edit     func(files)
		manifest func(*Manifest)
		want     string
	}{
		{"the first event left out", drop(0), count(6), "missing"},
		{"a middle event left out", drop(2), count(6), "missing"},
		{"the last event left out", drop(6), count(6), "1 is missing|are about number 1"},
		{"the last event left out, and its number's count corrected", func(f files) {
			drop(6)(f)
			persons(func(s string) string { return strings.Replace(s, `"entries":5`, `"entries":4`, 1) })(f)
		}, count(6), "last entries of a person"},
		{"the last event left out, the manifest as it was", drop(6), nil, "entries are here"},
		{"a person left out", func(f files) {
			drop(5)(f)
			persons(func(s string) string { return strings.Replace(s, `"entries":5`, `"entries":4`, 1) })(f)
		}, count(6), "last entries of a person"},
		{"an event of another number", record(1, func(r *Record) { *r = s.record(4, 2, AllClasses()) }), nil, "missing|another number"},
		{"an event twice", func(f files) { editLines(f, firstPart, func(l [][]byte) [][]byte { return slices.Insert(l, 0, l[0]) }) }, count(8), "out of order"},
		{"a changed byte in an entry", record(0, func(r *Record) { r.Entry = append(bytes.Clone(r.Entry), 0x78, 1) }), nil, "not the ledger's entry"},
		{"another position", record(0, func(r *Record) { r.Position++ }), nil, "says another position"},
		{"a path cut off", record(0, func(r *Record) { r.Path = r.Path[1:] }), nil, "not the ledger's entry"},
		{"a path too long", record(0, func(r *Record) { r.Path = append(r.Path, r.Path[0]) }), nil, "not the ledger's entry"},
		{"other words", record(0, func(r *Record) { r.Opened[2].Value = []byte("No") }), nil, "not what was sealed"},
		{"another salt", record(0, func(r *Record) { r.Opened[2].Salt[0] ^= 1 }), nil, "not what was sealed"},
		{"a part opened twice", record(0, func(r *Record) { r.Opened = append(r.Opened, r.Opened[0]) }), nil, "opens a part twice"},
		{"a part that is not there", record(0, func(r *Record) { r.Opened[0].Field = "99" }), nil, "does not have"},
		{"a short salt", record(0, func(r *Record) { r.Opened[0].Salt = r.Opened[0].Salt[1:] }), nil, "does not have"},
		{"a class that was not to be disclosed", nil, func(m *Manifest) { m.Disclosed = m.Disclosed[:2] }, "does not name"},
		{"another number's name", persons(func(s string) string { return strings.Replace(s, ann, "+12125550199", 1) }), nil, "another number"},
		{"events called those of a number that is not named", record(0, func(r *Record) { r.Number = 3 }), nil, "not named"},
		{"a checkpoint of another ledger", func(f files) { f[CheckpointFile] = other.checkpoint().Note }, nil, "not signed by the key"},
		{"another size", nil, func(m *Manifest) { m.Size++ }, "another than the manifest"},
		{"through more than the ledger holds", nil, func(m *Manifest) { m.Through = 100 }, "another than the manifest"},
		{"through less than is shown", nil, func(m *Manifest) { m.Through = 5 }, "out of order"},
		{"another origin", nil, func(m *Manifest) { m.Origin = "ledger.example.org" }, "signed by the key"},
		{"another pack", func(f files) {
			for name := range f {
				if strings.HasPrefix(name, packsFolder) {
					f[name] = []byte("id: us\n")
				}
			}
		}, nil, "no rule pack"},
		{"a pack nobody published", func(f files) { f[packName(sha256.Sum256([]byte("x")))] = []byte("x") }, nil, "no rule pack"},
		{"a pack whose publication is left out", func(f files) { f[CitedFile] = nil }, nil, "no rule pack"},
		{"a cited entry about a person", func(f files) { l, _ := s.record(3, 0, nil).line(); f[CitedFile] = append(f[CitedFile], l...) }, nil, "about somebody"},
		{"completeness that nobody can read", func(f files) { f[CompletenessFile] = []byte("yes\n") }, nil, "later version|JSON"},
		{"a part of the entries left out", func(f files) { f["entries/000003.jsonl"] = nil }, nil, "missing|are here"},
		{"no report of numbers", func(f files) { delete(f, NumbersFile) }, nil, "there is no"},
		{"a key twice", replace(firstPart, `{"position":3,`, `{"position":3,"position":3,`), nil, "one encoding"},
		{"a key in capitals", replace(firstPart, `"entry"`, `"Entry"`), nil, "one encoding"},
		{"a blank", replace(firstPart, `{"position":3,`, `{"position": 3,`), nil, "one encoding"},
		{"a number as a fraction", replace(firstPart, `{"position":3,`, `{"position":3.0,`), nil, "JSON"},
		{"another key", replace(firstPart, `,"path"`, `,"more":1,"path"`), nil, "one encoding"},
		{"null for a list", persons(func(s string) string { return `{"number":1,"entries":0,"persons":null}` + "\n" }), func(m *Manifest) { m.Numbers = 1 }, "none"},
		{"a last line that does not end", func(f files) { f[firstPart] = bytes.TrimSuffix(f[firstPart], []byte("\n")) }, nil, "does not end"},
		{"a carriage return", replace(firstPart, "\n", "\r\n"), nil, "one encoding"},
		{"nothing but brackets", func(f files) { f[firstPart] = []byte(strings.Repeat("[", 200_000) + "\n") }, nil, "JSON"},
	}
	var zips [][]byte
	for _, c := range lies {
		zips = append(zips, s.lie(zip, c.edit, c.manifest))
	}
	_, errs := both(t, s.world, zips...)
	for i, c := range lies {
		if errs[i] == nil || !slices.ContainsFunc(strings.Split(c.want, "|"), func(w string) bool { return strings.Contains(errs[i].Error(), w) }) {
			t.Errorf("%s (%d): %v, want %q", c.name, i, errs[i], c.want)
		}
	}
}

// TestComplete: what a directory has fixed cannot be left out, by whoever and however
// the rest is made to fit; what came after it can.
func TestComplete(t *testing.T) {
	s := newStory(t)
	without := func(at ...ledger.Position) []byte {
		return s.bundle(s.manifest(), slices.DeleteFunc(s.records(AllClasses()), func(r Record) bool { return slices.Contains(at, r.Position) }))
	}
	zip := honest(s)
	line := func(c completeness) []byte {
		l, err := jsonLine(c)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	ours := completeness{Number: 1, Directory: uint64(s.directory), Token: tokenBytes(ann), Proof: s.proofs[0]}
	edit := func(change func(*completeness)) []byte {
		c := ours
		c.Token = bytes.Clone(c.Token)
		change(&c)
		return s.lie(zip, func(f files) { f[CompletenessFile] = line(c) }, nil)
	}
	cases := []struct {
		name string
		zip  []byte
		want string // refused; empty: accepted
		text string // of the claim
	}{
		{"honest", zip, "", "; 1 later entry is here"},
		{"the last event of a number", without(8), "directory has 2", ""},
		{"all events of a number", without(5, 8), "directory has 2", ""},
		{"a holder of a number", without(9), "directory has 4", ""},
		{"an event after the directory", without(12), "", "; no later entry is here"},
		{"one number of two", edit(func(*completeness) {}), "", "completeness: unproven for 1 of 2 numbers"},
		{"another number's proof", edit(func(c *completeness) { c.Proof = s.proofs[1] }), "refuted", ""},
		{"another token", edit(func(c *completeness) { c.Token = tokenBytes(eve) }), "refuted", ""},
		{"a token of another version", edit(func(c *completeness) { c.Token[0] = 2 }), "token of version 2", ""},
		{"an entry that is no directory", edit(func(c *completeness) { c.Directory = 1 }), "no DirectoryCommitted", ""},
		{"a directory that is not here", edit(func(c *completeness) { c.Directory = 13 }), "not here", ""},
		{"a number that is not here", edit(func(c *completeness) { c.Number = 3 }), "not here", ""},
		{"a number twice", s.lie(zip, func(f files) { f[CompletenessFile] = append(line(ours), line(ours)...) }, nil), "not here", ""},
		{"no line", s.lie(zip, func(f files) { f[CompletenessFile] = nil }, nil), "", "completeness: unproven; no directory"},
	}
	var zips [][]byte
	for _, c := range cases {
		zips = append(zips, c.zip)
	}
	v, errs := both(t, s.world, zips...)
	for i, c := range cases {
		switch {
		case (errs[i] == nil) != (c.want == ""), errs[i] != nil && !strings.Contains(errs[i].Error(), c.want):
			t.Errorf("%s: %v, want %q", c.name, errs[i], c.want)
		case errs[i] == nil && !strings.Contains(claim(v[i], "complete").Text, c.text):
			t.Errorf("%s: %q, want %q", c.name, claim(v[i], "complete").Text, c.text)
		}
	}
}

func tokenBytes(number string) []byte {
	t := token(number)
	return t[:]
}

// TestTwice: protobuf takes the last of a field that is there twice, and another
// reader the first. A ledger that stored such an entry cannot show it.
func TestTwice(t *testing.T) {
	var zips [][]byte
	var names []string
	for name, more := range map[string][]byte{
		"position": {0x08, 9}, "person": {0x32, 0}, "person_seq": {0x38, 1}, "person_prev": {0x42, 0}, "fact": {0x4a, 0},
		"a group": {0x0b, 0x0c}, "field 0": {0x00, 0}, "a field cut off": {0x32, 9}, "a number without end": bytes.Repeat([]byte{0xff}, 11),
	} {
		w := newWorld(t, "the ledger of a story")
		w.mangle = func(raw []byte) []byte { return append(raw, more...) }
		s := tellStory(w)
		zip := s.lie(honest(newStory(t)), nil, nil)
		f := s.unpack(zip)
		f[CheckpointFile] = s.checkpoint().Note
		f[firstPart] = nil
		for _, r := range s.records(nil) {
			line, err := r.line()
			if err != nil {
				t.Fatal(err)
			}
			f[firstPart] = append(f[firstPart], line...)
		}
		c := s.checkpoint()
		zips, names = append(zips, s.sign(f, func(m *Manifest) { m.Root = c.Root }, s.signing.Exports)), append(names, name)
	}
	_, errs := both(t, newStory(t).world, zips...)
	for i, err := range errs {
		if err == nil || !strings.Contains(err.Error(), "entry") {
			t.Errorf("%s: %v", names[i], err)
		}
	}
}

// TestEveryByte: one changed byte anywhere in the zip, and one changed byte in any
// file of it put together again, is refused.
func TestEveryByte(t *testing.T) {
	s := stampedStory(t)
	zip := honest(s)
	if _, err := verify(s.world, zip); err != nil {
		t.Fatal(err)
	}
	keys := s.parsed()
	for half := range 2 {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(7, uint64(half)))
			broken := bytes.Clone(zip)
			for i := half; i < len(zip); i += 2 {
				broken[i] ^= byte(1 + r.IntN(255))
				if _, err := Verify(bytes.NewReader(broken), int64(len(broken)), Trust{Keys: keys}); err == nil {
					t.Errorf("byte %d of %d changed from %#x to %#x, and the bundle verifies", i, len(zip), zip[i], broken[i])
				}
				broken[i] = zip[i]
			}
		})
	}
	t.Run("put together again", func(t *testing.T) {
		t.Parallel()
		r := rand.New(rand.NewPCG(7, 7))
		f := s.unpack(s.lie(zip, func(f files) { // long texts, of which every byte was tried above
			for _, name := range []string{ScriptFile, ReadmeFile, ReportFile} {
				f[name] = f[name][:100]
			}
		}, nil))
		for name, data := range f {
			for i, was := range data {
				data[i] ^= byte(1 + r.IntN(255))
				broken := f.pack()
				if _, err := Verify(bytes.NewReader(broken), int64(len(broken)), Trust{Keys: keys}); err == nil {
					t.Errorf("byte %d of %s changed, and the bundle verifies", i, name)
				}
				data[i] = was
			}
		}
	})
}

// TestEveryFileInPython: the same with verify.py, at some bytes of each file and of
// what lies between them.
func TestEveryFileInPython(t *testing.T) {
	s := richStory(t)
	zip := honest(s)
	r := rand.New(rand.NewPCG(9, 9))
	var broken [][]byte
	change := func(i int) {
		b := bytes.Clone(zip)
		b[i] ^= byte(1 + r.IntN(255))
		broken = append(broken, b)
	}
	for i := len(zip) - endBytes; i < len(zip); i++ {
		change(i)
	}
	start := int(binary.LittleEndian.Uint32(zip[len(zip)-6:]))
	for i := start; i < len(zip)-endBytes; i += 7 {
		change(i)
	}
	z, err := openZip(bytes.NewReader(zip), int64(len(zip)))
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range z.files {
		for i := range localBytes + len(name) {
			change(int(f.offset) + i)
		}
	}
	f := s.unpack(zip)
	for _, data := range f {
		for i := 0; i < len(data); i += max(1, len(data)/20) {
			was := data[i]
			data[i] ^= byte(1 + r.IntN(255))
			broken = append(broken, f.pack())
			data[i] = was
		}
	}
	for i, a := range bundletest.Verify(t, Script(), s.keys(), broken...) {
		if a.Refused == "" {
			t.Errorf("change %d is not seen by verify.py", i)
		}
	}
}
