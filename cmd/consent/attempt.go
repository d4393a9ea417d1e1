package main

import (
	"context"
	"fmt"
	"strings"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"github.com/consent-ledger/consent-ledger/consumers/client"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// recordAttemptCommand stands beside the kinds of facts: attempts lie in a stream of
// their own.
func recordAttemptCommand(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "attempt field=value…",
		Short: "Record that a contact was tried, so that caps count it",
		Long: `Record that a contact was tried, so that caps count it: number, campaign (or
seller, channel, purpose), reference, and as known at, outcome, caller_id, source.

The reference is the call's id in the dialer; the same again adds nothing. Outcomes:
answered, no_answer, busy, voicemail, failed; without one it was made. outcome=cancelled
gives a reservation of consent check --reserve up, and then needs no number.`,
		Example: `  consent record attempt number=+12025550143 campaign=spring reference=call-17 outcome=no_answer
  consent record attempt campaign=spring reference=call-18 outcome=cancelled`,
		Args: cobra.MinimumNArgs(1),
		RunE: g.recordAttempt,
	}
}

// recordAttempt records one attempt from field=value pairs.
func (g *globals) recordAttempt(c *cobra.Command, pairs []string) error {
	a := &consentv1.Attempt{}
	for i, pair := range pairs {
		name, value, ok := strings.Cut(pair, "=")
		if !ok {
			return usagef("argument %d after attempt, %q, is no field=value", i+1, safe(name))
		}
		if err := setField(a.ProtoReflect(), a.ProtoReflect(), name, strings.ToValidUTF8(value, "\ufffd")); err != nil {
			return usageError(err)
		}
	}
	return g.with(c, func(ctx context.Context, cl *client.Client) error {
		res, err := cl.Attempts.RecordAttempt(ctx, connect.NewRequest(&consentv1.RecordAttemptRequest{Attempt: a, DefaultRegion: g.region}))
		if err != nil {
			return err
		}
		r := res.Msg.GetReceipt()
		if !g.human() {
			return g.document(c.OutOrStdout(), messageJSON(r))
		}
		how := "recorded"
		if r.GetDuplicate() {
			how = "recorded before"
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "%s as %s in message %d of attempts (%s)\n", how,
			firstOf(wordOf(r.GetOutcome().Descriptor(), r.GetOutcome().Number()), "made"), r.GetSequence(), wordOf(r.GetDurability().Descriptor(), r.GetDurability().Number()))
		return err
	})
}

// reserve asks for a contact and reserves it. Its document is the decision with
// what became of the reservation beside it.
func (g *globals) reserve(c *cobra.Command, req *consentv1.ReserveRequest, receipt string) error {
	return g.with(c, func(ctx context.Context, cl *client.Client) error {
		res, err := cl.Attempts.Reserve(ctx, connect.NewRequest(req))
		if err != nil {
			return err
		}
		if err := writeDecisionReceipt(c, receipt, res.Msg.GetReceipt()); err != nil {
			return err
		}
		res.Msg.Receipt = nil // it is in the file
		if err := g.writeReservation(c, res.Msg); err != nil {
			return err
		}
		if res.Msg.GetDecision().GetVerdict() != consentv1.Verdict_VERDICT_ALLOW {
			return &exitError{code: exitBlock}
		}
		return nil
	})
}

func (g *globals) writeReservation(c *cobra.Command, r *consentv1.ReserveResponse) error {
	w := c.OutOrStdout()
	if !g.human() {
		// The decision's fields stand where check writes them.
		rest := proto.CloneOf(r)
		rest.Decision = nil
		decision, beside := messageJSON(r.GetDecision()), messageJSON(rest)
		return g.document(w, append(append(decision[:len(decision)-1], ','), beside[1:]...))
	}
	if err := g.writeDecision(w, r.GetDecision()); err != nil {
		return err
	}
	allowed := r.GetDecision().GetVerdict() == consentv1.Verdict_VERDICT_ALLOW
	var err error
	switch {
	case r.GetReserved() && !allowed:
		_, err = fmt.Fprintln(w, "  reserved before and still counting; give it up: consent record attempt … outcome=cancelled")
	case r.GetReserved():
		_, err = fmt.Fprintf(w, "  reserved in message %d of attempts: make the contact now, then record the attempt\n", r.GetSequence())
	case allowed:
		_, err = fmt.Fprintln(w, "  not reserved: no cap limits this contact")
	}
	return err
}
