package main

import (
	"context"
	"slices"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/consent-ledger/consent-ledger/consumers/client"
	"github.com/consent-ledger/consent-ledger/projections/rules"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// knownLevel refuses a level of consent that no rule names, neither of the packs of
// this program nor of those the server has published: a grant of it would be
// recorded and allow nothing, and nobody would see why.
func (g *globals) knownLevel(c *cobra.Command, level string) error {
	packs, err := rules.Embedded()
	if err != nil {
		return err
	}
	known := packs.Levels()
	if slices.Contains(known, level) {
		return nil
	}
	theirs, err := g.publishedLevels(c, packs)
	if err != nil {
		return err
	}
	known = slices.Concat(known, theirs)
	slices.Sort(known)
	if known = slices.Compact(known); slices.Contains(known, level) {
		return nil
	}
	return unknownWord("--level", level, known)
}

// publishedLevels are the levels that rules name in packs this program does not come
// with, or has in another version.
func (g *globals) publishedLevels(c *cobra.Command, ours *rules.Packs) (levels []string, err error) {
	err = g.with(c, func(ctx context.Context, cl *client.Client) error {
		all, err := cl.Ledger.ListPacks(ctx, connect.NewRequest(&consentv1.ListPacksRequest{}))
		if err != nil {
			return err
		}
		for _, p := range all.Msg.GetPacks() {
			if same := ours.Get(p.GetId()); p.GetWithdrawn() || same != nil && same.SHA256() == p.GetSha256() {
				continue
			}
			one, err := cl.Ledger.ListPacks(ctx, connect.NewRequest(&consentv1.ListPacksRequest{Id: p.GetId()}))
			if err != nil {
				return err
			}
			for _, m := range one.Msg.GetPacks() {
				read, err := rules.Parse(m.GetId()+".yaml", m.GetFile())
				if err != nil {
					continue // of a later version, or its file is not here yet: no word of it is known
				}
				levels = append(levels, read.Levels()...)
			}
		}
		return nil
	})
	return levels, err
}
