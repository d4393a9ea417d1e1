package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/consent-ledger/consent-ledger/consumers/client"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

func publishCommand(g *globals) *cobra.Command {
	var seller, reason, by string
	c := &cobra.Command{
		Use:   "publish FILE --seller S --reason R",
		Short: "Publish a seller's own rule pack",
		Long: `Publish a seller's own rule pack, which adds to what the law demands of that seller.
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
