package store

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
)

// formatVersion is Pebble's on-disk format, by name: the default is the oldest
// it supports, and "newest" would move under a database when Pebble is updated.
const formatVersion = pebble.FormatValueSeparation

const (
	// cacheBytesDefault holds the index of about 1.5 million entries; a cache takes
	// only what has been read. With a quarter of it an import of a million rows
	// read and checked blocks for a sixth of its time.
	cacheBytesDefault    = 512 << 20
	blockBytesDefault    = 8 << 10
	memTableBytesDefault = 64 << 20
	layersDefault        = 2
	bloomBitsPerKey      = 10
)

// pebbleOptions are the settings measured in a spike with small random keys;
// see DESIGN.md of the ledger.
func pebbleOptions(o Options) *pebble.Options {
	if o.CacheBytes == 0 {
		o.CacheBytes = cacheBytesDefault
	}
	if o.MemTableBytes == 0 {
		o.MemTableBytes = memTableBytesDefault
	}
	if o.BlockBytes == 0 {
		o.BlockBytes = blockBytesDefault
	}
	if o.Layers == 0 {
		o.Layers = layersDefault
	}
	p := &pebble.Options{
		FormatMajorVersion:          formatVersion,
		Comparer:                    quietComparer(),
		CacheSize:                   o.CacheBytes,
		MemTableSize:                o.MemTableBytes,
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       o.Layers,
		// High, so that a burst is not stalled in the middle of a commit; bulk
		// writers watch CompactionDebtBytes instead.
		L0StopWritesThreshold:      1000,
		LBaseMaxBytes:              256 << 20,
		DisableWAL:                 o.NoLog,
		CompactionConcurrencyRange: func() (int, int) { return 1, 2 },
		Logger:                     newLogger(o.Logger),
	}
	for i := range p.TargetFileSizes {
		p.TargetFileSizes[i] = 32 << 20
	}
	for i := range p.Levels {
		p.Levels[i].BlockSize = o.BlockBytes
		p.Levels[i].IndexBlockSize = 32 << 10
		if i < len(p.Levels)-1 { // Get does not ask the filters of the last level
			p.Levels[i].FilterPolicy = bloom.FilterPolicy(bloomBitsPerKey)
		}
	}
	// Zstd in the last levels made files smaller and each block that is not in the
	// cache dearer: a check of ten million persons took 12.5 us with it, 11.2 without.
	p.ApplyCompressionSettings(func() pebble.DBCompressionSettings {
		if o.Uncompressed {
			return pebble.DBCompressionNone
		}
		return pebble.DBCompressionFastest
	})
	return p
}

// quietComparer is the default one, except that keys in messages and errors are
// shown as their space and length: tokens do not belong in a log.
func quietComparer() *pebble.Comparer {
	c := *pebble.DefaultComparer
	c.FormatKey = func(k []byte) fmt.Formatter { return quietKey(k) }
	c.FormatValue = func(_, v []byte) fmt.Formatter { return quietValue(len(v)) }
	return &c
}

type quietKey []byte

func (k quietKey) Format(s fmt.State, _ rune) {
	if len(k) == 0 {
		_, _ = io.WriteString(s, "(empty key)")
		return
	}
	_, _ = fmt.Fprintf(s, "(key of space 0x%02x, %d bytes)", k[0], len(k))
}

type quietValue int

func (n quietValue) Format(s fmt.State, _ rune) { _, _ = fmt.Fprintf(s, "(%d bytes)", int(n)) }

// logger passes Pebble's talk on.
type logger struct{ log *slog.Logger }

func newLogger(l *slog.Logger) logger {
	if l == nil {
		l = slog.New(slog.DiscardHandler)
	}
	return logger{l}
}

// Infof is for those who look into Pebble itself. Formatting is left out unless heard.
func (l logger) Infof(format string, args ...any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug("pebble", "message", fmt.Sprintf(format, args...))
	}
}

// Errorf reports what Pebble will try again, such as a failed flush.
func (l logger) Errorf(format string, args ...any) {
	l.log.Warn("pebble", "message", fmt.Sprintf(format, args...))
}

// Fatalf ends the process: Pebble calls it when it can go on no longer, as after
// a failed write of its log, and must not get control back. Nothing is lost by
// it, since the truth is in the stream.
func (l logger) Fatalf(format string, args ...any) {
	l.log.Error("pebble cannot go on; the process ends", "message", fmt.Sprintf(format, args...))
	os.Exit(1)
}
