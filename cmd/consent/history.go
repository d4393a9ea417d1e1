package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/consent-ledger/consent-ledger/consumers/client"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

func timelineCommand(g *globals) *cobra.Command {
	var reveal bool
	c := &cobra.Command{
		Use:     "timeline NUMBER",
		Short:   "Everything recorded about one number, oldest first",
		Long:    "Everything recorded about one number, oldest first. --reveal opens what is sealed:\nnames, words, addresses. After an erasure nothing of it can be opened any more.",
		Example: "  consent timeline +12025550143\n  consent timeline +12025550143 --reveal -o json",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return g.with(c, func(ctx context.Context, cl *client.Client) error {
				req := &consentv1.TimelineRequest{Number: args[0], DefaultRegion: g.region, Reveal: reveal}
				res, err := wholeTimeline(ctx, cl, req)
				if err != nil {
					return err
				}
				return g.writeTimeline(c.OutOrStdout(), res)
			})
		},
	}
	c.Flags().BoolVar(&reveal, "reveal", false, "open what is sealed, and show the number in clear")
	return c
}

// wholeTimeline joins all pages.
func wholeTimeline(ctx context.Context, cl *client.Client, req *consentv1.TimelineRequest) (*consentv1.TimelineResponse, error) {
	all := &consentv1.TimelineResponse{}
	for {
		res, err := cl.Decisions.Timeline(ctx, connect.NewRequest(req))
		if err != nil {
			return nil, err
		}
		page := res.Msg
		all.Number, all.Position = page.GetNumber(), page.GetPosition()
		all.Items = append(all.Items, page.GetItems()...)
		if !page.GetMore() || len(page.GetItems()) == 0 {
			return all, nil
		}
		req.After = page.GetItems()[len(page.GetItems())-1].GetPosition()
	}
}

func (g *globals) writeTimeline(w io.Writer, res *consentv1.TimelineResponse) error {
	switch {
	case g.output == outJSONL:
		docs := make([][]byte, len(res.GetItems()))
		for i, item := range res.GetItems() {
			docs[i] = messageJSON(item)
		}
		return g.list(w, docs)
	case !g.human():
		return g.document(w, messageJSON(res))
	}
	fmt.Fprintf(w, "%s: %d entries, whole up to position %d\n", printable(res.GetNumber()), len(res.GetItems()), res.GetPosition())
	rows := [][]string{{"POSITION", "RECORDED", "HAPPENED", "KIND", "SELLERS", "SOURCE", "WHAT"}}
	for _, item := range res.GetItems() {
		happened := shown(item.GetEarliest())
		if late := shown(item.GetLatest()); late != happened && late != "" {
			happened += " to " + late
		}
		what := item.GetSummary()
		if item.GetErased() {
			what += " (erased)"
		}
		for _, field := range slices.Sorted(maps.Keys(item.GetPersonal())) {
			if field == "number" {
				continue // it stands above
			}
			what += fmt.Sprintf("; %s: %s", field, item.GetPersonal()[field])
		}
		rows = append(rows, []string{strconv.FormatUint(item.GetPosition(), 10), shown(item.GetRecordedAt()), happened,
			item.GetKind(), strings.Join(item.GetSellers(), ","), item.GetSource(), what})
	}
	return table(w, rows)
}

func subscribeCommand(g *globals) *cobra.Command {
	var req consentv1.SubscribeRequest
	var heartbeats bool
	c := &cobra.Command{
		Use:   "subscribe --seller S [--from POS]",
		Short: "Every change of a seller's suppression state, as it happens",
		Long: `Every change of a seller's suppression state, as it happens, in JSON lines: the whole
new state of one number each, so that the last one wins. Without --from a snapshot
comes first. It survives restarts of the server: each change once, in order. To go
on after it ended, give the last position as --from.

Numbers are feed tokens, a pseudonym of this seller's own; --reveal adds the number.

While the ledger has lost something about some numbers, a line says whom to block
(` + "`blocked`" + `), whatever their states say; the next such line replaces it, and an empty
one blocks nobody any more.`,
		Example: "  consent subscribe --seller acme\n  consent subscribe --seller acme --from 4711 --heartbeats | jq -c .update",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return g.with(c, func(ctx context.Context, cl *client.Client) error {
				blocked := false // somebody is
				for event, err := range cl.Subscribe(ctx, &req) {
					if err != nil && ctx.Err() != nil {
						return nil // whoever watches has seen enough
					}
					if err != nil {
						return err
					}
					if event.GetHeartbeat() != nil && !heartbeats {
						continue
					}
					if b := event.GetBlocked(); b != nil {
						nobody := !b.GetEverybody() && len(b.GetTokens()) == 0
						if nobody && !blocked {
							continue // as nearly always
						}
						blocked = !nobody
					}
					if err := g.writeEvent(c.OutOrStdout(), event); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	c.Flags().StringVar(&req.Seller, "seller", "", "the seller")
	c.Flags().Uint64Var(&req.From, "from", 0, "changes after this position; 0: a snapshot first")
	c.Flags().BoolVar(&req.Reveal, "reveal", false, "also give the numbers in clear")
	c.Flags().BoolVar(&heartbeats, "heartbeats", false, "also write heartbeats: silence without them may be a broken line")
	return needs(c, "seller")
}

// writeEvent writes one step of the feed; JSON lines unless a table is asked for.
func (g *globals) writeEvent(w io.Writer, e *consentv1.SubscribeResponse) error {
	if g.output != outTable {
		_, err := w.Write(append(messageJSON(e), '\n'))
		return err
	}
	line := ""
	switch k := e.GetEvent().(type) {
	case *consentv1.SubscribeResponse_Update:
		u := k.Update
		line = fmt.Sprintf("%d\t%s\t%s\t%s", u.GetPosition(), shown(u.GetRecordedAt()), firstOf(u.GetCause(), "snapshot"), firstOf(u.GetNumber(), hex.EncodeToString(u.GetToken())))
	case *consentv1.SubscribeResponse_SnapshotEnd:
		line = fmt.Sprintf("%d\t\tsnapshot of %d numbers is whole", k.SnapshotEnd.GetPosition(), k.SnapshotEnd.GetStates())
	case *consentv1.SubscribeResponse_Blocked:
		line = fmt.Sprintf("\t\tBLOCK LEDGER_INTEGRITY: %d numbers", len(k.Blocked.GetTokens()))
		if k.Blocked.GetEverybody() {
			line = "\t\tBLOCK LEDGER_INTEGRITY: every number"
		}
	case *consentv1.SubscribeResponse_Heartbeat:
		line = fmt.Sprintf("%d\t%s\theartbeat", k.Heartbeat.GetPosition(), shown(k.Heartbeat.GetAt()))
	}
	_, err := fmt.Fprintln(w, line)
	return err
}
