package bundle

import (
	"bytes"
	"crypto/sha256"
	"slices"

	"golang.org/x/mod/sumdb/note"

	"github.com/consent-ledger/consent-ledger/ledger"
)

// files are a bundle taken apart.
type files map[string][]byte

func (w *world) unpack(zip []byte) files {
	z, err := openZip(bytes.NewReader(zip), int64(len(zip)))
	if err != nil {
		w.t.Fatal(err)
	}
	out := files{}
	for name := range z.files {
		if out[name], err = z.read(name); err != nil {
			w.t.Fatal(err)
		}
	}
	return out
}

// pack puts files together without looking into them.
func (f files) pack() []byte {
	var out bytes.Buffer
	z := zipWriter{w: &out}
	names := make([]string, 0, len(f))
	for name := range f {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := z.add(name, f[name]); err != nil {
			panic(err)
		}
	}
	if err := z.close(); err != nil {
		panic(err)
	}
	return out.Bytes()
}

// sign signs files as they are, as an operator who lies would.
func (w *world) sign(f files, edit func(*Manifest), by note.Signer) []byte {
	n, err := note.Open(f[ManifestFile], note.VerifierList(w.signing.Exports.Verifier))
	if err != nil {
		w.t.Fatal(err)
	}
	m, err := parseManifest(n.Text)
	if err != nil {
		w.t.Fatal(err)
	}
	delete(f, ManifestFile)
	delete(f, SumsFile)
	sums := map[string]ledger.Hash{}
	for name, data := range f {
		sums[name] = sha256.Sum256(data)
	}
	f[SumsFile] = sumsFile(sums)
	m.Sums = sha256.Sum256(f[SumsFile])
	if edit != nil {
		edit(&m)
	}
	if f[ManifestFile], err = note.Sign(&note.Note{Text: m.text()}, by); err != nil {
		w.t.Fatal(err)
	}
	return f.pack()
}

// lie is a bundle whose files were changed by who holds its keys.
func (w *world) lie(zip []byte, edit func(files), manifest func(*Manifest)) []byte {
	f := w.unpack(zip)
	if edit != nil {
		edit(f)
	}
	return w.sign(f, manifest, w.signing.Exports)
}

const firstPart = "entries/000001.jsonl"

// editLines changes the lines of a file.
func editLines(f files, name string, edit func([][]byte) [][]byte) {
	all := bytes.SplitAfter(f[name], []byte("\n"))
	f[name] = bytes.Join(edit(all[:len(all)-1]), nil)
}

// editRecord changes one record of the first part.
func editRecord(f files, i int, edit func(*Record)) {
	editLines(f, firstPart, func(l [][]byte) [][]byte {
		r, err := parseRecord(bytes.TrimSuffix(l[i], []byte("\n")))
		if err != nil {
			panic(err)
		}
		edit(&r)
		if l[i], err = r.line(); err != nil {
			panic(err)
		}
		return l
	})
}
