package bundle

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// hugeZip claims files without end: a gigabyte of directory behind the end record.
type hugeZip struct{ end []byte }

const hugeBytes = 3 << 30

func (h hugeZip) ReadAt(p []byte, at int64) (int, error) {
	clear(p)
	if start := int64(hugeBytes - len(h.end)); at >= start {
		return copy(p, h.end[at-start:]), nil
	}
	return len(p), nil
}

// TestHostileZips: whatever a zip claims of itself, it is refused, and in little memory.
func TestHostileZips(t *testing.T) {
	s := newStory(t)
	good := honest(s)
	edit := func(f func([]byte) []byte) []byte { return f(bytes.Clone(good)) }
	raw := func(names ...string) []byte {
		var out bytes.Buffer
		z := zipWriter{w: &out}
		for _, name := range names {
			f := zipFile{name: name, offset: uint32(z.at)}
			n, _ := out.Write(f.local())
			z.at += int64(n)
			z.files = append(z.files, f)
		}
		if err := z.close(); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	var zips [][]byte
	for name, b := range map[string][]byte{
		"nothing":          {},
		"no zip":           []byte(strings.Repeat("consent", 10)),
		"an empty zip":     zipEnd(0, 0, 0),
		"cut off":          good[:len(good)-1],
		"cut off in front": good[1:],
		"something behind": append(bytes.Clone(good), 0),
		"something before": append([]byte{0}, good...),
		"a comment":        edit(func(b []byte) []byte { b[len(b)-2] = 3; return append(b, "abc"...) }),
		"too many files": edit(func(b []byte) []byte {
			binary.LittleEndian.PutUint16(b[len(b)-12:], 0xffff)
			binary.LittleEndian.PutUint16(b[len(b)-14:], 0xffff)
			return b
		}),
		"a huge directory":  edit(func(b []byte) []byte { binary.LittleEndian.PutUint32(b[len(b)-10:], 1<<31); return b }),
		"compressed":        deflated(t, map[string]int64{ManifestFile: 100}),
		"a bomb":            deflated(t, map[string]int64{ManifestFile: 300 << 20}),
		"out of the folder": raw("../manifest"),
		"from the root":     raw("/manifest"),
		"a folder in it":    raw("entries/../manifest"),
		"a drive":           raw("c:manifest"),
		"backslashes":       raw(`entries\manifest`),
		"a folder":          raw("entries/"),
		"an empty name":     raw(""),
		"a long name":       raw(strings.Repeat("x", nameBytesMax+1)),
		"one name twice":    raw("manifest", "manifest"),
		"nearly one name":   raw("MANIFEST", "manifest"),
		"other letters":     raw("manifest\u00e9"),
		"a zero byte":       raw("manifest\x00.txt"),
	} {
		zips = append(zips, b)
		if _, err := verify(s.world, b); err == nil {
			t.Errorf("%s: it verifies", name)
		} else if !errors.Is(err, ErrForm) && !errors.Is(err, ErrRefuted) {
			t.Errorf("%s: %v is no refusal", name, err)
		}
	}
	both(t, s.world, zips...)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for _, end := range [][]byte{zipEnd(filesMax, hugeBytes-endBytes, 0), zipEnd(filesMax, filesMax*(directoryBytes+nameBytesMax), hugeBytes-endBytes-filesMax*(directoryBytes+nameBytesMax))} {
		if _, err := Verify(hugeZip{end}, hugeBytes, Trust{Keys: s.parsed()}); !errors.Is(err, ErrForm) {
			t.Errorf("a huge directory: %v", err)
		}
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 64<<20 {
		t.Errorf("a zip that claims 3 GB took %d MB", used>>20)
	}
}

// deflated is a zip of zeros as others write it.
func deflated(t *testing.T, sizes map[string]int64) []byte {
	t.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for name, size := range sizes {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(w, zeros{}, size); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestOrdinaryToolsRead: what we write is a zip for everybody, and SHA256SUMS is
// what sha256sum checks.
func TestOrdinaryToolsRead(t *testing.T) {
	s := newStory(t)
	b := honest(s)
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	want := s.unpack(b)
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(data, want[f.Name]) {
			t.Errorf("%s: archive/zip reads something else (%v)", f.Name, err)
		}
		path := filepath.Join(dir, f.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := exec.CommandContext(t.Context(), "sha256sum", "-c", "--strict", SumsFile)
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("sha256sum: %v\n%s", err, out)
	}
}
