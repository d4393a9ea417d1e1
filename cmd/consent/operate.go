package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/consent-ledger/consent-ledger/consumers/client"
	"github.com/consent-ledger/consent-ledger/ledger/tree"
	"github.com/consent-ledger/consent-ledger/node"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// wholeStates are those of a ledger whose integrity is not broken.
var wholeStates = []string{tree.StateOK, tree.StateCatchingUp, tree.StateTailRepaired}

func doctorCommand(g *globals) *cobra.Command {
	var req consentv1.DoctorRequest
	var f folderFlags
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Examine the ledger and its projections",
		Long: `Examine the ledger and its projections, and say what helps. Exit code 5 means that
the ledger's integrity is broken; other problems are listed and leave it 0.`,
		Example: "  consent doctor\n  consent doctor -o json\n  consent doctor --confirm-clock\n  consent doctor --dir ./ledger",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			err := f.with(g, c, func(ctx context.Context, cl *client.Client) error {
				res, err := cl.Ledger.Doctor(ctx, connect.NewRequest(&req))
				if err != nil {
					return err
				}
				return g.report(c.OutOrStdout(), res.Msg)
			})
			if refused := node.Refused(err); refused != nil && f.dir != "" { // there is nobody to ask: the folder says it
				return g.report(c.OutOrStdout(), refused)
			}
			return err
		},
	}
	f.add(c)
	c.Flags().BoolVar(&req.StateHash, "state-hash", true, "read all projections and give their state hashes; =false is quicker on a large ledger")
	c.Flags().BoolVar(&req.ConfirmClock, "confirm-clock", false, "you have looked at the clock and vouch for it: grants are taken again")
	return c
}

// report prints what doctor found; broken integrity is an error of its own.
func (g *globals) report(w io.Writer, d *consentv1.DoctorResponse) error {
	if err := g.writeDoctor(w, d); err != nil {
		return err
	}
	if i := d.GetIntegrity(); !slices.Contains(wholeStates, i) {
		return verificationError(fmt.Errorf("the ledger's integrity is broken: %s", firstOf(i, "not stated")))
	}
	return nil
}

func (g *globals) writeDoctor(w io.Writer, d *consentv1.DoctorResponse) error {
	if !g.human() {
		return g.document(w, messageJSON(d))
	}
	fmt.Fprintf(w, "position %d, integrity %s, durability %s, %d open inbox items\n", d.GetPosition(), d.GetIntegrity(),
		wordOf(d.GetDurability().Descriptor(), d.GetDurability().Number()), d.GetInbox())
	if means := d.GetIntegrityMeans(); means != "" {
		fmt.Fprintf(w, "%s: %s\n", d.GetIntegrity(), means)
	}
	writeScrub(w, d.GetScrub())
	rows := [][]string{{"PROJECTION", "APPLIED", "STATE HASH"}}
	names := slices.AppendSeq(slices.Collect(maps.Keys(d.GetApplied())), maps.Keys(d.GetStateHash()))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		applied := ""
		if at, ok := d.GetApplied()[name]; ok {
			applied = strconv.FormatUint(at, 10)
		}
		rows = append(rows, []string{name, applied, d.GetStateHash()[name]})
	}
	if err := table(w, rows); err != nil {
		return err
	}
	if dir := d.GetDirectory(); dir.GetPosition() > 0 {
		fmt.Fprintf(w, "directory of %d numbers at position %d, covers %d, recorded %s; %d entries since\n", dir.GetNumbers(), dir.GetPosition(),
			dir.GetCoversPosition(), dir.GetRecordedAt().AsTime().Format(time.RFC3339), dir.GetUncommitted())
	}
	writeVouched(w, d)
	if s := d.GetUnregisteredSources(); len(s) > 0 {
		fmt.Fprintf(w, "sources that report without being registered: %s (consent source add ID)\n", printable(strings.Join(s, ", ")))
	}
	for _, p := range d.GetProblems() {
		fmt.Fprintln(w, "problem:", printable(p))
	}
	if len(d.GetProblems()) == 0 {
		fmt.Fprintln(w, "no problems")
	}
	return nil
}

// writeVouched says what others vouch for: how much of the ledger, who and since when.
func writeVouched(w io.Writer, d *consentv1.DoctorResponse) {
	if by := d.GetWitness(); by.GetSize() > 0 {
		q := by.GetCosignatures()
		fmt.Fprintf(w, "witnesses: %d of %d cosigned the checkpoint of %d entries; the policy demands %d\n", q.GetCosigned(), q.GetAsked(), by.GetSize(),
			q.GetDemanded())
	} else if by != nil {
		fmt.Fprintln(w, "witnesses: none of the checkpoints satisfies the policy yet")
	}
	st := d.GetTimestamp()
	if st == nil {
		return
	}
	said, more := "none yet", "nobody is asked for others (serve --timestamp-url)"
	if st.GetSize() > 0 {
		said = fmt.Sprintf("over %d entries, from %s, by %s", st.GetSize(), st.GetAt().AsTime().Format(time.RFC3339),
			printable(firstOf(st.GetAuthority(), "an authority that its token does not name")))
	}
	if st.GetAsked() != "" {
		more = "asked: " + st.GetAsked()
	}
	fmt.Fprintf(w, "timestamp %s; %s\n", said, more)
}

// writeScrub says how far the reading of the whole stream is.
func writeScrub(w io.Writer, s *consentv1.ScrubStatus) {
	if s == nil {
		return
	}
	pace, last := "scrubber off", "no full pass yet"
	if s.GetPaceBytes() > 0 {
		pace = fmt.Sprintf("scrubber at %.3g MB/s", float64(s.GetPaceBytes())/(1<<20))
	}
	if s.GetPosition() > 0 {
		pace += fmt.Sprintf(", at position %d", s.GetPosition())
	}
	if s.GetFinishedAt() != nil {
		last = fmt.Sprintf("last full pass of %d positions ended %s", s.GetPositions(), s.GetFinishedAt().AsTime().Format(time.RFC3339))
	}
	fmt.Fprintf(w, "%s; %s\n", pace, last)
}

func versionCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Say which version this is",
		Example: "  consent version -o json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := g.checkOutput(); err != nil {
				return err
			}
			if !g.human() {
				doc, err := jsonOf(struct {
					Version string `json:"version"`
					Go      string `json:"go"`
					OS      string `json:"os"`
					Arch    string `json:"arch"`
				}{version(), runtime.Version(), runtime.GOOS, runtime.GOARCH})
				if err != nil {
					return err
				}
				return g.document(c.OutOrStdout(), doc)
			}
			_, err := fmt.Fprintf(c.OutOrStdout(), "consent %s, %s %s/%s\n", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}
