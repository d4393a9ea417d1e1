package bundle

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/bundle/bundletest"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

var update = flag.Bool("update", false, "write the test vectors anew; those published never change")

const vectorsDir = "testdata/v1"

// vectors is testdata/v1/vectors.json.
type vectors struct {
	Entries []entryVector  `json:"entries"`
	Bundles []bundleVector `json:"bundles"`
}

type entryVector struct {
	Entry    string         `json:"entry"`
	Leaf     string         `json:"leaf"`
	Position uint64         `json:"position"`
	Person   string         `json:"person,omitempty"`
	Seq      uint64         `json:"personSeq,omitempty"`
	Prev     string         `json:"personPrev,omitempty"`
	Openings []openedVector `json:"openings,omitempty"`
}

type openedVector struct {
	Class      int32  `json:"class"`
	Field      string `json:"field"`
	Salt       string `json:"salt"`
	Value      string `json:"value"`
	Commitment string `json:"commitment"`
}

// bundleVector is a file, and either its claims or the claim that fails.
type bundleVector struct {
	File    string  `json:"file"`
	Claims  []Claim `json:"claims,omitempty"`
	Refused string  `json:"refused,omitempty"`
}

// plainBundle is a story's bundle whose texts for people are left out, so that they
// may get better without a published file changing.
func plainBundle(s *story, edit func(files), manifest func(*Manifest)) []byte {
	return plainOf(s, honest(s), edit, manifest)
}

func plainOf(s *story, zip []byte, edit func(files), manifest func(*Manifest)) []byte {
	return s.lie(zip, func(f files) {
		for _, name := range []string{ScriptFile, ReadmeFile, ReportFile} {
			f[name] = []byte("left out of this test vector\n")
		}
		if edit != nil {
			edit(f)
		}
	}, manifest)
}

// madeVectors makes everything that is published.
func madeVectors(t *testing.T) (v vectors, made map[string][]byte) {
	s := newStory(t)
	for i, raw := range s.entries {
		var e consentv1.Entry
		if err := proto.Unmarshal(raw, &e); err != nil {
			t.Fatal(err)
		}
		ev := entryVector{Entry: hex.EncodeToString(raw), Leaf: ledger.LeafHash(raw).String(), Position: e.GetPosition(), Person: hex.EncodeToString(e.GetPerson()),
			Seq: e.GetPersonSeq(), Prev: hex.EncodeToString(e.GetPersonPrev())}
		for _, p := range e.GetPersonal() {
			salt := salt(i+1, p.GetField())
			ev.Openings = append(ev.Openings, openedVector{int32(p.GetClass()), p.GetField(), hex.EncodeToString(salt[:]), hex.EncodeToString([]byte(s.values[i][p.GetField()])),
				hex.EncodeToString(p.GetCommitment())})
		}
		v.Entries = append(v.Entries, ev)
	}
	made = map[string][]byte{"keys": s.keys(), "numbers.zip": plainBundle(s, nil, nil)}
	drop := func(i int) func(files) {
		return func(f files) {
			editLines(f, firstPart, func(l [][]byte) [][]byte { return append(l[:i:i], l[i+1:]...) })
		}
	}
	count := func(m *Manifest) { m.Entries-- }
	made["refused/included.zip"] = plainBundle(s, func(f files) { editRecord(f, 0, func(r *Record) { r.Path[0][0] ^= 1 }) }, nil)
	made["refused/back-links.zip"] = plainBundle(s, drop(2), count)
	made["refused/count.zip"] = plainBundle(s, drop(6), count)
	made["refused/disclosed.zip"] = plainBundle(s, func(f files) { editRecord(f, 0, func(r *Record) { r.Opened[0].Value[3] ^= 1 }) }, nil)
	made["refused/packs.zip"] = plainBundle(s, func(f files) { f[packName(ledger.Hash(digest("no pack")))] = []byte("no pack") }, nil)
	made["refused/complete.zip"] = plainBundle(s, func(f files) {
		f[CompletenessFile] = bytes.Replace(f[CompletenessFile], []byte(`"number":2`), []byte(`"number":1`), 1)
	}, nil)
	// Since tokens are fixed by the token key.
	made["bound.zip"] = plainBundle(richStory(t), nil, nil)
	denied := denial(boundStory(t))
	made["refused/token.zip"] = plainBundle(denied, func(f files) { editPath(f, denied.tokens.Path(ann)) }, nil)
	made["refused/wordings.zip"] = plainBundle(richStory(t), func(f files) { f[wordingName(ledger.Hash(digest("no wording")))] = []byte("no wording") }, nil)
	made["refused/consistent.zip"] = plainBundle(richStory(t), func(f files) {
		f[ConsistencyFile] = bytes.Replace(f[ConsistencyFile], []byte("\n"), []byte("\n"+encode64(digest("x"))+"\n"), 1)
	}, nil)
	// Since bundles are timestamped.
	made["stamped.zip"] = plainBundle(stampedStory(t), nil, nil)
	made["refused/timestamped.zip"] = plainBundle(boundStory(t), func(f files) { f[TimestampFile] = stampedStory(t).stamp.Token }, nil)
	made["seller.zip"] = plainOf(s, ofSeller(s, s.sellerManifest(), 3, 5), nil, nil)
	made["refused/about.zip"] = plainOf(s, ofSeller(s, s.sellerManifest(), 3, 5), nil, func(m *Manifest) { m.Seller = "nobody" })
	made["refused/period.zip"] = plainOf(s, ofSeller(s, s.sellerManifest(), 3, 5), nil, func(m *Manifest) { m.To = began.Add(5 * time.Minute) })
	other := tellStory(newWorld(t, "another ledger"))
	made["refused/signed.zip"] = plainBundle(other, nil, nil)
	flipped := bytes.Clone(made["numbers.zip"])
	flipped[len(flipped)/2] ^= 0x10
	made["refused/flipped.zip"] = flipped
	return v, made
}

// TestVectors: what is published is what is made today, and both verifiers say of it
// what the vectors say. -update is for new ones.
func TestVectors(t *testing.T) {
	v, made := madeVectors(t)
	s := newStory(t)
	var names []string
	var zips [][]byte
	for name, data := range made {
		if strings.HasSuffix(name, ".zip") {
			names, zips = append(names, name), append(zips, data)
		}
		path := filepath.Join(vectorsDir, name)
		if *update {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s is not what is made today (%v)", path, err)
		}
	}
	verdicts, errs := both(t, s.world, zips...)
	for i, name := range names {
		b := bundleVector{File: name}
		if errs[i] != nil {
			b.Refused, _, _ = strings.Cut(errs[i].Error(), ":")
		} else {
			b.Claims = verdicts[i].Claims
		}
		if strings.HasPrefix(name, "refused/") != (errs[i] != nil) {
			t.Errorf("%s: %v", name, errs[i])
		}
		v.Bundles = append(v.Bundles, b)
	}
	compareVectors(t, v)
}

func compareVectors(t *testing.T, v vectors) {
	t.Helper()
	sortBundles(v.Bundles)
	doc, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	doc = append(doc, '\n')
	path := filepath.Join(vectorsDir, "vectors.json")
	if *update {
		if err := os.WriteFile(path, doc, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, doc) {
		t.Errorf("%s is not what is made today (%v)", path, err)
	}
}

// readVectors lets verify.py read the vectors of this package and those of package
// proof as a stranger would.
const readVectors = `
import io, json, os, sys
sys.path.insert(0, sys.argv[1])
import verify, verify_receipt
h = bytes.fromhex
wrong = count = 0

def same(what, got, want):
    global wrong, count
    count += 1
    if got != want:
        wrong += 1
        print(what, got, want)

def answer(f, *args):
    try:
        return f(*args)
    except (verify.Refused, verify_receipt.Refused):
        return None

own = json.load(open(sys.argv[2] + "/vectors.json"))
for v in own["entries"]:
    e = verify.Entry(h(v["entry"]))
    same("leaf", e.leaf.hex(), v["leaf"])
    same("entry", (e.position, e.person.hex(), e.seq, e.prev.hex()), (v["position"], v.get("person", ""), v.get("personSeq", 0), v.get("personPrev", "")))
    for o, part in zip(v.get("openings", []), e.parts):
        made = verify.commitment(o["class"], o["field"].encode(), h(o["salt"]), h(o["value"]))
        same("commitment", (made.hex(), part), (o["commitment"], (o["class"], o["field"].encode(), made)))

def read(name):
    return open(os.path.join(sys.argv[3], name), "rb").read()

proofs = json.loads(read("vectors.json"))
text = read(proofs["keys"]).decode()
keys = verify.parse_keys(text)
for v in proofs["leaves"]:
    same("leaf", verify.leaf_hash(verify.base(v["entry"])).hex(), v["leaf"])
for v in proofs["commitments"]:
    same("commitment", verify.commitment(v["class"], v["field"].encode(), h(v["salt"]), h(v["value"])).hex(), v["commitment"])
for v in proofs["checkpoints"]:
    same("checkpoint", verify.open_checkpoint(read(v["file"]), keys), (proofs["origin"], v["size"], h(v["root"])))
for v in proofs["receipts"]:
    same("receipt", verify_receipt.verify(read(v["file"]), text)[1][1].split(",")[0], "position %d" % v["position"])
for v in proofs["refused"]:
    if v["file"].endswith(".receipt"):
        same(v["file"], answer(verify_receipt.verify, read(v["file"]), text), None)
    if v["file"].endswith(".checkpoint"):
        same(v["file"], answer(verify.open_checkpoint, read(v["file"]), keys), None)
answers = json.loads(read("decisions.json"))
for v in answers["decisions"]:
    raw, asked = read(v["file"]), v.get("number")
    shown = dict(verify_receipt.verify(raw, text, asked))
    same(v["file"], (shown["decided"], shown["position"]), ("%s at %s, as decision %s" % (v["verdict"], v["decided"], v["id"].replace("-", "")),
	str(v["position"])))
    same(v["file"], "the one you gave" in shown["number"], asked is not None)
    same(v["file"], answer(verify_receipt.verify, raw, text, "+12125550199"), None)
    for i in range(0, len(raw), 9):
        changed = raw[:i] + bytes([raw[i] ^ 1]) + raw[i + 1:]
        same("byte %d of %s" % (i, v["file"]), answer(verify_receipt.verify, changed, text, asked), None)
for v in answers["refused"]:
    same(v["file"], answer(verify_receipt.verify, read(v["file"]), text), None)
print(count, wrong)
`

// TestVectorsInPython: entries, leaves, commitments, checkpoints and receipts, also of
// decisions.
func TestVectorsInPython(t *testing.T) {
	dir := t.TempDir()
	for name, script := range map[string][]byte{"verify.py": Script(), "verify_receipt.py": ReceiptScript()} {
		if err := os.WriteFile(filepath.Join(dir, name), script, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.CommandContext(t.Context(), bundletest.Python(t), "-c", readVectors, dir, vectorsDir, "../proof/testdata/v1").CombinedOutput()
	if err != nil || !strings.HasSuffix(string(out), " 0\n") || len(out) > 20 {
		t.Errorf("%v\n%s", err, out)
	}
}

func sortBundles(b []bundleVector) {
	slices.SortFunc(b, func(x, y bundleVector) int { return strings.Compare(x.File, y.File) })
}
