package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/consent-ledger/consent-ledger/consumers/client"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// eraseReasons are the contract's closed set.
var eraseReasons = []string{"erasure_request", "retention", "court_order"}

func eraseCommand(g *globals) *cobra.Command {
	var reason string
	var yes bool
	c := &cobra.Command{
		Use:   "erase NUMBER --reason R",
		Short: "Destroy what can be opened of a person; the number stays blocked",
		Long: `Destroy the keys of everyone who held a number: names, words, addresses can never be
opened again. The entries stay, their proofs still verify, and the number stays blocked
until a confirmed grant. Nobody can undo it.`,
		Example: "  consent erase +12025550143 --reason erasure_request",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if !slices.Contains(eraseReasons, reason) { // said before a person is asked
				return unknownWord("--reason", reason, eraseReasons)
			}
			if !yes && isTerminal(c.ErrOrStderr()) && !agreed(c) {
				return usagef("nothing was erased")
			}
			return g.with(c, func(ctx context.Context, cl *client.Client) error {
				res, err := cl.Ledger.Erase(ctx, connect.NewRequest(&consentv1.EraseRequest{Number: args[0], DefaultRegion: g.region, Reason: reason}))
				if err != nil {
					return err
				}
				if !g.human() {
					return g.document(c.OutOrStdout(), messageJSON(res.Msg))
				}
				_, err = fmt.Fprintf(c.OutOrStdout(), "erased: keys of %d persons are destroyed; recorded at position %d\n", res.Msg.GetPersons(), res.Msg.GetReceipt().GetPosition())
				return err
			})
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why: "+strings.Join(eraseReasons, ", "))
	c.Flags().BoolVar(&yes, "yes", false, "do not ask first (it is asked only on a terminal)")
	return needs(c, "reason")
}

// agreed asks a person on the terminal.
func agreed(c *cobra.Command) bool {
	fmt.Fprint(c.ErrOrStderr(), "consent: this cannot be undone. Erase? Type yes: ")
	line, _ := bufio.NewReader(c.InOrStdin()).ReadString('\n') // no line is no yes
	return strings.TrimSpace(line) == "yes"
}

func inboxCommand(g *globals) *cobra.Command {
	c := &cobra.Command{
		Use:   "inbox",
		Short: "Messages that nobody could understand",
		Long: `Messages that nobody could understand. One that may be a stop stays until a person
has read and closed it; if its number is known, the number is blocked until then.`,
	}
	c.AddCommand(inboxListCommand(g), inboxCloseCommand(g))
	return c
}

func inboxListCommand(g *globals) *cobra.Command {
	var reveal bool
	c := &cobra.Command{
		Use:     "list",
		Short:   "List the open items, oldest first",
		Example: "  consent inbox list --reveal",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return g.with(c, func(ctx context.Context, cl *client.Client) error {
				res, err := cl.Ledger.ListInbox(ctx, connect.NewRequest(&consentv1.ListInboxRequest{Reveal: reveal}))
				if err != nil {
					return err
				}
				if !g.human() {
					docs := make([][]byte, len(res.Msg.GetItems()))
					for i, item := range res.Msg.GetItems() {
						docs[i] = messageJSON(item)
					}
					return g.list(c.OutOrStdout(), docs)
				}
				rows := [][]string{{"ID", "RECEIVED", "SOURCE", "STOP?", "POSITION", "REASON", "CONTENT"}}
				for _, i := range res.Msg.GetItems() {
					stop, at := "", ""
					if i.GetPossibleStop() {
						stop = "possible"
					}
					if i.GetPosition() > 0 {
						at = strconv.FormatUint(i.GetPosition(), 10)
					}
					rows = append(rows, []string{i.GetId(), shown(i.GetReceivedAt()), i.GetSource(), stop, at, i.GetReason(), i.GetContent()})
				}
				return table(c.OutOrStdout(), rows)
			})
		},
	}
	c.Flags().BoolVar(&reveal, "reveal", false, "show what was said, and the number if there is one")
	return c
}

func inboxCloseCommand(g *globals) *cobra.Command {
	var outcome string
	c := &cobra.Command{
		Use:     "close ID --outcome recorded|not_a_stop|duplicate",
		Short:   "Close an item after reading it",
		Long:    "Close an item after reading it. If it was a stop, record it first (consent stop NUMBER),\nthen close the item as recorded.",
		Example: "  consent inbox close 17 --outcome not_a_stop",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return g.with(c, func(ctx context.Context, cl *client.Client) error {
				res, err := cl.Ledger.CloseInbox(ctx, connect.NewRequest(&consentv1.CloseInboxRequest{Id: args[0], Outcome: outcome}))
				if errors.Is(err, client.ErrNotFound) {
					return &hinted{errors.New("no item of that id is open; it may have been closed before"), "consent inbox list"}
				}
				if err != nil {
					return err
				}
				return g.writeReceipt(c, res.Msg.GetReceipt())
			})
		},
	}
	c.Flags().StringVar(&outcome, "outcome", "", "what it was: recorded, not_a_stop, duplicate")
	return needs(c, "outcome")
}
