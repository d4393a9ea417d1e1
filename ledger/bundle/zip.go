package bundle

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"sort"
	"strings"
)

// The zip is in the one form that docs/reference/bundle.md gives: files stored and
// not compressed, one behind the other without a byte between, all times the first
// of 1980, no comments, no extra fields, names in order in the directory. So the
// same files are the same bytes on every machine, no byte can be changed unseen,
// nothing unpacks to more than it is, and every unzip program reads it.
const (
	localSignature     = 0x04034b50
	directorySignature = 0x02014b50
	endSignature       = 0x06054b50

	localBytes     = 30
	directoryBytes = 46
	endBytes       = 22

	zipVersion = 10     // stored files need no more
	zipDate    = 0x0021 // 1 January 1980

	// FileBytesMax bounds one file: what a verifier has in memory at a time.
	FileBytesMax = 64 << 20
	// zipBytesMax keeps offsets in 32 bits.
	zipBytesMax = 1<<32 - 1
	// filesMax keeps their number in 16 bits.
	filesMax = 1<<16 - 2
	// nameBytesMax bounds a file's name.
	nameBytesMax = 200
)

// zipFile is one file as the directory lists it.
type zipFile struct {
	name   string
	crc    uint32
	size   uint32
	offset uint32
}

// checkName refuses names that could lead out of a folder, or mean two files.
func checkName(name string) error {
	ok := name != "" && len(name) <= nameBytesMax
	for _, c := range name {
		ok = ok && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("._/-", c))
	}
	for part := range strings.SplitSeq(name, "/") {
		ok = ok && part != "" && part != "." && part != ".."
	}
	if !ok {
		return form("a file whose name is not one of a bundle")
	}
	return nil
}

// local is what stands before a file's bytes.
func (f zipFile) local() []byte {
	b := binary.LittleEndian.AppendUint32(make([]byte, 0, localBytes+len(f.name)), localSignature)
	b = f.common(b)
	return append(b, f.name...)
}

// listed is the file in the directory.
func (f zipFile) listed() []byte {
	b := binary.LittleEndian.AppendUint32(make([]byte, 0, directoryBytes+len(f.name)), directorySignature)
	b = binary.LittleEndian.AppendUint16(b, zipVersion)
	b = f.common(b)
	b = append(b, make([]byte, 2+2+2+4)...) // comment, disk, attributes
	b = binary.LittleEndian.AppendUint32(b, f.offset)
	return append(b, f.name...)
}

// common is what both have: version, flags, method, time, date, sum, sizes, lengths.
func (f zipFile) common(b []byte) []byte {
	b = binary.LittleEndian.AppendUint16(b, zipVersion)
	b = append(b, 0, 0, 0, 0, 0, 0)
	b = binary.LittleEndian.AppendUint16(b, zipDate)
	b = binary.LittleEndian.AppendUint32(b, f.crc)
	b = binary.LittleEndian.AppendUint32(b, f.size)
	b = binary.LittleEndian.AppendUint32(b, f.size)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(f.name)))
	return append(b, 0, 0)
}

// zipEnd is the last record of a zip.
func zipEnd(files int, size, offset uint32) []byte {
	b := binary.LittleEndian.AppendUint32(make([]byte, 0, endBytes), endSignature)
	b = append(b, 0, 0, 0, 0)
	b = binary.LittleEndian.AppendUint16(b, uint16(files))
	b = binary.LittleEndian.AppendUint16(b, uint16(files))
	b = binary.LittleEndian.AppendUint32(b, size)
	b = binary.LittleEndian.AppendUint32(b, offset)
	return append(b, 0, 0)
}

// zipWriter writes files as they come and keeps only what the directory needs.
type zipWriter struct {
	w     io.Writer
	at    int64
	files []zipFile
}

// add writes one file.
func (z *zipWriter) add(name string, data []byte) error {
	if err := checkName(name); err != nil {
		return err
	}
	if len(data) > FileBytesMax || z.at+int64(len(data)) > zipBytesMax-(64<<20) || len(z.files) >= filesMax {
		return fmt.Errorf("%w: more than 4 GB, or a file of more than %d MB", ErrTooLarge, FileBytesMax>>20)
	}
	f := zipFile{name: name, crc: crc32.ChecksumIEEE(data), size: uint32(len(data)), offset: uint32(z.at)}
	for _, part := range [][]byte{f.local(), data} {
		n, err := z.w.Write(part)
		z.at += int64(n)
		if err != nil {
			return err
		}
	}
	z.files = append(z.files, f)
	return nil
}

// close writes the directory.
func (z *zipWriter) close() error {
	sort.Slice(z.files, func(i, j int) bool { return z.files[i].name < z.files[j].name })
	var b bytes.Buffer
	for _, f := range z.files {
		b.Write(f.listed())
	}
	b.Write(zipEnd(len(z.files), uint32(b.Len()), uint32(z.at)))
	_, err := z.w.Write(b.Bytes())
	return err
}

// zipReader reads a zip that a zipWriter could have written, and no other.
type zipReader struct {
	r     io.ReaderAt
	files map[string]zipFile
}

// openZip reads the directory and checks that every byte outside the files is what
// it must be. It takes memory for the directory alone, which the size bounds.
func openZip(r io.ReaderAt, size int64) (*zipReader, error) {
	if size < endBytes || size > zipBytesMax {
		return nil, form("a file of %d bytes", size)
	}
	end := make([]byte, endBytes)
	if _, err := r.ReadAt(end, size-endBytes); err != nil {
		return nil, err
	}
	count, length, offset := int(binary.LittleEndian.Uint16(end[10:])), binary.LittleEndian.Uint32(end[12:]), binary.LittleEndian.Uint32(end[16:])
	if count > filesMax || !bytes.Equal(end, zipEnd(count, length, offset)) || int64(offset)+int64(length) != size-endBytes ||
		int64(length) > int64(count)*(directoryBytes+nameBytesMax) {
		return nil, form("it is no zip of a bundle, or was cut off")
	}
	listed := make([]byte, length)
	if _, err := r.ReadAt(listed, int64(offset)); err != nil {
		return nil, err
	}
	z := &zipReader{r: r, files: make(map[string]zipFile, count)}
	files, err := z.directory(listed, count)
	if err != nil {
		return nil, err
	}
	return z, z.layout(files, offset)
}

// directory reads the list of files, whose names are in order and differ in more
// than case.
func (z *zipReader) directory(listed []byte, count int) ([]zipFile, error) {
	files, last, folded := make([]zipFile, 0, count), "", make(map[string]bool, count)
	for range count {
		if len(listed) < directoryBytes {
			return nil, form("a directory cut off")
		}
		n := int(binary.LittleEndian.Uint16(listed[28:]))
		if len(listed) < directoryBytes+n {
			return nil, form("a directory cut off")
		}
		f := zipFile{name: string(listed[directoryBytes : directoryBytes+n]), crc: binary.LittleEndian.Uint32(listed[16:]),
			size: binary.LittleEndian.Uint32(listed[20:]), offset: binary.LittleEndian.Uint32(listed[42:])}
		if err := checkName(f.name); err != nil {
			return nil, err
		}
		fold := strings.ToLower(f.name)
		if f.name <= last || folded[fold] || f.size > FileBytesMax || !bytes.Equal(listed[:directoryBytes+n], f.listed()) {
			return nil, form("a directory that is not in its one form")
		}
		last, folded[fold] = f.name, true
		listed, files, z.files[f.name] = listed[directoryBytes+n:], append(files, f), f
	}
	if len(listed) > 0 {
		return nil, form("bytes behind the directory")
	}
	return files, nil
}

// layout checks that the files fill the zip up to its directory, without gap or
// overlap.
func (z *zipReader) layout(files []zipFile, end uint32) error {
	sort.Slice(files, func(i, j int) bool { return files[i].offset < files[j].offset })
	at := int64(0)
	for _, f := range files {
		want := f.local()
		if int64(f.offset) != at || at+int64(len(want))+int64(f.size) > int64(end) {
			return form("files that overlap, or bytes between them")
		}
		got := make([]byte, len(want))
		if _, err := z.r.ReadAt(got, at); err != nil {
			return err
		}
		if !bytes.Equal(got, want) {
			return form("the head of a file is not in its one form")
		}
		at += int64(len(want)) + int64(f.size)
	}
	if at != int64(end) {
		return form("bytes between the files and the directory")
	}
	return nil
}

// read gives a file's bytes.
func (z *zipReader) read(name string) ([]byte, error) {
	f, ok := z.files[name]
	if !ok {
		return nil, form("there is no %s", name)
	}
	data := make([]byte, f.size)
	if _, err := z.r.ReadAt(data, int64(f.offset)+localBytes+int64(len(name))); err != nil {
		return nil, err
	}
	if crc32.ChecksumIEEE(data) != f.crc {
		return nil, refuted("%s was changed", name)
	}
	return data, nil
}
