package main

import (
	"github.com/spf13/cobra"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// adder is a group of verbs with one verb, add, that registers something. fill
// makes its fact from the id and the flags; needed flags are required.
func adder(g *globals, group, short, use, example string, flags func(*cobra.Command), fill func(id string) (*consentv1.Fact, error), needed ...string) *cobra.Command {
	var f factFlags
	parent := &cobra.Command{Use: group, Short: short}
	add := &cobra.Command{
		Use:     "add ID " + use,
		Short:   short,
		Long:    short + ". Ids are 1 to 64 of a-z, 0-9, _ and -. The same again is recorded as a newer registration.",
		Example: example,
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			fact, err := fill(args[0])
			if err != nil {
				return err
			}
			fact.Source, fact.EventId = f.source, f.eventID
			fact.OccurredAt, fact.OccurredOn = moment(f.occurredAt)
			return g.recordOne(c, fact, true)
		},
	}
	flags(add)
	f.addIdentity(add)
	parent.AddCommand(needs(add, needed...))
	return parent
}

func sellerCommand(g *globals) *cobra.Command {
	var name string
	return adder(g, "seller", "Register a seller, in whose name contact is made", "[--name N]",
		"  consent seller add acme --name 'Acme Insurance'",
		func(c *cobra.Command) { c.Flags().StringVar(&name, "name", "", "the name people know") },
		func(id string) (*consentv1.Fact, error) {
			return &consentv1.Fact{Kind: &consentv1.Fact_SellerRegistered{SellerRegistered: &consentv1.SellerRegistered{Id: id, Name: name}}}, nil
		})
}

func sourceCommand(g *globals) *cobra.Command {
	var name string
	return adder(g, "source", "Register a system that reports", "[--name N]",
		"  consent source add hubspot --name 'HubSpot, account of the sales department'",
		func(c *cobra.Command) { c.Flags().StringVar(&name, "name", "", "the name people know") },
		func(id string) (*consentv1.Fact, error) {
			return &consentv1.Fact{Kind: &consentv1.Fact_SourceRegistered{SourceRegistered: &consentv1.SourceRegistered{Id: id, Name: name}}}, nil
		})
}

func programmeCommand(g *globals) *cobra.Command {
	var seller, name string
	return adder(g, "programme", "Register a programme, a sub-scope of a seller", "--seller S [--name N]",
		"  consent programme add alerts --seller acme --name 'Account alerts'",
		func(c *cobra.Command) {
			c.Flags().StringVar(&seller, "seller", "", "its seller")
			c.Flags().StringVar(&name, "name", "", "the name people know")
		},
		func(id string) (*consentv1.Fact, error) {
			return &consentv1.Fact{Kind: &consentv1.Fact_ProgrammeRegistered{ProgrammeRegistered: &consentv1.ProgrammeRegistered{Id: id, Seller: seller, Name: name}}}, nil
		}, "seller")
}

func campaignCommand(g *globals) *cobra.Command {
	m := struct{ seller, channel, purpose, programme, subject, sector string }{}
	return adder(g, "campaign", "Register a campaign, which a dialer names in a check", "--seller S --channel c --purpose p [--programme P]",
		"  consent campaign add spring --seller acme --channel sms --purpose marketing",
		func(c *cobra.Command) {
			c.Flags().StringVar(&m.seller, "seller", "", "its seller")
			c.Flags().StringVar(&m.channel, "channel", "", "its channel")
			c.Flags().StringVar(&m.purpose, "purpose", "", "its purpose")
			c.Flags().StringVar(&m.programme, "programme", "", "its programme; default none")
			c.Flags().StringVar(&m.subject, "subject", "", "its subject, for caps that count by subject")
			c.Flags().StringVar(&m.sector, "sector", "", "its trade, for rules of one trade: claims_management …; default none")
		},
		func(id string) (*consentv1.Fact, error) {
			k := &consentv1.CampaignRegistered{Id: id, Seller: m.seller, Programme: m.programme, Subject: m.subject, Sector: m.sector}
			channel, ok := numberOf(channelWords, m.channel)
			if !ok {
				return nil, unknownWord("--channel", m.channel, words(channelWords))
			}
			purpose, ok := numberOf(purposeWords, m.purpose)
			if !ok {
				return nil, unknownWord("--purpose", m.purpose, words(purposeWords))
			}
			k.Channel, k.Purpose = consentv1.Channel(channel), consentv1.Purpose(purpose)
			return &consentv1.Fact{Kind: &consentv1.Fact_CampaignRegistered{CampaignRegistered: k}}, nil
		}, "seller", "channel", "purpose")
}
