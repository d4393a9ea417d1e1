package proof_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"google.golang.org/protobuf/proto"

	"github.com/consent-ledger/consent-ledger/ledger"
	ours "github.com/consent-ledger/consent-ledger/ledger/proof"
	"github.com/consent-ledger/consent-ledger/ledger/seal"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

var update = flag.Bool("update", false, "write the vectors that are missing; it never changes one")

const (
	vectorsDir = "testdata/v1"
	goldenOne  = "../../test/golden/v1/entry_consent_granted.binpb"
)

// vectors is vectors.json; testdata/README.md explains each field to whoever writes
// another implementation.
type vectors struct {
	Origin      string             `json:"origin"`
	Keys        string             `json:"keys"`
	Leaves      []leafVector       `json:"leaves"`
	Commitments []commitmentVector `json:"commitments"`
	Roots       []rootVector       `json:"roots"`
	Checkpoints []checkpointVector `json:"checkpoints"`
	Consistency []consistentVector `json:"consistency"`
	Inclusions  []inclusionVector  `json:"inclusions"`
	Receipts    []receiptVector    `json:"receipts"`
	Refused     []refusedVector    `json:"refused"`
}

type leafVector struct {
	Entry string `json:"entry"` // base64
	Leaf  string `json:"leaf"`  // hex
}

type commitmentVector struct {
	Class      int    `json:"class"`
	Field      string `json:"field"`
	Salt       string `json:"salt"`
	Value      string `json:"value"`
	Commitment string `json:"commitment"`
}

type rootVector struct {
	Size int64  `json:"size"`
	Root string `json:"root"`
}

type checkpointVector struct {
	File string `json:"file"`
	Size int64  `json:"size"`
	Root string `json:"root"`
}

type consistentVector struct {
	From  int64    `json:"from"`
	To    int64    `json:"to"`
	Proof []string `json:"proof"`
}

type inclusionVector struct {
	File     string          `json:"file"`
	Position ledger.Position `json:"position"`
	Leaf     string          `json:"leaf"`
	Size     int64           `json:"size"`
}

type receiptVector struct {
	File       string          `json:"file"`
	Position   ledger.Position `json:"position"`
	Leaf       string          `json:"leaf"`
	RecordedAt time.Time       `json:"recordedAt"`
	EntryID    string          `json:"entryId,omitempty"`
}

type refusedVector struct {
	File string `json:"file"`
	// Leaf is what is to be proven, if the file does not say.
	Leaf string `json:"leaf,omitempty"`
	Why  string `json:"why"`
}

const vectorLeaves = 20

// make gives the vectors and the files they name, byte for byte the same each time.
func makeVectors(t *testing.T) (vectors, map[string][]byte) {
	t.Helper()
	k := keys(t)
	files := map[string][]byte{"keys": []byte("# checkpoints\n" + k.Log.Public + "\n# receipts\n" + k.Receipts.Public + "\n")}
	v := vectors{Origin: k.Origin, Keys: "keys"}
	m, leaves := grow(t, vectorLeaves)
	for i, leaf := range leaves {
		v.Leaves = append(v.Leaves, leafVector{base64.StdEncoding.EncodeToString([]byte("entry " + decimal(i))), hex.EncodeToString(leaf[:])})
	}
	for size := int64(0); size <= vectorLeaves; size++ {
		root, err := tlog.TreeHash(size, m)
		if err != nil {
			t.Fatal(err)
		}
		v.Roots = append(v.Roots, rootVector{size, hex.EncodeToString(root[:])})
	}
	for class := range 5 {
		salt := [32]byte(bytes.Repeat([]byte{byte(class + 1)}, 32))
		field, value := []string{"1", "24.3", "24.30", "7.1.2", ""}[class], []string{"+12025550143", "", "YES", "a\nb", "\x00"}[class]
		h := seal.Commitment(consentv1.PersonalClass(class+1), field, salt, []byte(value))
		v.Commitments = append(v.Commitments, commitmentVector{class + 1, field, hex.EncodeToString(salt[:]), hex.EncodeToString([]byte(value)), h.String()})
	}
	for _, size := range []int64{1, 7, 16, 20} {
		c := signAt(t, m, size)
		name := "checkpoint." + decimal(int(size))
		files[name] = c.Note
		v.Checkpoints = append(v.Checkpoints, checkpointVector{name, size, hex.EncodeToString(c.Root[:])})
	}
	for _, pair := range [][2]int64{{1, 7}, {7, 16}, {7, 20}, {16, 20}, {20, 20}} {
		v.Consistency = append(v.Consistency, consistencyOf(t, m, pair[0], pair[1]))
	}
	for _, at := range []ledger.Position{1, 8, 20} {
		name := decimal(int(at)) + ".tlog-proof"
		files[name] = include(t, m, vectorLeaves, at).Encode()
		v.Inclusions = append(v.Inclusions, inclusionVector{name, at, hex.EncodeToString(leaves[at-1][:]), vectorLeaves})
	}
	v.receipts(t, files)
	v.refuse(files, hex.EncodeToString(leaves[7][:]))
	return v, files
}

func decimal(n int) string { return strconv.Itoa(n) }

func consistencyOf(t *testing.T, m *memory, from, to int64) consistentVector {
	t.Helper()
	out := consistentVector{From: from, To: to, Proof: []string{}}
	if from == to {
		return out
	}
	p, err := tlog.ProveTree(to, from, m)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range p {
		out.Proof = append(out.Proof, base64.StdEncoding.EncodeToString(h[:]))
	}
	return out
}

// receipts adds those of a real entry, alone in its commit, and of one among many.
func (v *vectors) receipts(t *testing.T, files map[string][]byte) {
	t.Helper()
	raw, err := os.ReadFile(goldenOne)
	if err != nil {
		t.Fatal(err)
	}
	var msg consentv1.Entry
	if err := proto.Unmarshal(raw, &msg); err != nil {
		t.Fatal(err)
	}
	real := &ledger.Entry{Position: ledger.Position(msg.GetPosition()), RecordedAt: msg.GetRecordedAt().AsTime(), ID: ledger.EntryID(msg.GetEntryId()),
		Leaf: ledger.LeafHash(raw), Msg: &msg, Bytes: raw}
	many := commitOf(t, 41, 6)
	for _, r := range []struct {
		name    string
		entries []*ledger.Entry
		i       int
		whole   bool
	}{{"granted.receipt", []*ledger.Entry{real}, 0, true}, {"44.receipt", many, 3, true}, {"46-hash-only.receipt", many, 5, false}} {
		e := r.entries[r.i]
		files[r.name] = receiptOf(t, r.entries, r.i, r.whole).Encode()
		out := receiptVector{File: r.name, Position: e.Position, Leaf: e.Leaf.String(), RecordedAt: e.RecordedAt}
		if r.whole {
			out.EntryID = e.ID.String()
		}
		v.Receipts = append(v.Receipts, out)
	}
}

// refuse adds files that look right and are not.
func (v *vectors) refuse(files map[string][]byte, leaf8 string) {
	replace := func(from, old, new string) []byte {
		out := strings.Replace(string(files[from]), old, new, 1)
		if out == string(files[from]) {
			panic("nothing to replace in " + from)
		}
		return []byte(out)
	}
	lines := func(from string, drop int) []byte {
		l := strings.SplitAfter(string(files[from]), "\n")
		return []byte(strings.Join(slices.Delete(l, drop, drop+1), ""))
	}
	for _, r := range []struct {
		name, leaf, why string
		file            []byte
	}{
		{"moved.receipt", "", "the position is another one of the same commit", replace("44.receipt", "position 44", "position 45")},
		{"beyond.receipt", "", "the position is not in the commit", replace("46-hash-only.receipt", "position 46", "position 47")},
		{"shorter-path.receipt", "", "a hash of the path is missing", lines("44.receipt", 3)},
		{"later.receipt", "", "the signed time was changed", replace("44.receipt", "2026-03-01T12:00:00.25Z", "2026-03-01T12:00:00.26Z")},
		{"lax-number.receipt", "", "a number with a leading zero", replace("44.receipt", "position 44", "position 044")},
		{"no-newline.receipt", "", "the last newline is missing", bytes.TrimSuffix(files["44.receipt"], []byte("\n"))},
		{"moved.tlog-proof", leaf8, "the index is another one", replace("8.tlog-proof", "index 7", "index 6")},
		{"grown.tlog-proof", leaf8, "the signed size was changed", replace("8.tlog-proof", "\n20\n", "\n21\n")},
		{"other-leaf.tlog-proof", leaf8, "the proof is of another entry", files["1.tlog-proof"]},
		{"extension.checkpoint", "", "a line was added", replace("checkpoint.20", "\n\n", "\nmore\n\n")},
		{"lax-size.checkpoint", "", "a size with a leading zero", replace("checkpoint.20", "\n20\n", "\n020\n")},
	} {
		name := "refused/" + r.name
		files[name] = r.file
		v.Refused = append(v.Refused, refusedVector{name, r.leaf, r.why})
	}
}

// TestVectorsAreStable: what was published once is what today's program makes.
func TestVectorsAreStable(t *testing.T) {
	v, files := makeVectors(t)
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	files["vectors.json"] = b.Bytes()
	stay(t, files)
}

// stay holds files of vectors to what was published; what is new is written with
// -update, and never written again.
func stay(t *testing.T, files map[string][]byte) {
	t.Helper()
	for name, want := range files {
		path := filepath.Join(vectorsDir, name)
		have, err := os.ReadFile(path)
		if *update && errors.Is(err, fs.ErrNotExist) {
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, want, 0o644)); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%v; for a new vector run: go test ./ledger/proof -update", err)
		}
		if !bytes.Equal(have, want) {
			t.Errorf("%s is not what today's program makes; what was published must stay: begin v2", path)
		}
	}
}

// vector is a published file.
func vector(t *testing.T, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(vectorsDir, name))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestVectors reads the files as a stranger would, and knows nothing of how they
// were made.
func TestVectors(t *testing.T) {
	var v vectors
	if err := json.Unmarshal(vector(t, "vectors.json"), &v); err != nil {
		t.Fatal(err)
	}
	trusted, err := ours.ParseKeys(vector(t, v.Keys))
	if err != nil {
		t.Fatal(err)
	}
	log, err := trusted.Log()
	if err != nil {
		t.Fatal(err)
	}
	receipts, err := trusted.Receipts()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range v.Leaves {
		entry, err := base64.StdEncoding.DecodeString(l.Entry)
		if err != nil || ledger.LeafHash(entry).String() != l.Leaf {
			t.Errorf("leaf of %s: %v", l.Entry, err)
		}
	}
	at := map[int64]ours.Checkpoint{}
	for _, c := range v.Checkpoints {
		got, err := ours.OpenCheckpoint(vector(t, c.File), log)
		if err != nil || got.Size != c.Size || hex.EncodeToString(got.Root[:]) != c.Root || v.Roots[c.Size].Root != c.Root {
			t.Errorf("%s: %v", c.File, err)
		}
		at[c.Size] = got
	}
	for _, c := range v.Consistency {
		var p tlog.TreeProof
		for _, s := range c.Proof {
			h, err := tlog.ParseHash(s)
			if err != nil {
				t.Fatal(err)
			}
			p = append(p, h)
		}
		if err := at[c.To].Consistent(at[c.From], p); err != nil {
			t.Errorf("%d to %d: %v", c.From, c.To, err)
		}
	}
	for _, i := range v.Inclusions {
		p, err := ours.DecodeInclusion(vector(t, i.File))
		if err != nil || p.Position != i.Position {
			t.Fatalf("%s: %v", i.File, err)
		}
		if c, err := p.Check(leafOf(t, i.Leaf), log); err != nil || c.Size != i.Size {
			t.Errorf("%s: %v", i.File, err)
		}
	}
	for _, r := range v.Receipts {
		got, err := ours.DecodeReceipt(vector(t, r.File))
		if err != nil {
			t.Fatalf("%s: %v", r.File, err)
		}
		p, err := got.Check(receipts)
		if err != nil || p.Position != r.Position || p.Leaf.String() != r.Leaf || !p.RecordedAt.Equal(r.RecordedAt) || (p.Entry != nil) != (r.EntryID != "") {
			t.Errorf("%s: %+v, %v", r.File, p, err)
		}
	}
	for _, r := range v.Refused {
		if err := refusedBy(t, r, vector(t, r.File), log, receipts); err == nil {
			t.Errorf("%s was accepted, although %s", r.File, r.Why)
		}
	}
}

func leafOf(t *testing.T, s string) ledger.Hash {
	t.Helper()
	raw, err := hex.DecodeString(s)
	if err != nil || len(raw) != 32 {
		t.Fatalf("%q is no leaf", s)
	}
	return ledger.Hash(raw)
}

// refusedBy gives the error with which a file is refused, by what its name says it is.
func refusedBy(t *testing.T, r refusedVector, file []byte, log, receipts note.Verifier) error {
	t.Helper()
	switch filepath.Ext(r.File) {
	case ".receipt":
		got, err := ours.DecodeReceipt(file)
		if err == nil {
			_, err = got.Check(receipts)
		}
		return err
	case ".tlog-proof":
		got, err := ours.DecodeInclusion(file)
		if err == nil {
			_, err = got.Check(leafOf(t, r.Leaf), log)
		}
		return err
	}
	_, err := ours.OpenCheckpoint(file, log)
	return err
}
