package listfile

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

const (
	// expansionMax is how much larger a list may be than its zip. Lists of
	// neighbouring numbers reach some 20; a bomb begins at 1,000.
	expansionMax = 100
	// expansionFree is what any zip may hold, however small it is.
	expansionFree = 1 << 20
)

// ErrArchive: the zip is damaged, or holds anything but one list.
var ErrArchive = errors.New("zip")

// Member is the list in a file.
type Member struct {
	// Name of the list itself.
	Name string
	// Open begins to read it.
	Open func() (io.ReadCloser, error)
}

// Unpack finds the list in a file: the file itself, or the one member of a zip
// whose name ends in .txt or .csv. Directories and other members, which archive
// tools add, are passed over; two lists are refused, because a version is one.
func Unpack(name string, r io.ReaderAt, size int64) (Member, error) {
	start := make([]byte, 4)
	if n, _ := r.ReadAt(start, 0); n == len(start) { // what is shorter is no archive; what cannot be read shows soon
		if form := packedBy(start); form != "" {
			return Member{}, fmt.Errorf("%w: the file is packed by %s, not by zip; unpack it first", ErrArchive, form)
		}
	}
	if !strings.EqualFold(path.Ext(name), ".zip") {
		if string(start) == "PK\x03\x04" {
			return Member{}, fmt.Errorf("%w: the file is a ZIP or an Excel file and its name does not end in .zip; save it as CSV, or name it so", ErrArchive)
		}
		return Member{name, func() (io.ReadCloser, error) { return io.NopCloser(io.NewSectionReader(r, 0, size)), nil }}, nil
	}
	z, err := zip.NewReader(r, size)
	if err != nil {
		return Member{}, fmt.Errorf("%w: %w; it is damaged or cut off: fetch it again", ErrArchive, err)
	}
	var list *zip.File
	for _, f := range z.File {
		if !isList(f.Name) {
			continue
		}
		if list != nil {
			return Member{}, fmt.Errorf("%w: it holds two lists; unpack it and name the one that is meant", ErrArchive)
		}
		list = f
	}
	if list == nil {
		return Member{}, fmt.Errorf("%w: it holds no .txt or .csv file", ErrArchive)
	}
	limit := size*expansionMax + expansionFree
	if list.UncompressedSize64 > uint64(limit) {
		return Member{}, errBomb
	}
	return Member{list.Name, func() (io.ReadCloser, error) { return openZipped(list, limit) }}, nil
}

// isList tells by a member's name whether it is a list. What macOS puts beside each file
// bears its name behind a dot and an underscore.
func isList(name string) bool {
	ext := strings.ToLower(path.Ext(name))
	return (ext == ".txt" || ext == ".csv") && !strings.HasPrefix(path.Base(name), "._")
}

// packedBy tells what else than zip a file is packed by, by its first bytes.
func packedBy(start []byte) string {
	for magic, form := range map[string]string{"\x1f\x8b": "gzip", "\x28\xb5\x2f\xfd": "zstd", "\xfd7zX": "xz", "BZh": "bzip2", "7z\xbc\xaf": "7z",
		"Rar!": "RAR"} {
		if strings.HasPrefix(string(start), magic) {
			return form
		}
	}
	return ""
}

var errBomb = fmt.Errorf("%w: its list is over %d times its own size, which no list is", ErrArchive, expansionMax)

// openZipped reads a member and believes nothing that the zip says of its size.
func openZipped(f *zip.File, limit int64) (io.ReadCloser, error) {
	r, err := f.Open()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrArchive, err)
	}
	return struct {
		io.Reader
		io.Closer
	}{&bounded{r: r, left: limit, err: errBomb}, r}, nil
}
