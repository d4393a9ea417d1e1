package store

import "encoding/binary"

// Book names a set of numbers on the shelf.
type Book = [32]byte

// ShelfPageKey is the key of one page of a book; page is number >> 21.
func ShelfPageKey(b Book, page uint64) []byte { return key(SpaceShelfPage, b[:], u64(page)) }

// ParseShelfPageKey undoes ShelfPageKey.
func ParseShelfPageKey(k []byte) (b Book, page uint64, err error) {
	raw, err := body(SpaceShelfPage, k, len(b)+8)
	if err != nil {
		return b, 0, err
	}
	return Book(raw[:len(b)]), binary.BigEndian.Uint64(raw[len(b):]), nil
}

// ShelfPageRange is the range of all pages of a book.
func ShelfPageRange(b Book) (lo, hi []byte) { return PrefixRange(key(SpaceShelfPage, b[:])) }

// ShelfBookKey is the key that says a book is whole.
func ShelfBookKey(b Book) []byte { return key(SpaceShelfBook, b[:]) }

// ParseShelfBookKey undoes ShelfBookKey.
func ParseShelfBookKey(k []byte) (b Book, err error) {
	err = readID(b[:], SpaceShelfBook, k)
	return b, err
}
