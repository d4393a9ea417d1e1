//go:build ignore

// Command mkzip makes zoneinfo.zip of a release of the tz database:
//
//	go run mkzip.go path/to/tzdata.zi
//
// tzdata.zi is the whole database as one text; distributions ship it with their
// compiled zones, and the release itself makes it. It names its version in its
// first line, which goes into the archive. The compiler zic must be installed.
// The same input gives the same archive, byte for byte.
package main

import (
	"archive/zip"
	"bytes"
	"io/fs"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: go run mkzip.go path/to/tzdata.zi")
	}
	if err := run(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func run(source string) error {
	text, err := os.ReadFile(source)
	if err != nil {
		return err
	}
	first, _, _ := strings.Cut(string(text), "\n")
	version, ok := strings.CutPrefix(first, "# version ")
	if !ok {
		log.Fatalf("%s does not begin with '# version': it is no tzdata.zi", source)
	}
	compiled, err := os.MkdirTemp("", "zoneinfo")
	if err != nil {
		return err
	}
	defer os.RemoveAll(compiled)
	// Fat files: the slim ones of some versions of zic are an hour wrong for a week
	// (America/Ojinaga in 2022, with the zic of glibc 2.36).
	if out, err := exec.Command("zic", "-b", "fat", "-d", compiled, source).CombinedOutput(); err != nil {
		log.Fatalf("zic: %v\n%s", err, out)
	}
	archive, err := pack(compiled, version)
	if err != nil {
		return err
	}
	return os.WriteFile("zoneinfo.zip", archive, 0o644)
}

// pack puts the version and every zone into one archive, in the order of their names.
func pack(folder, version string) ([]byte, error) {
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	add := func(name string, content []byte) error {
		f, err := w.Create(name)
		if err == nil {
			_, err = f.Write(content)
		}
		return err
	}
	if err := add("VERSION", []byte(version+"\n")); err != nil {
		return nil, err
	}
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		// Factory means that nobody has said where the machine is: no zone of a person.
		if err != nil || d.IsDir() || d.Name() == "Factory" {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		return add(filepath.ToSlash(name), content)
	})
	if err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil { // writes the index
		return nil, err
	}
	return out.Bytes(), nil
}
