package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/consent-ledger/consent-ledger/consumers/client"
	"github.com/consent-ledger/consent-ledger/projections/rules"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

func publishCommand(g *globals) *cobra.Command {
	var seller, reason, by string
	c := &cobra.Command{
		Use:   "publish FILE --seller S --reason R",
		Short: "Publish a seller's own rule pack",
		Long: `Publish a seller's own rule pack, which adds to what the law demands of that seller.
It may also relax a state's list that an officer answers for doing without.
It holds from its entry in the ledger on; decisions of before stay explained by the
packs known then. The same file again adds nothing; each change needs a version of
its own. The file is named after the pack: acme-own.yaml.`,
		Example: "  consent rules publish acme-own.yaml --seller acme --reason 'we call nobody on Saturdays' --by officer-7",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			file, err := os.ReadFile(args[0])
			if err != nil {
				return usageError(err)
			}
			req := &consentv1.PublishPackRequest{Name: filepath.Base(args[0]), File: file, Seller: seller, Reason: reason}
			if by != "" {
				req.Actor = &consentv1.Actor{Id: by, Role: "officer"}
			}
			return g.with(c, func(ctx context.Context, cl *client.Client) error {
				res, err := cl.Ledger.PublishPack(ctx, connect.NewRequest(req))
				if err != nil {
					return err
				}
				if g.human() {
					fmt.Fprintf(c.OutOrStdout(), "pack %s, version %s, SHA-256 %s\n", res.Msg.GetId(), res.Msg.GetVersion(), res.Msg.GetSha256()[:16])
				}
				return g.writeReceipt(c, res.Msg.GetReceipt())
			})
		},
	}
	c.Flags().StringVar(&seller, "seller", "", "whose pack it is")
	c.Flags().StringVar(&reason, "reason", "", "why it is published")
	c.Flags().StringVar(&by, "by", "", "who publishes it: an id that names nobody outside")
	return needs(c, "seller", "reason")
}

func withdrawCommand(g *globals) *cobra.Command {
	var seller, reason, by string
	c := &cobra.Command{
		Use:   "withdraw PACK --seller S --reason R --by OFFICER",
		Short: "End a seller's own rule pack",
		Long: `End a seller's own rule pack, and with it what it demanded and what it relaxed.
It ends with its entry in the ledger; decisions of before stay explained by it, and
publishing it again begins it anew. What comes with the program cannot be withdrawn.`,
		Example: "  consent rules withdraw acme-own --seller acme --reason 'policy 7 ended' --by officer-7",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			req := &consentv1.WithdrawPackRequest{Id: args[0], Seller: seller, Reason: reason, Actor: &consentv1.Actor{Id: by, Role: "officer"}}
			return g.with(c, func(ctx context.Context, cl *client.Client) error {
				res, err := cl.Ledger.WithdrawPack(ctx, connect.NewRequest(req))
				if err != nil {
					return err
				}
				if g.human() {
					fmt.Fprintf(c.OutOrStdout(), "pack %s, version %s, withdrawn\n", res.Msg.GetId(), res.Msg.GetVersion())
				}
				return g.writeReceipt(c, res.Msg.GetReceipt())
			})
		},
	}
	c.Flags().StringVar(&seller, "seller", "", "whose pack it is")
	c.Flags().StringVar(&reason, "reason", "", "why it ends")
	c.Flags().StringVar(&by, "by", "", "the officer who answers for it: an id that names nobody outside")
	return needs(c, "seller", "reason", "by")
}

// published is one line of `rules list --published` in JSON.
type published struct {
	ID         string `json:"id"`
	Version    string `json:"version"`
	Layer      string `json:"layer"`
	Seller     string `json:"seller"`
	Position   uint64 `json:"position"`
	RecordedAt string `json:"recordedAt"`
	// State is in_force, withdrawn or awaited: its file is not here yet.
	State  string `json:"state"`
	Reason string `json:"reason"`
	SHA256 string `json:"sha256"`
}

func state(p *consentv1.PublishedPack) string {
	switch {
	case p.GetWithdrawn():
		return "withdrawn"
	case !p.GetAtHand():
		return "awaited"
	}
	return "in_force"
}

// listPublished lists the packs of a server.
func (g *globals) listPublished(c *cobra.Command) error {
	return g.with(c, func(ctx context.Context, cl *client.Client) error {
		res, err := cl.Ledger.ListPacks(ctx, connect.NewRequest(&consentv1.ListPacksRequest{}))
		if err != nil {
			return err
		}
		rows := [][]string{{"PACK", "VERSION", "LAYER", "SELLER", "POSITION", "RECORDED", "STATE", "SHA-256"}}
		var docs [][]byte
		for _, p := range res.Msg.GetPacks() {
			recorded := p.GetRecordedAt().AsTime().Format(time.RFC3339)
			doc, err := jsonOf(published{p.GetId(), p.GetVersion(), p.GetLayer(), p.GetSeller(), p.GetPosition(), recorded, state(p), p.GetReason(), p.GetSha256()})
			if err != nil {
				return err
			}
			docs = append(docs, doc)
			rows = append(rows, []string{p.GetId(), p.GetVersion(), p.GetLayer(), p.GetSeller(), strconv.FormatUint(p.GetPosition(), 10), recorded, state(p), p.GetSha256()[:16]})
		}
		if g.human() {
			return table(c.OutOrStdout(), rows)
		}
		return g.list(c.OutOrStdout(), docs)
	})
}

// fetchPack gets a pack from a server, and the packs of this program with it among them.
func (g *globals) fetchPack(c *cobra.Command, id string, packs *rules.Packs) (with *rules.Packs, p *rules.Pack, err error) {
	err = g.with(c, func(ctx context.Context, cl *client.Client) error {
		res, err := cl.Ledger.ListPacks(ctx, connect.NewRequest(&consentv1.ListPacksRequest{Id: id}))
		if err != nil || len(res.Msg.GetPacks()) == 0 {
			return err
		}
		m := res.Msg.GetPacks()[0]
		if p, err = rules.Parse(m.GetId()+".yaml", m.GetFile()); err != nil {
			return err
		}
		if m.GetWithdrawn() {
			fmt.Fprintf(c.ErrOrStderr(), "consent: pack %s was withdrawn at position %d: %s\n", safe(m.GetId()), m.GetPosition(), safe(m.GetReason()))
		}
		all := slices.DeleteFunc(slices.Clone(packs.All()), func(q *rules.Pack) bool { return q.ID == p.ID })
		with, err = rules.New(append(all, p)...)
		return err
	})
	return with, p, err
}
