package bundle

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/csv"
	"fmt"
	"hash"
	"io"
	"slices"

	"golang.org/x/mod/sumdb/note"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/proof"
	"github.com/consent-ledger/consent-ledger/ledger/timestamp"
)

const (
	// A part of the entries is closed at so many of them, or so many bytes.
	partEntriesMax = 2000
	partBytesMax   = 4 << 20
)

//go:embed readme.txt
var readme []byte

// Item is one entry to be shown.
type Item struct {
	Record
	// Row is the entry as a row of the table (Columns).
	Row []string
	// Event is the entry as the report tells it.
	Event Event
}

// Writer writes a bundle part by part: in memory is one part, a few lines for each
// number, and the first events for the report. Every byte follows from what it is
// given, so that equal exports are equal files. It belongs to one goroutine.
type Writer struct {
	m          Manifest
	checkpoint proof.Checkpoint
	out        *tee
	zip        zipWriter
	sums       map[string]ledger.Hash

	part, entries      int // parts written; entries in the open one
	told               int // parts of decisions written
	records, table     bytes.Buffer
	cited, completed   bytes.Buffer
	decisions          bytes.Buffer
	numbers            []Number
	persons            map[string]*Person // of all numbers, by id
	report             report
	last               ledger.Position
	citedAt, packNames map[string]bool
	stamp              *timestamp.Stamp // nil: none is here
}

// NewWriter begins a bundle. The manifest's Entries and Sums are found on the way;
// e164 are its numbers, in order, each empty if numbers are not disclosed.
func NewWriter(w io.Writer, m Manifest, c proof.Checkpoint, e164 []string) *Writer {
	m.Size, m.Root, m.Numbers = c.Size, c.Root, len(e164)
	b := &Writer{m: m, checkpoint: c, out: &tee{w: w, h: sha256.New()}, sums: map[string]ledger.Hash{}, persons: map[string]*Person{},
		citedAt: map[string]bool{}, packNames: map[string]bool{}, report: report{named: map[string]ledger.Position{}}}
	b.zip.w = b.out
	for i, n := range e164 {
		b.numbers = append(b.numbers, Number{Number: i + 1, E164: n, Persons: []Person{}})
	}
	return b
}

// tee writes and hashes.
type tee struct {
	w io.Writer
	h hash.Hash
}

func (t *tee) Write(p []byte) (int, error) {
	t.h.Write(p)
	return t.w.Write(p)
}

// Add shows an entry. They come in the order of their positions, each once.
func (b *Writer) Add(it Item) error {
	if it.Position <= b.last || it.Position > b.m.Through || (it.Number > 0) != (len(b.numbers) > 0) || it.Number > len(b.numbers) {
		return fmt.Errorf("bundle: position %d cannot be shown after %d", it.Position, b.last)
	}
	b.last = it.Position
	if err := b.chain(it.Record); err != nil {
		return err
	}
	line, err := it.line()
	if err != nil {
		return err
	}
	b.records.Write(line)
	if b.entries == 0 {
		writeRow(&b.table, Columns)
	}
	writeRow(&b.table, it.Row)
	b.report.event(it)
	b.entries++
	b.m.Entries++
	if b.entries >= partEntriesMax || b.records.Len() >= partBytesMax {
		return b.endPart()
	}
	return nil
}

// writeRow cannot fail: a buffer takes everything.
func writeRow(b *bytes.Buffer, row []string) {
	w := csv.NewWriter(b)
	_ = w.Write(row)
	w.Flush()
}

// chain counts the entry for its number and its person.
func (b *Writer) chain(r Record) error {
	if r.Number == 0 {
		return nil
	}
	n := &b.numbers[r.Number-1]
	n.Entries++
	h, err := readEntry(r.Entry)
	if err != nil || len(h.person) == 0 {
		return err
	}
	p := b.persons[string(h.person)]
	if p == nil {
		p = &Person{Person: slices.Clone(h.person)}
		b.persons[string(h.person)] = p
		n.Persons = append(n.Persons, *p)
	}
	leaf := ledger.LeafHash(r.Entry)
	p.Entries, p.Head = p.Entries+1, leaf[:]
	return nil
}

func (b *Writer) endPart() error {
	if b.entries == 0 {
		return nil
	}
	b.part++
	err := cmp.Or(b.file(partName(b.part)+".jsonl", b.records.Bytes()), b.file(partName(b.part)+".csv", b.table.Bytes()))
	b.records.Reset()
	b.table.Reset()
	b.entries = 0
	return err
}

func partName(n int) string { return fmt.Sprintf("%s%06d", entriesFolder, n) }

// Cite shows an entry about no number that others rest on, such as the publication
// of a rule pack. A second time is no time.
func (b *Writer) Cite(r Record) error {
	key := fmt.Sprint(r.Position)
	if b.citedAt[key] {
		return nil
	}
	b.citedAt[key] = true
	line, err := r.line()
	b.cited.Write(line)
	return err
}

// Complete shows that nothing about a number is left out: its directory token, the path
// that shows it to be the only one, and the proof that leads to the directory committed
// at a position, which is cited.
func (b *Writer) Complete(number int, at ledger.Position, token ledger.DirectoryToken, path []ledger.Hash, proof []byte) error {
	c := completeness{Number: number, Directory: uint64(at), Token: token[:], Proof: proof}
	for i := range path {
		c.TokenPath = append(c.TokenPath, path[i][:])
	}
	line, err := jsonLine(c)
	b.completed.Write(line)
	b.report.complete = true
	return err
}

// Timestamp adds what an authority said about the checkpoint.
func (b *Writer) Timestamp(s timestamp.Stamp) {
	b.stamp, b.report.stamped = &s, s.Said()+", says "+visible(s.By)
}

// NoTimestamp says that an authority was asked about the checkpoint, and gave no
// timestamp: the page tells so.
func (b *Writer) NoTimestamp() { b.report.unstamped = true }

// Pack adds the file of a rule pack, whose publication is cited.
func (b *Writer) Pack(file []byte) error {
	name := packName(sha256.Sum256(file))
	if b.packNames[name] {
		return nil
	}
	b.packNames[name] = true
	return b.file(name, file)
}

func packName(sum ledger.Hash) string { return packsFolder + sum.String() + ".yaml" }

// Decide shows a decision.
func (b *Writer) Decide(d Decision) error {
	line, err := jsonLine(d)
	if err != nil {
		return err
	}
	if n := b.decisions.Len(); n > 0 && n+len(line) > partBytesMax {
		if err := b.file(b.decisionsName(), b.decisions.Bytes()); err != nil {
			return err
		}
		b.told++
		b.decisions.Reset()
	}
	b.decisions.Write(line)
	b.report.decision(d)
	return nil
}

// decisionsName is the file of the open part of the decisions. The first one has the name
// that a bundle always has.
func (b *Writer) decisionsName() string {
	if b.told == 0 {
		return DecisionsFile
	}
	return fmt.Sprintf("%s%06d.jsonl", decisionsFolder, b.told+1)
}

func (b *Writer) file(name string, data []byte) error {
	b.sums[name] = sha256.Sum256(data)
	return b.zip.add(name, data)
}

// Finish writes everything but the last bytes, without which the zip is none, and
// gives those: they may go out once it is recorded that they do. sum is the SHA-256
// of the whole.
func (b *Writer) Finish(by note.Signer) (tail []byte, sum ledger.Hash, err error) {
	if err := b.endPart(); err != nil {
		return nil, sum, err
	}
	for i := range b.numbers {
		n := &b.numbers[i]
		for j, p := range n.Persons {
			n.Persons[j] = *b.persons[string(p.Person)]
		}
	}
	var numbers bytes.Buffer
	for _, n := range b.numbers {
		line, err := jsonLine(n)
		if err != nil {
			return nil, sum, err
		}
		numbers.Write(line)
	}
	page, err := b.report.render(b.m, b.numbers, func(name string) bool { _, ok := b.sums[name]; return ok })
	if err != nil {
		return nil, sum, err
	}
	if b.stamp != nil {
		if err := b.file(TimestampFile, b.stamp.Token); err != nil {
			return nil, sum, err
		}
	}
	for _, f := range []struct {
		name string
		data []byte
	}{{CheckpointFile, b.checkpoint.Note}, {NumbersFile, numbers.Bytes()}, {CitedFile, b.cited.Bytes()}, {CompletenessFile, b.completed.Bytes()},
		{b.decisionsName(), b.decisions.Bytes()}, {ReportFile, page}, {ReadmeFile, readme}, {ScriptFile, Script()}} {
		if err := b.file(f.name, f.data); err != nil {
			return nil, sum, err
		}
	}
	list := sumsFile(b.sums)
	if err := b.zip.add(SumsFile, list); err != nil {
		return nil, sum, err
	}
	b.m.Sums = sha256.Sum256(list)
	manifest, err := note.Sign(&note.Note{Text: b.m.text()}, by)
	if err != nil {
		return nil, sum, fmt.Errorf("bundle: sign: %w", err)
	}
	var last bytes.Buffer
	b.out.w = &last
	if err := cmp.Or(b.zip.add(ManifestFile, manifest), b.zip.close()); err != nil {
		return nil, sum, err
	}
	return last.Bytes(), ledger.Hash(b.out.h.Sum(nil)), nil
}

// Entries is how many were added.
func (b *Writer) Entries() int { return b.m.Entries }

// sumsFile lists files in the form of sha256sum, by name.
func sumsFile(sums map[string]ledger.Hash) []byte {
	names := make([]string, 0, len(sums))
	for name := range sums {
		names = append(names, name)
	}
	slices.Sort(names)
	var out bytes.Buffer
	for _, name := range names {
		fmt.Fprintf(&out, "%s  %s\n", sums[name], name)
	}
	return out.Bytes()
}
