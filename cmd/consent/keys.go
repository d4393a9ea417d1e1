package main

import (
	"context"
	"fmt"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/consent-ledger/consent-ledger/consumers/client"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

func keysCommand(g *globals) *cobra.Command {
	c := &cobra.Command{Use: "keys", Short: "The ledger's public keys"}
	c.AddCommand(&cobra.Command{
		Use:   "show",
		Short: "Print the public keys by which others check what the ledger signs",
		Long: `Print the public keys by which others check what the ledger signs, as verifier lines
of signed notes: a file of them is what --key takes. Give them away early, and by
another way than proofs: whoever forges a proof would send a key with it.`,
		Example: "  consent keys show > ledger.keys\n  consent keys show -o json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return g.with(c, func(ctx context.Context, cl *client.Client) error {
				res, err := cl.Ledger.ListPublicKeys(ctx, connect.NewRequest(&consentv1.ListPublicKeysRequest{}))
				if err != nil {
					return err
				}
				if !g.human() {
					return g.document(c.OutOrStdout(), messageJSON(res.Msg))
				}
				for _, k := range res.Msg.GetKeys() {
					fmt.Fprintf(c.OutOrStdout(), "# %s of %s\n%s\n", k.GetPurpose(), res.Msg.GetOrigin(), k.GetVerifier())
				}
				return nil
			})
		},
	})
	return c
}
