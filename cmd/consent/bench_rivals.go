package main

import (
	"context"
	"iter"
)

// rival starts another way to find out which numbers are listed.
func (b *scrubBench) rival(_ context.Context, name string, _ iter.Seq[uint64]) (*route, func(), error) {
	return nil, nil, usagef("--against %q is not known; it takes redis, postgres, sort", name)
}
