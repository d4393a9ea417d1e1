package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/consent-ledger/consent-ledger/consumers/client"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

func rebuildCommand(g *globals) *cobra.Command {
	var f folderFlags
	c := &cobra.Command{
		Use:   "rebuild",
		Short: "Delete all projections and fold the ledger anew",
		Long: `Delete all projections and fold the ledger anew. It ends with the state hashes: they
are the same as before, or one of the two states was wrong. Checks BLOCK meanwhile.

Much is folded in bulk: first all entries are read, then what was folded is sorted
into tables, and only then does anything show. With -o jsonl each step is a line,
the last of which has the hashes.`,
		Example: "  consent rebuild\n  consent rebuild -o jsonl\n  consent rebuild --dir ./ledger",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return f.with(g, c, func(ctx context.Context, cl *client.Client) error { return g.rebuild(ctx, c, cl) })
		},
	}
	f.add(c)
	return c
}

func (g *globals) rebuild(ctx context.Context, c *cobra.Command, cl *client.Client) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := cl.Ledger.Rebuild(ctx, connect.NewRequest(&consentv1.RebuildRequest{}))
	if err != nil {
		return err
	}
	defer func() { cancel(); _ = stream.Close() }()
	show := &rebuildShow{w: c.ErrOrStderr()}
	if g.output == outJSONL {
		show.line = func(m *consentv1.RebuildResponse) error { return g.document(c.OutOrStdout(), messageJSON(m)) }
	}
	var last *consentv1.RebuildResponse
	for err == nil && stream.Receive() {
		last = stream.Msg()
		err = show.at(last)
	}
	show.finish()
	if err := errors.Join(err, stream.Err()); err != nil {
		return err
	}
	if last == nil || len(last.GetStateHash()) == 0 {
		return errors.New("the rebuild broke off; the server goes on by itself after a restart")
	}
	if !g.human() {
		return g.document(c.OutOrStdout(), messageJSON(last))
	}
	fmt.Fprintf(c.OutOrStdout(), "rebuilt up to position %d\n", last.GetPosition())
	rows := [][]string{{"PROJECTION", "STATE HASH"}}
	for _, name := range slices.Sorted(maps.Keys(last.GetStateHash())) {
		rows = append(rows, []string{name, last.GetStateHash()[name]})
	}
	return table(c.OutOrStdout(), rows)
}

// rebuildLineEvery is how often a line is written within one phase, where lines are asked for.
const rebuildLineEvery = time.Second

// rebuildShow shows what a rebuild is doing.
type rebuildShow struct {
	w    io.Writer
	line func(*consentv1.RebuildResponse) error // nil: no lines but for people

	phase consentv1.RebuildPhase
	bar   *progress // nil: nothing to count
	said  time.Time
}

// at notes how far it is.
func (s *rebuildShow) at(m *consentv1.RebuildResponse) error {
	if m.GetPhase() == consentv1.RebuildPhase_REBUILD_PHASE_DONE {
		return nil
	}
	next := m.GetPhase() != s.phase
	if next {
		s.begin(m)
	}
	switch {
	case s.bar == nil:
	case s.phase == consentv1.RebuildPhase_REBUILD_PHASE_SORTING:
		s.bar.to(int64(m.GetSortedBytes()), 0)
	default:
		s.bar.to(int64(m.GetPosition()), 0)
	}
	if s.line == nil || !next && time.Since(s.said) < rebuildLineEvery {
		return nil
	}
	s.said = time.Now()
	return s.line(m)
}

// begin begins to show another phase.
func (s *rebuildShow) begin(m *consentv1.RebuildResponse) {
	s.finish()
	s.phase = m.GetPhase()
	switch s.phase {
	case consentv1.RebuildPhase_REBUILD_PHASE_READING:
		s.bar = newCount(s.w, "folded", "entries", int64(m.GetTarget()))
	case consentv1.RebuildPhase_REBUILD_PHASE_SORTING:
		fmt.Fprintf(s.w, "consent: all %d entries are read; sorting what was folded\n", m.GetTarget())
		s.bar = newProgress(s.w, "sorted", max(1, int64(m.GetSortingBytes())))
	default:
		if what := rebuildWords[s.phase]; what != "" {
			fmt.Fprintln(s.w, "consent:", what)
		}
	}
}

// rebuildWords are the phases of which nothing is counted.
var rebuildWords = map[consentv1.RebuildPhase]string{
	consentv1.RebuildPhase_REBUILD_PHASE_TAKING_OVER: "handing the tables to the database",
	consentv1.RebuildPhase_REBUILD_PHASE_ATTEMPTS:    "folding contact attempts",
	consentv1.RebuildPhase_REBUILD_PHASE_DIRECTORY:   "building the directory of numbers",
	consentv1.RebuildPhase_REBUILD_PHASE_HASHING:     "reading all state for its hashes",
}

func (s *rebuildShow) finish() {
	if s.bar != nil {
		s.bar.finish()
		s.bar = nil
	}
}
