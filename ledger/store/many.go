package store

import (
	"errors"

	"github.com/cockroachdb/pebble/v2"
)

// GetMany implements Reader in one pass with one iterator, which stays near: an
// ascending key costs a fraction of a Get.
func (r reader) GetMany(keys [][]byte, visit func(i int, value []byte) error) (err error) {
	if len(keys) == 0 {
		return nil
	}
	it, err := r.r.NewIter(&pebble.IterOptions{})
	if err != nil {
		return wrap("get many", err)
	}
	defer func() { err = errors.Join(err, wrap("get many", it.Close())) }() // Close repeats an error met on the way
	for i, k := range keys {
		if !it.SeekGE(k) {
			if it.Error() != nil {
				return nil // Close says so
			}
			continue
		}
		if string(it.Key()) == string(k) {
			if err := visit(i, it.Value()); err != nil {
				return err
			}
		}
	}
	return nil
}
