package rules

import (
	"fmt"
	"io/fs"
)

// EmbeddedFiles gives the files of the packs that come with the program, by id.
func EmbeddedFiles() (map[string][]byte, error) {
	names, err := fs.Glob(embedded, "packs/*.yaml")
	if err != nil {
		return nil, fmt.Errorf("rules: embedded packs: %w", err)
	}
	out := make(map[string][]byte, len(names))
	for _, name := range names {
		if out[fileID(name)], err = fs.ReadFile(embedded, name); err != nil {
			return nil, fmt.Errorf("rules: embedded packs: %w", err)
		}
	}
	return out, nil
}

// Hash is the SHA-256 of the file's bytes.
func (p *Pack) Hash() [32]byte { return p.hash }
