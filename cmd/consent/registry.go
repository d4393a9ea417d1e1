package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/consent-ledger/consent-ledger/consumers/client"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

func registryCommand(g *globals) *cobra.Command {
	c := &cobra.Command{Use: "registry", Short: "What is known of the lists"}
	c.AddCommand(&cobra.Command{
		Use:   "status",
		Short: "List the lists: version, age, deadline, coverage, count, changes",
		Long: `List every version of a list that is in use or awaited. The age is that of the list
itself; after the day under USABLE UNTIL whatever needs the list is blocked. That day
comes from the rule packs; where none speaks of a list, 31 days are assumed (marked *).
A list that NO RULE ASKS FOR blocks nobody: its name may be mistyped.`,
		Example: "  consent registry status\n  consent registry status -o json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return g.with(c, func(ctx context.Context, cl *client.Client) error {
				res, err := cl.Ledger.ListRegistries(ctx, connect.NewRequest(&consentv1.ListRegistriesRequest{}))
				if err != nil {
					return err
				}
				return g.writeRegistries(c, res.Msg.GetVersions())
			})
		},
	})
	return c
}

func (g *globals) writeRegistries(c *cobra.Command, versions []*consentv1.RegistryVersion) error {
	w := c.OutOrStdout()
	if !g.human() {
		docs := make([][]byte, len(versions))
		for i, v := range versions {
			docs[i] = messageJSON(v)
		}
		return g.list(w, docs)
	}
	rows := [][]string{{"REGISTRY", "VERSION", "AGE", "USABLE UNTIL", "NUMBERS", "SINCE THE ONE BEFORE", "COVERS", "FOR", "STATE"}}
	for _, v := range versions {
		rows = append(rows, []string{v.GetRegistry(), v.GetVersionDate(), fmt.Sprintf("%d d", v.GetAgeDays()), deadline(v), strconv.FormatUint(v.GetNumbers(), 10),
			sinceBefore(v), covers(v), firstOf(strings.Join(v.GetLicensees(), ", "), "all"), stateOf(v)})
	}
	return table(w, rows)
}

func deadline(v *consentv1.RegistryVersion) string {
	until := v.GetUsableUntil()
	if v.GetMaxAgeBy() == "" && until != "" {
		until += " *"
	}
	return until
}

func sinceBefore(v *consentv1.RegistryVersion) string {
	if v.GetFollowsDate() == "" {
		return "-"
	}
	if v.GetChangesUnknown() {
		return "unknown: " + v.GetFollowsDate() + " was loaded later"
	}
	return fmt.Sprintf("+%d -%d since %s", v.GetAdded(), v.GetRemoved(), v.GetFollowsDate())
}

// coversMax is how many area codes are named one by one.
const coversMax = 4

func covers(v *consentv1.RegistryVersion) string {
	codes := v.GetAreaCodes()
	switch {
	case v.GetAsked() > 0:
		return fmt.Sprintf("%d numbers that were sent", v.GetAsked())
	case len(codes) > coversMax:
		return fmt.Sprintf("%d area codes", len(codes))
	case len(codes) > 0:
		return strings.Join(codes, ", ")
	case v.GetCallingCode() > 0:
		return fmt.Sprintf("+%d", v.GetCallingCode())
	}
	return "everything"
}

func stateOf(v *consentv1.RegistryVersion) string {
	switch {
	case v.GetProblem() != "":
		return v.GetProblem()
	case !v.GetWhole():
		return "awaited: whatever needs it blocks"
	case v.GetUnasked():
		return "NO RULE ASKS FOR IT: it decides nothing"
	case v.GetUsableUntil() != "" && v.GetAgeDays() > v.GetMaxAgeDays():
		return "too old"
	}
	return "in use"
}
