package bundle

import (
	"io"
	"maps"
	"slices"
	"strings"
)

// Entries visits the exact bytes of every entry in a bundle, also those that others
// cite. Nothing is verified: it is for who compares them with a tree of its own.
func Entries(r io.ReaderAt, size int64, visit func(entry []byte) error) error {
	z, err := openZip(r, size)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(z.files)) {
		if name != CitedFile && (!strings.HasPrefix(name, entriesFolder) || !strings.HasSuffix(name, ".jsonl")) {
			continue
		}
		file, err := z.read(name)
		if err != nil {
			return err
		}
		err = lines(file, func(line []byte) error {
			r, err := parseRecord(line)
			if err != nil {
				return err
			}
			return visit(r.Entry)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
