package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/consent-ledger/consent-ledger/consumers/client"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// questionFlags name what is asked about, for checks and scrubs alike.
type questionFlags struct {
	campaign, seller, channel, purpose, programme string
	at, asOf                                      string
	subject, sector                               string
	sells, optOutNotice                           string // yes, no, or nothing: not stated
}

func (f *questionFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.campaign, "campaign", "", "a registered campaign; it stands for the next four")
	c.Flags().StringVar(&f.seller, "seller", "", "in whose name")
	c.Flags().StringVar(&f.channel, "channel", "", strings.Join(words(channelWords), ", "))
	c.Flags().StringVar(&f.purpose, "purpose", "", strings.Join(words(purposeWords), ", "))
	c.Flags().StringVar(&f.programme, "programme", "", "within which programme; default none: a revocation of any then counts")
	c.Flags().StringVar(&f.subject, "subject", "", "what it is about, for caps that count by subject; a campaign's own goes before")
	c.Flags().StringVar(&f.sector, "sector", "", "the trade, for rules of one trade: claims_management …; a campaign's own goes before")
	c.Flags().StringVar(&f.sells, "sells", "", "yes or no: the message advertises, where a rule asks; default not stated")
	c.Flags().StringVar(&f.optOutNotice, "opt-out-notice", "", "yes or no: the message says how to opt out; default not stated")
	c.Flags().StringVar(&f.at, "at", "", "the instant of the contact, RFC 3339; default now")
	c.Flags().StringVar(&f.asOf, "as-of", "", "use only what was recorded by then, RFC 3339; default everything")
}

func (f *questionFlags) question() (*consentv1.Question, error) {
	q := &consentv1.Question{Campaign: f.campaign, Seller: f.seller, Programme: f.programme}
	if f.campaign != "" && (f.seller != "" || f.channel != "" || f.purpose != "" || f.programme != "") {
		return nil, usagef("--campaign stands for seller, channel, purpose and programme; give one or the other")
	}
	if f.campaign == "" {
		if f.seller == "" || f.channel == "" || f.purpose == "" {
			return nil, usagef("say what the contact is: --campaign C, or --seller S --channel c --purpose p")
		}
		channel, ok := numberOf(channelWords, f.channel)
		if !ok {
			return nil, unknownWord("--channel", f.channel, words(channelWords))
		}
		purpose, ok := numberOf(purposeWords, f.purpose)
		if !ok {
			return nil, unknownWord("--purpose", f.purpose, words(purposeWords))
		}
		q.Channel, q.Purpose = consentv1.Channel(channel), consentv1.Purpose(purpose)
	}
	q.Subject, q.Sector = f.subject, f.sector
	var err error
	if q.Content, err = f.content(); err != nil {
		return nil, err
	}
	if q.At, err = instant("at", f.at); err != nil {
		return nil, err
	}
	q.AsOf, err = instant("as-of", f.asOf)
	return q, err
}

// content is what is stated of the message; nil if nothing is.
func (f *questionFlags) content() (*consentv1.ContentFlags, error) {
	if f.sells == "" && f.optOutNotice == "" {
		return nil, nil
	}
	out := &consentv1.ContentFlags{}
	for _, flag := range []struct {
		name, text string
		into       **bool
	}{{"sells", f.sells, &out.Marketing}, {"opt-out-notice", f.optOutNotice, &out.OptOutNotice}} {
		switch yes := flag.text == "yes"; {
		case yes || flag.text == "no":
			*flag.into = &yes
		case flag.text != "":
			return nil, unknownWord("--"+flag.name, flag.text, []string{"yes", "no"})
		}
	}
	return out, nil
}

func checkCommand(g *globals) *cobra.Command {
	var f questionFlags
	var atLeast uint64
	var reveal bool
	var reserve, callerID, receipt string
	c := &cobra.Command{
		Use:   "check NUMBER (--campaign C | --seller S --channel c --purpose p)",
		Short: "Ask whether one contact may be made",
		Long: `Ask whether one contact may be made. Exit code 0 is ALLOW, 3 BLOCK, 4 not ready or
unknown: treat everything but 0 as BLOCK. The answer counts everything this server
acknowledged before it was asked.

--reserve also reserves the contact where a cap limits it, in the same step: two
dialers cannot both get the last one. REF is the call's id in the dialer, a new one
for each call. Make the contact at once, then say what came of it (consent record
attempt), or give it up (outcome=cancelled). The same REF again has the same answer.

--receipt writes the answer as a file that the ledger signed, once it is on the
ledger's disk: consent receipt verify checks it without any server. Whoever has the
file can find the number by trying; without its line salt nobody can.`,
		Example: `  consent check +12025550143 --campaign spring
  consent check +12025550143 --seller acme --channel sms --purpose marketing -o json
  consent check +12025550143 --campaign spring --at 2026-07-01T21:30:00-04:00
  consent check +12025550143 --campaign spring --at-least 4711 && dial
  consent check +12025550143 --campaign spring --reserve call-17 && dial
  consent check +12025550143 --campaign spring --receipt call-17.receipt && dial`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			q, err := f.question()
			if err != nil {
				return err
			}
			q.Number = strings.ToValidUTF8(args[0], "\ufffd") // what cannot be read is BLOCK, not an error
			if c.Flags().Changed("reserve") {
				return g.reserve(c, &consentv1.ReserveRequest{Question: q, Reference: reserve, AtLeast: atLeast, DefaultRegion: g.region, Reveal: reveal, CallerId: callerID, Receipt: receipt != ""}, receipt)
			}
			if callerID != "" {
				return usagef("--caller-id is for reservations; add --reserve REF")
			}
			return g.with(c, func(ctx context.Context, cl *client.Client) error {
				res, err := cl.Decisions.Check(ctx, connect.NewRequest(&consentv1.CheckRequest{Question: q, AtLeast: atLeast, DefaultRegion: g.region, Reveal: reveal, Receipt: receipt != ""}))
				if err != nil {
					return err
				}
				if err := writeDecisionReceipt(c, receipt, res.Msg.GetReceipt()); err != nil {
					return err
				}
				if err := g.writeDecision(c.OutOrStdout(), res.Msg.GetDecision()); err != nil {
					return err
				}
				if res.Msg.GetDecision().GetVerdict() != consentv1.Verdict_VERDICT_ALLOW {
					return &exitError{code: exitBlock}
				}
				return nil
			})
		},
	}
	f.add(c)
	c.Flags().Uint64Var(&atLeast, "at-least", 0, "answer only after this position is applied")
	c.Flags().BoolVar(&reveal, "reveal", false, "show the number in clear")
	c.Flags().StringVar(&reserve, "reserve", "", "reserve the contact under the call's reference, where a cap limits it")
	c.Flags().StringVar(&callerID, "caller-id", "", "with --reserve: what the person will be shown; kept sealed")
	c.Flags().StringVar(&receipt, "receipt", "", "write the signed answer to this file")
	return c
}

// writeDecision writes the verdict with every reason on its first line.
func (g *globals) writeDecision(w io.Writer, d *consentv1.Decision) error {
	if !g.human() {
		return g.document(w, messageJSON(d))
	}
	allow := d.GetVerdict() == consentv1.Verdict_VERDICT_ALLOW
	var codes []string
	for _, r := range d.GetReasons() {
		if !slices.Contains(codes, r.GetCode()) { // two layers may ask for the same
			codes = append(codes, r.GetCode())
		}
	}
	head := "BLOCK"
	if allow {
		head = "ALLOW"
		if !slices.Contains(codes, d.GetBasis()) {
			codes = append([]string{d.GetBasis()}, codes...)
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s  %s\n", head, strings.Join(codes, ", "), d.GetNumber())
	for _, r := range d.GetReasons() {
		fmt.Fprintf(&b, "  %s: %s", r.GetCode(), r.GetText())
		if r.GetCitation() != "" {
			fmt.Fprintf(&b, " [%s]", r.GetCitation())
		}
		if r.GetFix() != "" {
			fmt.Fprintf(&b, "\n    what helps: %s", r.GetFix())
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "  true at position %d, for %s", d.GetPosition(), shown(d.GetAt()))
	if t := d.GetNextAllowedAt(); t != nil && !allow {
		fmt.Fprintf(&b, "; allowed from %s at the earliest", shown(t))
	}
	if t := d.GetValidUntil(); t != nil {
		fmt.Fprintf(&b, "; holds until %s", shown(t))
	}
	b.WriteByte('\n')
	for _, u := range d.GetCaps() {
		fmt.Fprintf(&b, "  cap %s: %d of %d used\n", u.GetRule(), u.GetUsed(), u.GetMax())
	}
	for _, l := range d.GetLists() {
		fmt.Fprintf(&b, "  list %s: %s\n", l.GetRegistry(), listWord(l))
	}
	for _, p := range d.GetPacks() {
		fmt.Fprintf(&b, "  rules %s %s\n", p.GetId(), p.GetVersion())
	}
	if d.GetUnassigned() {
		b.WriteString("  no numbering plan we know assigns this number\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func listWord(l *consentv1.ListUse) string {
	switch {
	case l.GetVersionDate() == "":
		return "not loaded"
	case l.GetListed():
		return "listed on " + l.GetVersionDate()
	}
	return "not listed on " + l.GetVersionDate()
}
