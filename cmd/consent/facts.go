package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/consent-ledger/consent-ledger/consumers/client"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// sourceDefault reports what is recorded by hand.
const sourceDefault = "cli"

// factFlags are the flags of the verbs that record one fact about one number.
type factFlags struct {
	sellers, channels, purposes, programmes []string
	exact                                   bool
	level, words, method, reason            string
	occurredAt, expiresAt                   string
	source, eventID                         string
}

func (f *factFlags) addIdentity(c *cobra.Command) {
	c.Flags().StringVar(&f.occurredAt, "occurred-at", "", "when it happened: RFC 3339, or a date; default now")
	c.Flags().StringVar(&f.source, "source", sourceDefault, "the system that reports")
	c.Flags().StringVar(&f.eventID, "event-id", "", "the source's id for this fact; the same one again adds nothing. Default: a new one")
}

func (f *factFlags) addSellers(c *cobra.Command, what string) {
	c.Flags().StringSliceVar(&f.sellers, "seller", nil, what)
}

func (f *factFlags) addScope(c *cobra.Command, missing string) {
	c.Flags().StringSliceVar(&f.channels, "channel", nil, strings.Join(words(channelWords), ", ")+missing)
	c.Flags().StringSliceVar(&f.purposes, "purpose", nil, strings.Join(words(purposeWords), ", ")+missing)
	c.Flags().StringSliceVar(&f.programmes, "programme", nil, "registered programmes; default all")
}

func (f *factFlags) addWords(c *cobra.Command, what string) {
	c.Flags().StringVar(&f.words, "words", "", what)
	c.Flags().StringVar(&f.method, "method", "", "how it was said: sms, web_form, oral_on_call …")
}

// The closed sets a scope is made of.
var (
	channelWords = consentv1.Channel(0).Descriptor()
	purposeWords = consentv1.Purpose(0).Descriptor()
)

// readWords reads a closed set. What permits refuses an unknown word; what forbids
// (lenient) gives back the words it could not read.
func readWords[E ~int32](ed protoreflect.EnumDescriptor, flag string, texts []string, lenient bool) (out []E, unread []string, err error) {
	for _, text := range texts {
		n, ok := numberOf(ed, text)
		switch {
		case ok:
			out = append(out, E(n))
		case lenient:
			unread = append(unread, text)
		default:
			return nil, nil, unknownWord("--"+flag, text, words(ed))
		}
	}
	return out, unread, nil
}

func unknownWord(what, text string, known []string) error {
	hint := "use one of: " + strings.Join(known, ", ")
	if near := nearest(text, known); near != "" {
		hint = "did you mean " + near + "? Else " + hint
	}
	return usageError(&hinted{fmt.Errorf("%s: %q is not known", what, safe(text)), hint})
}

// strictScope is the scope of what permits: it names all it covers.
func (f *factFlags) strictScope() (*consentv1.Scope, error) {
	channels, _, err := readWords[consentv1.Channel](channelWords, "channel", f.channels, false)
	if err != nil {
		return nil, err
	}
	purposes, _, err := readWords[consentv1.Purpose](purposeWords, "purpose", f.purposes, false)
	if err != nil {
		return nil, err
	}
	return &consentv1.Scope{Programmes: f.programmes, Channels: channels, Purposes: purposes}, nil
}

// wideScope is the scope of what forbids. A word it cannot read widens that
// dimension to all and is kept in unread (promise 10: no stop is lost to a formality).
func (f *factFlags) wideScope(stderr io.Writer) (s *consentv1.Scope, unread string) {
	s = &consentv1.Scope{Programmes: f.programmes, Exact: f.exact}
	var odd []string
	note := func(dimension string, texts []string) bool {
		if len(texts) == 0 {
			return false
		}
		fmt.Fprintf(stderr, "consent: %s %q not known: recorded for all %ss\n", dimension, safe(strings.Join(texts, ";")), dimension)
		odd = append(odd, dimension+"="+strings.Join(texts, ";"))
		return true
	}
	channels, left, _ := readWords[consentv1.Channel](channelWords, "channel", f.channels, true) // lenient never fails
	if s.Channels = channels; note("channel", left) {
		s.Channels = nil
	}
	purposes, left, _ := readWords[consentv1.Purpose](purposeWords, "purpose", f.purposes, true)
	if s.Purposes = purposes; note("purpose", left) {
		s.Purposes = nil
	}
	return s, strings.Join(odd, "\n")
}

// fact begins a fact about a number.
func (f *factFlags) fact(number string) *consentv1.Fact {
	out := &consentv1.Fact{Number: number, Sellers: f.sellers, Source: f.source, EventId: f.eventID}
	out.OccurredAt, out.OccurredOn = moment(f.occurredAt)
	return out
}

func grantCommand(g *globals) *cobra.Command {
	var f factFlags
	var wording string
	c := &cobra.Command{
		Use:   "grant NUMBER --seller S --channel c --purpose p --level l",
		Short: "Record that a person agreed",
		Long: `Record that a person agreed. A grant covers just what it names and must prove
itself: seller, channels, purposes and level are all required; a date that cannot
be read and a level that no rule pack names refuse it. Without --occurred-at it was
given now. Say what shows it (--wording, --words, --method): a grant of which nothing
is held counts for less, and an ALLOW that rests on it says so.`,
		Example: `  consent grant +12025550143 --seller acme --channel sms --purpose marketing --level express_written
  consent grant '(202) 555-0143' --seller acme --channel sms,sms_atds --purpose marketing \
      --level express_written --words 'YES' --occurred-at 2026-03-01T09:30:00-05:00 --expires-at 2027-03-01`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			scope, err := f.strictScope()
			if err != nil {
				return err
			}
			if err := g.knownLevel(c, f.level); err != nil {
				return err
			}
			k := &consentv1.ConsentGranted{Scope: scope, Level: f.level}
			k.ExpiresAt, k.ExpiresOn = moment(f.expiresAt)
			if f.words != "" || f.method != "" {
				k.Evidence = &consentv1.Evidence{Words: f.words, Method: f.method}
			}
			fact := f.fact(args[0])
			fact.Wording = wording
			fact.Kind = &consentv1.Fact_ConsentGranted{ConsentGranted: k}
			return g.recordOne(c, fact, true)
		},
	}
	f.addSellers(c, "in whose name; registered with: consent seller add")
	f.addScope(c, "")
	c.Flags().StringVar(&f.level, "level", "", "how strong: express_written, express, express_oral, implied, or another that a rule pack names")
	c.Flags().StringVar(&f.expiresAt, "expires-at", "", "when it ends: RFC 3339, or a date; default it does not")
	c.Flags().StringVar(&wording, "wording", "", "the text that the person was shown, by the id it was published under: consent wording add")
	f.addWords(c, "the words by which the person agreed")
	f.addIdentity(c)
	return needs(c, "seller", "channel", "purpose", "level")
}

const wideLong = ` What is missing means everything: no
--seller all sellers, no --channel all channels, no --purpose all purposes, no
readable date now. A channel covers its whole family (sms also sms_atds) unless --exact.`

func revokeCommand(g *globals) *cobra.Command {
	var f factFlags
	c := &cobra.Command{
		Use:   "revoke NUMBER [--seller S] [--channel c] [--purpose p]",
		Short: "Record that a person withdrew consent",
		Long:  "Record that a person withdrew consent." + wideLong,
		Example: `  consent revoke +12025550143 --seller acme --channel sms --words 'no more texts please'
  consent revoke +12025550143`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return g.revoke(c, &f, args[0]) },
	}
	f.addSellers(c, "from whom; default all sellers")
	f.addScope(c, "; default all")
	c.Flags().BoolVar(&f.exact, "exact", false, "just the channels named, not their family")
	f.addWords(c, "the exact words or key")
	f.addIdentity(c)
	return c
}

func (g *globals) revoke(c *cobra.Command, f *factFlags, number string) error {
	scope, unread := f.wideScope(c.ErrOrStderr())
	fact := f.fact(number)
	fact.Unread = unread
	fact.Kind = &consentv1.Fact_ConsentRevoked{ConsentRevoked: &consentv1.ConsentRevoked{Scope: scope, Words: f.words, Method: f.method}}
	return g.recordOne(c, fact, true)
}

func stopCommand(g *globals) *cobra.Command {
	var f factFlags
	c := &cobra.Command{
		Use:   "stop NUMBER [--seller S]",
		Short: "Record a plain request to stop: every channel, every purpose",
		Long: `Record a plain request to stop: every channel and every purpose of a seller, or
of all sellers if none is named. It is never refused for its form; what cannot be
read as a number goes to the inbox, where a person reads it.`,
		Example: "  consent stop +12025550143 --seller acme --words STOP\n  consent stop +12025550143",
		Args:    cobra.ExactArgs(1),
		RunE:    func(c *cobra.Command, args []string) error { return g.revoke(c, &f, args[0]) },
	}
	f.addSellers(c, "who must stop; default all sellers")
	f.addWords(c, "the exact words or key")
	f.addIdentity(c)
	return c
}

func dncCommand(g *globals) *cobra.Command {
	c := &cobra.Command{
		Use:   "dnc",
		Short: "A seller's own Do-Not-Call list",
		Long:  "Put a number on a seller's own Do-Not-Call list, or take it off.",
	}
	c.AddCommand(dncAddCommand(g), dncRemoveCommand(g))
	return c
}

func dncAddCommand(g *globals) *cobra.Command {
	var f factFlags
	c := &cobra.Command{
		Use:     "add NUMBER [--seller S] [--channel c] [--purpose p]",
		Short:   "Put a number on the list",
		Long:    "Put a number on a seller's own Do-Not-Call list." + wideLong,
		Example: "  consent dnc add +12025550143 --seller acme --words 'take me off your list'",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			scope, unread := f.wideScope(c.ErrOrStderr())
			fact := f.fact(args[0])
			fact.Unread = unread
			fact.Kind = &consentv1.Fact_DncAdded{DncAdded: &consentv1.DncAdded{Scope: scope, Words: f.words, Method: f.method}}
			return g.recordOne(c, fact, true)
		},
	}
	f.addSellers(c, "whose list; default all sellers")
	f.addScope(c, "; default all")
	c.Flags().BoolVar(&f.exact, "exact", false, "just the channels named, not their family")
	f.addWords(c, "the exact words or key")
	f.addIdentity(c)
	return c
}

func dncRemoveCommand(g *globals) *cobra.Command {
	var f factFlags
	c := &cobra.Command{
		Use:   "remove NUMBER --seller S [--channel c] [--purpose p]",
		Short: "Take a number off the list",
		Long: `Take a number off a seller's own Do-Not-Call list. Nothing else is lifted: a
revocation stays, and so do the lists of registries.`,
		Example: "  consent dnc remove +12025550143 --seller acme --reason 'asked for it by letter'",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			scope, err := f.strictScope()
			if err != nil {
				return err
			}
			fact := f.fact(args[0])
			fact.Kind = &consentv1.Fact_DncRemoved{DncRemoved: &consentv1.DncRemoved{Scope: scope, Reason: f.reason}}
			return g.recordOne(c, fact, true)
		},
	}
	f.addSellers(c, "whose list")
	f.addScope(c, "; default all")
	c.Flags().StringVar(&f.reason, "reason", "", "why, and on whose word")
	f.addIdentity(c)
	return needs(c, "seller")
}

// recordOne records one fact and writes its receipt.
func (g *globals) recordOne(c *cobra.Command, fact *consentv1.Fact, interactive bool) error {
	return g.with(c, func(ctx context.Context, cl *client.Client) error {
		r, err := cl.Record(ctx, &consentv1.RecordRequest{Fact: fact, DefaultRegion: g.region, Interactive: interactive})
		if err != nil {
			return err
		}
		return g.writeReceipt(c, r)
	})
}

// writeReceipt writes a receipt, and on stderr what of it a person should notice.
func (g *globals) writeReceipt(c *cobra.Command, r *consentv1.Receipt) error {
	for _, n := range r.GetNotices() {
		fmt.Fprintln(c.ErrOrStderr(), "consent:", printable(n))
	}
	if at := r.GetConflictsWith(); at > 0 {
		fmt.Fprintf(c.ErrOrStderr(), "consent: the event id stands for another fact, at position %d; the revocation is recorded all the same\n", at)
	}
	if !g.human() {
		return g.document(c.OutOrStdout(), messageJSON(r))
	}
	how := "recorded"
	if r.GetDuplicate() {
		how = "recorded before"
	}
	_, err := fmt.Fprintf(c.OutOrStdout(), "%s at position %d, %s, entry %s (%s)\n", how, r.GetPosition(), shown(r.GetRecordedAt()), r.GetEntryId(),
		firstOf(wordOf(r.GetDurability().Descriptor(), r.GetDurability().Number()), "durability not stated"))
	return err
}
