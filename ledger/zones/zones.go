// Package zones is the one clock-setting of the program: time zones from one
// pinned release of the tz database, which travels inside the binary.
//
// A decision names the release it was made with, and must come out the same on
// every machine and years later. The zones of the machine, or of whatever Go
// built the program, do neither: in November 2026 those of Go 1.26 put western
// Canada an hour back, which would have let calls through after nine at night.
// So nobody else calls time.LoadLocation; test/house guards it.
package zones

import (
	"archive/zip"
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// zoneinfo is made by mkzip.go; README.md says from what.
//
//go:embed zoneinfo.zip
var zoneinfo []byte

// versionFile is the entry of the archive that names its release.
const versionFile = "VERSION"

// ErrUnknown is matched by the error of Load for a name that is no zone of the
// pinned release. What depends on it is not known, and blocks.
var ErrUnknown = errors.New("zones: no such time zone")

// archive is the index of zoneinfo, read once.
var archive = sync.OnceValue(func() map[string]*zip.File {
	r, err := zip.NewReader(bytes.NewReader(zoneinfo), int64(len(zoneinfo)))
	if err != nil {
		panic("zones: the embedded archive is damaged: " + err.Error())
	}
	files := make(map[string]*zip.File, len(r.File))
	for _, f := range r.File {
		files[f.Name] = f
	}
	return files
})

// loaded holds zones by name. Only names of the release get in, so it is bounded.
var loaded sync.Map // string -> *time.Location

// Load gives a zone by its IANA name, written exactly: America/New_York. Old
// names (US/Eastern) are names too. The same name always gives the same pointer.
// The error matches ErrUnknown; the empty name and "Local" are unknown. Safe for
// concurrent use; a zone loaded before costs a look-up.
func Load(name string) (*time.Location, error) {
	if l, ok := loaded.Load(name); ok {
		return l.(*time.Location), nil
	}
	f := archive()[name]
	if f == nil || name == versionFile {
		return nil, fmt.Errorf("%w: %q; write an IANA name such as America/New_York", ErrUnknown, name)
	}
	content, err := read(f)
	if err != nil {
		return nil, fmt.Errorf("%w: %q: %w", ErrUnknown, name, err)
	}
	l, err := time.LoadLocationFromTZData(name, content)
	if err != nil {
		return nil, fmt.Errorf("%w: %q: %w", ErrUnknown, name, err)
	}
	first, _ := loaded.LoadOrStore(name, l)
	return first.(*time.Location), nil
}

// Version is the release of the tz database: "2026f".
func Version() string { return version() }

var version = sync.OnceValue(func() string {
	content, err := read(archive()[versionFile])
	if err != nil {
		panic("zones: the embedded archive is damaged: " + err.Error())
	}
	return strings.TrimSpace(string(content))
})

func read(f *zip.File) ([]byte, error) {
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}
