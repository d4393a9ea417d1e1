package directory_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/directory"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

var update = flag.Bool("update", false, "write testdata/vectors.json if it is missing")

// world is a small ledger: which number each position is about.
type world struct {
	covers ledger.Position
	leaves []ledger.Hash // of positions 1, 2, 3 …
	about  []int         // the number of each; -1: none
}

const numbers = 6

func number(i int) string { return fmt.Sprintf("+1202555%04d", 100+i) }

func token(i int) ledger.DirectoryToken {
	sum := sha256.Sum256(fmt.Appendf(nil, "token %d", i))
	return ledger.DirectoryToken(append([]byte{ledger.TokenVersion}, sum[:16]...))
}

func newWorld(about []int, covers ledger.Position) world {
	w := world{covers: covers, about: about}
	for i := range about {
		w.leaves = append(w.leaves, sha256.Sum256(fmt.Appendf(nil, "leaf %d", i+1)))
	}
	return w
}

func (w world) events(i int) (out []directory.Event) {
	for p, n := range w.about {
		if n == i {
			out = append(out, directory.Event{Position: ledger.Position(p + 1), Leaf: w.leaves[p]})
		}
	}
	return out
}

func (w world) records() (rs []directory.Placed, entries uint64) {
	for i := range numbers {
		var r directory.Record
		for _, e := range w.events(i) {
			if e.Position <= w.covers {
				r = r.Add(e)
			}
		}
		if entries += r.Count; r.Count > 0 {
			rs = append(rs, directory.Placed{Key: directory.KeyOf(number(i), token(i)), Record: r})
		}
	}
	slices.SortFunc(rs, func(a, b directory.Placed) int { return a.Key.Compare(b.Key) })
	return rs, entries
}

func (w world) statement() directory.Statement {
	rs, entries := w.records()
	return directory.Statement{Covers: w.covers, CoversRecordedAt: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC), Root: directory.Build(rs, 0).Hash,
		Numbers: uint64(len(rs)), Entries: entries, TokenKey: sha256.Sum256(append([]byte("consent.v1/directory-token-key\x07"), make([]byte, 31)...))}
}

// entry is a stored DirectoryCommitted.
func entry(at ledger.Position, m *consentv1.DirectoryCommitted) []byte {
	id := sha256.Sum256([]byte("id"))
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(&consentv1.Entry{Position: uint64(at), EntryId: id[:16],
		RecordedAt: timestamppb.New(time.Date(2026, 11, 24, 12, 0, 1, 0, time.UTC)),
		Fact:       &consentv1.Fact{Source: "consent-ledger", Kind: &consentv1.Fact_DirectoryCommitted{DirectoryCommitted: m}}})
	if err != nil {
		panic(err)
	}
	return raw
}

// shown is an honest proof about a number.
func (w world) shown(i int) directory.Shown {
	rs, _ := w.records()
	return directory.Shown{Directory: entry(ledger.Position(len(w.about)+1), w.statement().Fact()), Number: number(i), Token: token(i),
		Proof: prove(directory.KeyOf(number(i), token(i)), rs).Encode(), Events: w.events(i)}
}

func worlds() *rapid.Generator[world] {
	return rapid.Custom(func(t *rapid.T) world {
		about := rapid.SliceOfN(rapid.IntRange(-1, numbers-2), 0, 20).Draw(t, "about") // the last number has none
		return newWorld(about, ledger.Position(rapid.IntRange(0, len(about)).Draw(t, "covers")))
	})
}

// TestComplete: what is shown honestly is taken, for every number; whoever leaves
// out, adds, moves or changes an event that the directory covers is refused.
func TestComplete(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := worlds().Draw(t, "world")
		for i := range numbers {
			s := w.shown(i)
			covered := 0
			for _, e := range s.Events {
				if e.Position <= w.covers {
					covered++
				}
			}
			a, err := directory.Verify(s)
			if err != nil || a.Complete != covered || a.Later != len(s.Events)-covered || a.Statement.Covers != w.covers {
				t.Fatalf("number %d: %+v, %v", i, a, err)
			}
			liars(t, w, s, covered)
		}
	})
}

func liars(t *rapid.T, w world, s directory.Shown, covered int) {
	refused := func(what string, change func(*directory.Shown)) {
		l := s
		l.Events = slices.Clone(s.Events)
		change(&l)
		if _, err := directory.Verify(l); !errors.Is(err, directory.ErrRefuted) {
			t.Fatalf("%s: %v", what, err)
		}
	}
	for i := range covered {
		refused("an event left out", func(l *directory.Shown) { l.Events = slices.Delete(l.Events, i, i+1) })
		refused("an event changed", func(l *directory.Shown) { l.Events[i].Leaf[3] ^= 1 })
		refused("an event twice", func(l *directory.Shown) { l.Events = slices.Insert(l.Events, i, l.Events[i]) })
	}
	if covered > 0 {
		refused("all events left out", func(l *directory.Shown) { l.Events = nil })
		refused("the last left out", func(l *directory.Shown) { l.Events = l.Events[:covered-1] })
	}
	if w.covers > 0 {
		refused("an event added", func(l *directory.Shown) {
			l.Events = slices.DeleteFunc(l.Events, func(e directory.Event) bool { return e.Position == w.covers })
			l.Events = append(l.Events, directory.Event{Position: w.covers, Leaf: sha256.Sum256([]byte("made up"))})
			slices.SortFunc(l.Events, func(a, b directory.Event) int { return int(a.Position) - int(b.Position) })
		})
	}
	if rs, _ := w.records(); len(rs) > 0 && covered > 0 {
		refused("another number", func(l *directory.Shown) { l.Number = number(numbers) })
		refused("another token", func(l *directory.Shown) { l.Token[5] ^= 1 })
	}
}

// TestStatements: a directory that cannot be is refused, whatever it proves.
func TestStatements(t *testing.T) {
	w := newWorld([]int{0, 1, -1, 0}, 3)
	change := func(at ledger.Position, f func(*consentv1.DirectoryCommitted)) error {
		m := w.statement().Fact()
		f(m)
		s := w.shown(0)
		s.Directory = entry(at, m)
		_, err := directory.Verify(s)
		return err
	}
	if err := change(4, func(*consentv1.DirectoryCommitted) {}); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"covers itself":        change(3, func(*consentv1.DirectoryCommitted) {}),
		"another format":       change(5, func(m *consentv1.DirectoryCommitted) { m.Format = 2 }),
		"a short root":         change(5, func(m *consentv1.DirectoryCommitted) { m.Root = m.Root[:31] }),
		"another root":         change(5, func(m *consentv1.DirectoryCommitted) { m.Root[0] ^= 1 }),
		"no token key":         change(5, func(m *consentv1.DirectoryCommitted) { m.TokenKey = nil }),
		"no time":              change(5, func(m *consentv1.DirectoryCommitted) { m.CoversRecordedAt = nil }),
		"numbers over entries": change(5, func(m *consentv1.DirectoryCommitted) { m.Numbers = 9 }),
		"more than there are":  change(5, func(m *consentv1.DirectoryCommitted) { m.Entries = 9 }),
	} {
		if !errors.Is(err, directory.ErrForm) && !errors.Is(err, directory.ErrRefuted) {
			t.Errorf("%s: %v", name, err)
		}
	}
	other := entry(5, nil)
	if _, err := directory.ReadStatement(other); !errors.Is(err, directory.ErrForm) && !errors.Is(err, directory.ErrRefuted) {
		t.Errorf("an empty statement: %v", err)
	}
}

// vector is one published case, read by both verifiers.
type vector struct {
	Name      string         `json:"name"`
	Directory string         `json:"directory"`
	Number    string         `json:"number"`
	Token     string         `json:"token"`
	Proof     string         `json:"proof"`
	Events    []vectorEvent  `json:"events"`
	Want      map[string]any `json:"want"`
	// TokenPath is in none of the published cases.
	TokenPath []string `json:"tokenPath,omitzero"`
}

type vectorEvent struct {
	Position uint64 `json:"position"`
	Leaf     string `json:"leaf"`
}

// vectors are cases of a ledger of ten entries whose directory covers eight, and
// of an empty one.
func vectors() (out []vector) {
	w, empty := newWorld([]int{0, 1, -1, 0, 2, 3, 0, 4, 0, 1}, 8), newWorld([]int{-1}, 0)
	add := func(name string, s directory.Shown, change func(*directory.Shown)) {
		want := map[string]any{"refused": true}
		if change == nil {
			a, err := directory.Verify(s)
			if err != nil {
				panic(err)
			}
			want = map[string]any{"complete": float64(a.Complete), "covers": float64(a.Statement.Covers)}
		} else {
			s.Events, s.Proof, s.Directory = slices.Clone(s.Events), slices.Clone(s.Proof), slices.Clone(s.Directory)
			change(&s)
		}
		v := vector{Name: name, Directory: hex.EncodeToString(s.Directory), Number: s.Number, Token: hex.EncodeToString(s.Token[:]),
			Proof: hex.EncodeToString(s.Proof), Events: []vectorEvent{}, Want: want}
		for _, e := range s.Events {
			v.Events = append(v.Events, vectorEvent{uint64(e.Position), hex.EncodeToString(e.Leaf[:])})
		}
		out = append(out, v)
	}
	add("three events and a later one", w.shown(0), nil)
	add("one event and a later one", w.shown(1), nil)
	for i := 2; i < 5; i++ {
		add(fmt.Sprintf("number %d with one event", i), w.shown(i), nil)
	}
	add("a number never heard of", w.shown(5), nil)
	add("an empty ledger", empty.shown(0), nil)
	add("the first event left out", w.shown(0), func(s *directory.Shown) { s.Events = s.Events[1:] })
	add("a middle event left out", w.shown(0), func(s *directory.Shown) { s.Events = slices.Delete(s.Events, 1, 2) })
	add("the last covered event left out", w.shown(0), func(s *directory.Shown) { s.Events = slices.Delete(s.Events, 2, 3) })
	add("all events left out", w.shown(0), func(s *directory.Shown) { s.Events = nil })
	add("an event of another number added", w.shown(0), func(s *directory.Shown) { s.Events = slices.Insert(s.Events, 1, w.events(1)[0]) })
	add("out of order", w.shown(0), func(s *directory.Shown) { slices.Reverse(s.Events) })
	add("a leaf changed", w.shown(0), func(s *directory.Shown) { s.Events[0].Leaf[0] ^= 1 })
	add("a sibling changed", w.shown(0), func(s *directory.Shown) { s.Proof[4] ^= 1 })
	add("a count changed", w.shown(0), func(s *directory.Shown) { s.Proof[len(s.Proof)-48+7] ^= 7 })
	add("a head changed", w.shown(0), func(s *directory.Shown) { s.Proof[len(s.Proof)-1] ^= 1 })
	add("a proof cut off", w.shown(0), func(s *directory.Shown) { s.Proof = s.Proof[:len(s.Proof)-1] })
	add("the proof of another number", w.shown(0), func(s *directory.Shown) { s.Proof, s.Events = w.shown(5).Proof, nil })
	add("another token, to deny a number", w.shown(0), func(s *directory.Shown) { s.Token, s.Events = token(5), nil; s.Proof = w.shown(5).Proof })
	add("a token of another version", w.shown(0), func(s *directory.Shown) { s.Token[0] = 2 })
	add("a number without its plus", w.shown(0), func(s *directory.Shown) { s.Number = s.Number[1:] })
	add("an older directory", w.shown(0), func(s *directory.Shown) { s.Directory = newWorld(w.about, 3).shown(0).Directory })
	return out
}

const vectorsFile = "testdata/vectors.json"

// TestVectors: the published cases are what this program says today, and the
// second implementation says the same.
func TestVectors(t *testing.T) {
	want, err := json.MarshalIndent(vectors(), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(vectorsFile)
	if errors.Is(err, os.ErrNotExist) && *update {
		raw, err = append(want, '\n'), os.WriteFile(vectorsFile, append(want, '\n'), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	if string(raw) != string(want)+"\n" {
		t.Errorf("%s differs from what is made today: its bytes are for ever", vectorsFile)
	}
	var vs []vector
	if err := json.Unmarshal(raw, &vs); err != nil {
		t.Fatal(err)
	}
	for _, v := range vs {
		if got := v.verify(t); fmt.Sprint(got) != fmt.Sprint(v.Want) {
			t.Errorf("%s: %v, want %v", v.Name, got, v.Want)
		}
	}
	const second = "testdata/directory.py"
	if _, err := os.Stat(second); err != nil { // so that go test knows what its answer depends on
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "python3", second, filepath.FromSlash(vectorsFile)).CombinedOutput()
	if err != nil {
		t.Errorf("python3: %v\n%s", err, out)
	}
}

func (v vector) verify(t *testing.T) map[string]any {
	t.Helper()
	s := directory.Shown{Directory: unhex(t, v.Directory), Number: v.Number, Token: ledger.DirectoryToken(unhex(t, v.Token)), Proof: unhex(t, v.Proof)}
	for _, e := range v.Events {
		s.Events = append(s.Events, directory.Event{Position: ledger.Position(e.Position), Leaf: ledger.Hash(unhex(t, e.Leaf))})
	}
	a, err := directory.Verify(s)
	if err != nil {
		return map[string]any{"refused": true}
	}
	return map[string]any{"complete": a.Complete, "covers": a.Statement.Covers}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestBothAgree: whatever byte of what is shown is changed, or cut off, or one more,
// both implementations say the same, and neither takes it.
func TestBothAgree(t *testing.T) {
	w := newWorld([]int{0, 1, -1, 0, 2, 3, 0, 4, 0, 1}, 8)
	var vs []vector
	add := func(s directory.Shown, what string, at int) {
		v := vector{Name: fmt.Sprintf("number %s, %s %d", s.Number, what, at), Directory: hex.EncodeToString(s.Directory), Number: s.Number,
			Token: hex.EncodeToString(s.Token[:]), Proof: hex.EncodeToString(s.Proof), Events: []vectorEvent{}, Want: map[string]any{"refused": true}}
		for _, e := range s.Events {
			v.Events = append(v.Events, vectorEvent{uint64(e.Position), hex.EncodeToString(e.Leaf[:])})
		}
		if got := v.verify(t); fmt.Sprint(got) != fmt.Sprint(v.Want) {
			t.Errorf("%s was taken: %v", v.Name, got)
		}
		vs = append(vs, v)
	}
	for _, i := range []int{0, 2, 5} { // three events, one, none
		s := w.shown(i)
		covered := slices.DeleteFunc(slices.Clone(s.Events), func(e directory.Event) bool { return e.Position > w.covers })
		change := func(what string, n int, f func(*directory.Shown, int)) {
			for at := range n {
				c := s
				c.Proof, c.Events = slices.Clone(s.Proof), slices.Clone(covered)
				f(&c, at)
				add(c, what, at)
			}
		}
		change("proof byte", len(s.Proof), func(c *directory.Shown, at int) { c.Proof[at] ^= byte(1 << (at % 8)) })
		change("proof of", len(s.Proof), func(c *directory.Shown, at int) { c.Proof = c.Proof[:at] })
		change("proof and more,", 1, func(c *directory.Shown, _ int) { c.Proof = append(c.Proof, 0) })
		if len(covered) > 0 { // a number that is nowhere is nowhere under another token too: what the page says is not proven
			change("token byte", len(s.Token), func(c *directory.Shown, at int) { c.Token[at] ^= byte(1 << (at % 8)) })
		}
		change("digit", len(s.Number), func(c *directory.Shown, at int) { c.Number = c.Number[:at] + "x" + c.Number[at+1:] })
		change("leaf byte", 32*len(covered), func(c *directory.Shown, at int) { c.Events[at/32].Leaf[at%32] ^= 1 })
		change("event", len(covered), func(c *directory.Shown, at int) { c.Events[at].Position = ledger.Position(3) })
		change("without event", len(covered), func(c *directory.Shown, at int) { c.Events = slices.Delete(c.Events, at, at+1) })
	}
	agrees(t, vs)
}

// agrees has the second implementation find in vectors what the first one did.
func agrees(t *testing.T, vs []vector) {
	t.Helper()
	raw, err := json.Marshal(vs)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "vectors.json")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "python3", "testdata/directory.py", file).Output(); err != nil {
		t.Errorf("python3: %v\n%s", err, out)
	}
}
