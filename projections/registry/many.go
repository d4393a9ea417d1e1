package registry

import (
	"slices"
	"time"

	"github.com/consent-ledger/consent-ledger/projections/rules"
)

// manyLists is how many registries fit into what AppendLists says of a number, two bits each.
const manyLists = 31

// What AppendLists says of a registry.
const (
	listed     = 1
	notLoaded  = 2
	listedBits = 2
)

// AppendLists appends, for each number, what the lists say in so many bits. Numbers of equal
// bits have equal answers (AppendAnswers), unless it is rules.ListsOwn: then only AppendAnswers
// tells. Look-ups of a version are made many at a time; ascending numbers are the
// fastest.
func (s *Snapshot) AppendLists(dst []uint64, numbers []uint64, seller string, at time.Time) []uint64 {
	begin := len(dst)
	dst = slices.Grow(dst, len(numbers))[:begin+len(numbers)]
	out := dst[begin:]
	clear(out)
	for i := range s.lists {
		if i == manyLists {
			for k := range out {
				out[k] = rules.ListsOwn
			}
			break
		}
		s.lists[i].appendLists(out, listedBits*i, numbers, seller, at)
	}
	return dst
}

// appendLists sets the bits of one list.
func (l *list) appendLists(out []uint64, shift int, numbers []uint64, seller string, at time.Time) {
	var on [batchNumbers]bool
	v := l.common(seller, at)
	for k := 0; k < len(numbers); k += batchNumbers {
		batch := numbers[k:min(k+batchNumbers, len(numbers))]
		if v != nil {
			v.numbers.set.ContainsMany(batch, on[:len(batch)])
		}
		for j, number := range batch {
			switch {
			case v == nil || !v.covers(number):
				if l.silent(number, seller, at) {
					out[k+j] |= notLoaded << shift
				} else {
					out[k+j] = rules.ListsOwn
				}
			case on[j] && v.first.since(number) != "":
				out[k+j] = rules.ListsOwn
			case on[j]:
				out[k+j] |= listed << shift
			}
		}
	}
}

// silent tells whether the list's answer about a number is surely that none is loaded.
func (l *list) silent(number uint64, seller string, at time.Time) bool {
	for _, v := range l.inUse {
		if v.usable() && v.licensed(seller) && v.covers(number) {
			return v.numbers == nil && !v.day.After(at.Add(24*time.Hour))
		}
	}
	return true
}

// common is the version that answers about every number it covers: the first in
// use for the seller, if it is whole and of no later day.
func (l *list) common(seller string, at time.Time) *linked {
	for _, v := range l.inUse {
		if v.usable() && v.licensed(seller) {
			if v.numbers == nil || v.day.After(at.Add(24*time.Hour)) {
				return nil
			}
			return v
		}
	}
	return nil
}
