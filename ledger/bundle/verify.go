package bundle

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/directory"
	"github.com/consent-ledger/consent-ledger/ledger/proof"
	"github.com/consent-ledger/consent-ledger/ledger/timestamp"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// Claim is one thing that a bundle shows, or does not.
type Claim struct {
	Claim string `json:"claim"`
	// Proven is false if the bundle does not show it; Text then says why.
	Proven bool   `json:"proven"`
	Text   string `json:"text"`
}

// Verdict is what a bundle shows.
type Verdict struct {
	Manifest Manifest
	// Numbers are those it is about, in order; none for a seller.
	Numbers []Number
	Claims  []Claim
}

// Trust is what a reader has from elsewhere.
type Trust struct {
	// Keys are the ledger's: the one that signs its exports and the one that signs its
	// checkpoints.
	Keys proof.Keys
	// Policy says which witnesses must vouch for the checkpoint; nil: it may be the
	// operator's word.
	Policy *proof.Policy
	// Roots are those whose word the reader takes for a time, and then there must be a
	// timestamp that they vouch for; nil: when it existed may be the operator's word.
	Roots *timestamp.Roots
	// Earlier is a checkpoint of this ledger that the reader holds and has checked;
	// nil: none.
	Earlier *proof.Checkpoint
}

// verifier is one verification under way.
type verifier struct {
	zip   *zipReader
	sums  map[string]ledger.Hash
	trust Trust

	m       Manifest
	numbers []Number
	chains  map[string]*chain
	about   [][]directory.Event // entries by number
	events  int
	last    ledger.Position
	cited   map[ledger.Position]head
	erased  int

	opened, withheld int
	named            int // entries that show the number they are about
	rows             rows
	stamped          bool // somebody whom the reader trusts vouches for the time
}

// chain is how far a person's entries have come.
type chain struct {
	number int
	seq    uint64
	leaf   ledger.Hash
}

// Verify checks a bundle by what came from elsewhere. Its memory is bounded by
// FileBytesMax and by what the zip's own size allows; nothing in the zip can make it
// larger. An error says which claim does not hold.
func Verify(r io.ReaderAt, size int64, trust Trust) (*Verdict, error) {
	v := &verifier{trust: trust, chains: map[string]*chain{}, cited: map[ledger.Position]head{}}
	var err error
	if v.zip, err = openZip(r, size); err != nil {
		return nil, err
	}
	out := &Verdict{}
	for _, step := range []struct {
		claim string
		check func() ([]Claim, error)
	}{
		{"signed", v.signed}, {"included", v.included}, {"back-linked", v.backLinked}, {"disclosed", v.disclosed},
		{"about", v.aboutWhom}, {"packs", v.packs}, {"wordings", v.wordings}, {"complete", v.complete}, {"consistent", v.consistent},
		{"timestamped", v.timestamped}, {"anchored", v.anchored}, {"tables", v.tables}, {"report", v.report},
	} {
		claims, err := step.check()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", step.claim, err)
		}
		out.Claims = append(out.Claims, claims...)
	}
	out.Manifest, out.Numbers = v.m, v.numbers
	return out, nil
}

func proven(name, format string, args ...any) []Claim {
	return []Claim{{name, true, fmt.Sprintf(format, args...)}}
}

func unproven(name, format string, args ...any) []Claim {
	return []Claim{{name, false, fmt.Sprintf(format, args...)}}
}

// signed checks the signature, and that every file is the one signed.
func (v *verifier) signed() ([]Claim, error) {
	manifest, err := v.zip.read(ManifestFile)
	if err != nil {
		return nil, err
	}
	if v.m, err = openManifest(manifest, v.trust.Keys); err != nil {
		return nil, err
	}
	list, err := v.zip.read(SumsFile)
	if err != nil {
		return nil, err
	}
	if sha256.Sum256(list) != v.m.Sums {
		return nil, refuted("%s is not the one signed", SumsFile)
	}
	if err := v.readSums(list); err != nil {
		return nil, err
	}
	for _, name := range v.names() {
		if _, err := v.read(name); err != nil {
			return nil, err
		}
	}
	return proven("signed", "by %s, the key you gave: all %d files are as they were signed", v.m.Origin+proof.ExportsSuffix, len(v.sums)+2), nil
}

// readSums reads the list of files, which are those in the zip.
func (v *verifier) readSums(list []byte) error {
	v.sums = map[string]ledger.Hash{}
	err := lines(list, func(line []byte) error {
		sum, name, ok := strings.Cut(string(line), "  ")
		p := parser{}
		v.sums[name] = p.hex(sum)
		if !ok || p.err != nil || name == ManifestFile || name == SumsFile {
			return form("%s has a line that is none", SumsFile)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if !bytes.Equal(sumsFile(v.sums), list) || len(v.sums) != len(v.zip.files)-2 {
		return refuted("%s does not list the files that are here", SumsFile)
	}
	return nil
}

// names are those of all files but the manifest and SHA256SUMS, in order.
func (v *verifier) names() []string {
	names := make([]string, 0, len(v.sums))
	for name := range v.sums {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// read gives a file that is as it was signed.
func (v *verifier) read(name string) ([]byte, error) {
	want, ok := v.sums[name]
	if !ok {
		return nil, form("there is no %s", name)
	}
	data, err := v.zip.read(name)
	if err == nil && sha256.Sum256(data) != want {
		err = refuted("%s is not the one signed", name)
	}
	return data, err
}

// included checks that every entry is in the ledger of the checkpoint.
func (v *verifier) included() ([]Claim, error) {
	if err := v.openCheckpoint(); err != nil {
		return nil, err
	}
	if err := v.readNumbers(); err != nil {
		return nil, err
	}
	parts := 0
	for ; v.sums[partName(parts+1)+".jsonl"] != (ledger.Hash{}); parts++ {
		if err := v.part(partName(parts + 1)); err != nil {
			return nil, err
		}
	}
	for name := range v.sums {
		if strings.HasPrefix(name, entriesFolder) && strings.HasSuffix(name, ".jsonl") {
			parts--
		}
	}
	if parts != 0 || v.events != v.m.Entries {
		return nil, refuted("%d entries are here, %d were signed", v.events, v.m.Entries)
	}
	file, err := v.read(CitedFile)
	if err != nil {
		return nil, err
	}
	if err := lines(file, v.cite); err != nil {
		return nil, err
	}
	return slices.Concat(
		proven("included", "%s, and %s that they cite, are in the ledger of %s that its checkpoint fixes", count(v.events, "entry", "entries"),
			count(len(v.cited), "other", "others"),
			count(int(v.m.Size), "entry", "entries")),
		proven("unchanged", "the bytes of each entry are those that the checkpoint fixes, at its position")), nil
}

// part checks one part of the entries, and its table against them.
func (v *verifier) part(name string) error {
	file, err := v.read(name + ".jsonl")
	if err != nil {
		return err
	}
	v.rows.begin("", nil)
	if table := name + ".csv"; v.sums[table] != (ledger.Hash{}) {
		rows, err := v.read(table)
		if err != nil {
			return err
		}
		v.rows.begin(table, rows)
	}
	if err := lines(file, v.entry); err != nil {
		return err
	}
	v.rows.end()
	return nil
}

func (v *verifier) openCheckpoint() error {
	key, err := v.trust.Keys.Log()
	if err != nil {
		return err
	}
	file, err := v.read(CheckpointFile)
	if err != nil {
		return err
	}
	c, err := proof.OpenCheckpoint(file, key)
	switch {
	case err != nil:
		return fmt.Errorf("checkpoint: %w", err)
	case key.Name() != v.m.Origin:
		return refuted("a bundle of %q with a checkpoint of %q", v.m.Origin, key.Name())
	case c.Size != v.m.Size || c.Root != v.m.Root || int64(v.m.Through) > c.Size:
		return refuted("the checkpoint is another than the manifest says")
	}
	return nil
}

// record reads a line and checks the entry's place.
func (v *verifier) record(line []byte) (r Record, h head, err error) {
	if r, err = parseRecord(line); err != nil {
		return r, h, err
	}
	if h, err = readEntry(r.Entry); err != nil {
		return r, h, err
	}
	if h.position != r.Position || int64(r.Position) > v.m.Size {
		return r, h, refuted("an entry that says another position than %d", r.Position)
	}
	leaf := ledger.LeafHash(r.Entry)
	if tlog.CheckRecord(r.Path, v.m.Size, v.m.Root, int64(r.Position-1), tlog.Hash(leaf)) != nil {
		return r, h, refuted("these bytes are not the ledger's entry %d", r.Position)
	}
	return r, h, nil
}

// entry checks one entry of what the bundle is about.
func (v *verifier) entry(line []byte) error {
	r, h, err := v.record(line)
	if err != nil {
		return err
	}
	if r.Position <= v.last || r.Position > v.m.Through || r.Number > v.m.Numbers || (r.Number == 0) != (v.m.Numbers == 0) {
		return refuted("position %d is out of order, or of a number that is not named", r.Position)
	}
	v.last = r.Position
	v.events++
	if r.Number > 0 {
		v.about[r.Number-1] = append(v.about[r.Number-1], directory.Event{Position: r.Position, Leaf: ledger.LeafHash(r.Entry)})
		if err := v.link(r, h); err != nil {
			return err
		}
	}
	if err := v.open(r, h); err != nil {
		return err
	}
	v.rows.entry(r)
	return v.concerns(r, h)
}

func (v *verifier) cite(line []byte) error {
	r, h, err := v.record(line)
	if err != nil {
		return err
	}
	if _, twice := v.cited[r.Position]; twice || r.Number != 0 || len(r.Opened) > 0 || len(h.person) > 0 {
		return refuted("position %d is cited twice, or is about somebody", r.Position)
	}
	v.cited[r.Position] = h
	return nil
}

// link checks that an entry follows the one before it of its person.
func (v *verifier) link(r Record, h head) error {
	if len(h.person) == 0 {
		erasure, err := only(h.fact, fieldErased)
		if err != nil || erasure == nil || h.seq != 0 {
			return refuted("position %d is about no person", r.Position)
		}
		v.erased++
		return nil
	}
	c := v.chains[string(h.person)]
	if c == nil {
		c = &chain{number: r.Number}
		v.chains[string(h.person)] = c
	}
	first := h.seq == 1 && len(h.prev) == 0
	if c.number != r.Number || h.seq != c.seq+1 || !first && !bytes.Equal(h.prev, c.leaf[:]) {
		return refuted("back-links: before position %d an entry of its person is missing", r.Position)
	}
	c.seq, c.leaf = h.seq, ledger.LeafHash(r.Entry)
	return nil
}

// open checks the disclosed parts of an entry against its commitments.
func (v *verifier) open(r Record, h head) error {
	v.withheld += len(h.parts) - len(r.Opened)
	for i, o := range r.Opened {
		if slices.ContainsFunc(r.Opened[:i], func(p Opened) bool { return p.Field == o.Field }) {
			return refuted("disclosed: position %d opens a part twice", r.Position)
		}
		at := slices.IndexFunc(h.parts, func(p part) bool { return p.field == o.Field })
		if at < 0 || slices.ContainsFunc(h.parts[at+1:], func(p part) bool { return p.field == o.Field }) || len(o.Salt) != proof.SaltBytes {
			return refuted("disclosed: position %d opens a part that it does not have", r.Position)
		}
		p := h.parts[at]
		want := proof.Commitment(byte(p.class), p.field, [proof.SaltBytes]byte(o.Salt), o.Value)
		if p.class > 0xff || !slices.Contains(v.m.Disclosed, consentv1.PersonalClass(p.class)) {
			return refuted("disclosed: position %d opens a part of a class that the manifest does not name", r.Position)
		}
		if !bytes.Equal(want[:], p.commitment) {
			return refuted("disclosed: a part of position %d is not what was sealed", r.Position)
		}
		if o.Field == "1" && r.Number > 0 && v.numbers[r.Number-1].E164 != string(o.Value) {
			return refuted("disclosed: position %d is about another number", r.Position)
		}
		if o.Field == "1" && r.Number > 0 {
			v.named++
		}
		v.opened++
	}
	return nil
}

// readNumbers reads whom the bundle is about.
func (v *verifier) readNumbers() error {
	file, err := v.read(NumbersFile)
	if err != nil {
		return err
	}
	err = lines(file, func(line []byte) error {
		n, err := parseNumber(line)
		if err != nil {
			return err
		}
		v.numbers = append(v.numbers, n)
		if n.Number != len(v.numbers) {
			return form("%s is not in order", NumbersFile)
		}
		return nil
	})
	if err == nil && len(v.numbers) != v.m.Numbers {
		err = refuted("%d numbers are here, %d were signed", len(v.numbers), v.m.Numbers)
	}
	v.about = make([][]directory.Event, len(v.numbers))
	return err
}

// backLinked checks that each person's entries end where they should.
func (v *verifier) backLinked() ([]Claim, error) {
	if v.m.Numbers == 0 {
		return unproven("back-linked", "not claimed: the entries of a seller are a selection from the history of each person"), nil
	}
	persons := 0
	for i, n := range v.numbers {
		if len(v.about[i]) != n.Entries {
			return nil, refuted("%d entries are about number %d, %d were signed", len(v.about[i]), n.Number, n.Entries)
		}
		for _, p := range n.Persons {
			c := v.chains[string(p.Person)]
			if c == nil || c.number != n.Number || c.seq != p.Entries || !bytes.Equal(c.leaf[:], p.Head) {
				return nil, refuted("the last entries of a person of number %d are missing", n.Number)
			}
			persons++
		}
	}
	if persons != len(v.chains) {
		return nil, refuted("entries are about %d persons, %d were signed", len(v.chains), persons)
	}
	text := fmt.Sprintf("the entries of %s of %s link back to the first without a gap, and end with the last one signed", count(persons, "holder",
		"holders"), count(len(v.numbers), "number", "numbers"))
	if persons == 0 {
		text = fmt.Sprintf("no entry of a holder of %s is here", count(len(v.numbers), "number", "numbers"))
	}
	return []Claim{{"back-linked", true, text + say(v.erased, "", "; 1 erasure is among them", "; %d erasures are among them")}}, nil
}

func (v *verifier) disclosed() ([]Claim, error) {
	shown := say(v.opened, "no personal part is shown", "1 personal part is what was sealed when it was recorded",
		"%d personal parts are what was sealed when they were recorded")
	return proven("disclosed", "%s (%s); %s", shown, ClassWords(v.m.Disclosed), say(v.withheld, "none is withheld", "1 is withheld", "%d are withheld")), nil
}

// packs checks that rule packs are the files that the ledger published.
func (v *verifier) packs() ([]Claim, error) {
	published := map[string]bool{}
	for _, h := range v.cited {
		fact, err := only(h.fact, fieldPack)
		if err != nil || fact == nil {
			continue
		}
		sum, err := only(fact, fieldPackSHA256)
		if err == nil && len(sum) == sha256.Size {
			published[packName(ledger.Hash(sum))] = true
		}
	}
	packs := 0
	for name, sum := range v.sums {
		if !strings.HasPrefix(name, packsFolder) {
			continue
		}
		if name != packName(sum) || !published[name] {
			return nil, refuted("%s is no rule pack that the ledger published", name)
		}
		packs++
	}
	return []Claim{{"packs", true, say(packs, "no rule pack is here", "1 rule pack is the file that the ledger published",
		"%d rule packs are the files that the ledger published")}}, nil
}
