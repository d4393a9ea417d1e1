package calendar

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"

	"github.com/goccy/go-yaml"
)

//go:embed shared.yaml
var sharedYAML []byte

// Shared gives the calendars that come with the program, which packs name or
// include: us-federal and the like; see shared.yaml.
func Shared() (*Set, error) { return shared() }

var shared = sync.OnceValues(func() (*Set, error) { return Parse("shared.yaml", sharedYAML) })

// SharedSHA256 is the hash of their file, hex: a decision that a shared calendar
// took part in depends on it as on its pack's.
func SharedSHA256() string {
	sum := sha256.Sum256(sharedYAML)
	return hex.EncodeToString(sum[:])
}

// Parse reads a file of calendars, strictly: an unknown or doubled key is an error.
func Parse(name string, raw []byte) (set *Set, err error) {
	defer func() {
		// The YAML library panics on some text that is no YAML.
		if r := recover(); r != nil {
			set, err = nil, fmt.Errorf("calendar: %s: cannot be read as YAML: %v", name, r)
		}
	}()
	var file struct {
		Calendars []Spec `yaml:"calendars"`
	}
	if err := yaml.NewDecoder(bytes.NewReader(raw), yaml.Strict()).Decode(&file); err != nil {
		return nil, fmt.Errorf("calendar: %s: %w", name, err)
	}
	set, problems := NewSet(file.Calendars, nil)
	var errs []error
	for _, p := range problems {
		errs = append(errs, fmt.Errorf("calendar: %s: calendars%w", name, p))
	}
	return set, errors.Join(errs...)
}
