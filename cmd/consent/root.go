package main

import (
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

const rootLong = `Consent Ledger answers one question, in a millisecond today and in court years
later: may we contact this number, for this seller, on this channel, for this
purpose, now, and how do we know?

Every grant, revocation and Do-Not-Call request becomes an entry that nothing
changes or removes. A check folds the entries of a number into ALLOW or BLOCK, with
reasons and citations; what is unknown, late or unreadable is BLOCK.

  consent demo --once                   the whole story in a minute, on sample data
  consent init --dir D                  create a ledger
  consent serve --dir D                 serve it
  consent check NUMBER --campaign C     ask: exit code 0 is ALLOW, 3 BLOCK, 4 unknown (treat as BLOCK)

Answers go to stdout, everything else to stderr. Exit codes: 0 done or ALLOW, 1 failed,
2 usage, 3 BLOCK, 4 not ready or unknown, 5 verification failed. This is no legal advice.`

// newRoot puts the program together.
func newRoot() *cobra.Command {
	g := &globals{}
	root := &cobra.Command{
		Use:           "consent",
		Short:         "A ledger of consent: who may be called and texted, and the proof",
		Long:          rootLong,
		SilenceErrors: true, // complain says it once
		SilenceUsage:  true, // --help teaches, errors stay short
		Version:       version(),
	}
	g.add(root)
	root.AddGroup(
		&cobra.Group{ID: groupRecord, Title: "Record what happened:"},
		&cobra.Group{ID: groupAsk, Title: "Ask:"},
		&cobra.Group{ID: groupRun, Title: "Run a ledger:"},
	)
	root.AddCommand(grouped(groupRecord, recordCommands(g))...)
	root.AddCommand(grouped(groupAsk, askCommands(g))...)
	root.AddCommand(grouped(groupRun, append(runCommands(g), serverCommands(g)...))...)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError(&hinted{err, c.CommandPath() + " --help"})
	})
	harden(root)
	return root
}

// Groups of verbs in the help.
const (
	groupRecord = "record"
	groupAsk    = "ask"
	groupRun    = "run"
)

func grouped(id string, cs []*cobra.Command) []*cobra.Command {
	for _, c := range cs {
		c.GroupID = id
	}
	return cs
}

func recordCommands(g *globals) []*cobra.Command {
	return []*cobra.Command{
		grantCommand(g), revokeCommand(g), stopCommand(g), dncCommand(g), recordCommand(g),
		sellerCommand(g), programmeCommand(g), campaignCommand(g), sourceCommand(g), wordingCommand(g), importCommand(g), eraseCommand(g), inboxCommand(g),
	}
}

func askCommands(g *globals) []*cobra.Command {
	return []*cobra.Command{
		checkCommand(g), scrubCommand(g), timelineCommand(g), subscribeCommand(g), exportCommand(g), verifyCommand(g), receiptCommand(g), registryCommand(g),
	}
}

func runCommands(g *globals) []*cobra.Command {
	return []*cobra.Command{doctorCommand(g), repairCommand(g), rebuildCommand(g), keysCommand(g), witnessCommand(), decodeCommand(g), versionCommand(g)}
}

// harden closes what cobra leaves open in a tree of commands: errors found before
// a verb begins are usage errors, and a group without a verb is one too.
func harden(c *cobra.Command) {
	for _, sub := range c.Commands() {
		harden(sub)
	}
	if !c.Runnable() && c.HasParent() {
		c.Args, c.RunE = cobra.ArbitraryArgs, func(c *cobra.Command, args []string) error { return wrongVerb(c, args) }
		return
	}
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return usageError(&hinted{err, c.CommandPath() + " --help"})
			}
			return nil
		}
	}
	if !c.HasParent() {
		c.Args, c.RunE = cobra.ArbitraryArgs, func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return c.Help()
			}
			return wrongVerb(c, args)
		}
	}
}

// wrongVerb names the verbs there are.
func wrongVerb(c *cobra.Command, args []string) error {
	var names []string
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	if len(args) == 0 {
		return usagef("%s needs a verb: %s", c.CommandPath(), strings.Join(names, ", "))
	}
	hint := "see " + c.CommandPath() + " --help"
	if near := nearest(args[0], names); near != "" {
		hint = "did you mean: " + c.CommandPath() + " " + near
	}
	return usageError(&hinted{fmt.Errorf("%s has no verb %q", c.CommandPath(), safe(args[0])), hint})
}

// needs makes flags required. They exist, or the program does not start in its tests.
func needs(c *cobra.Command, flags ...string) *cobra.Command {
	run := c.RunE
	c.RunE = func(c *cobra.Command, args []string) error {
		for _, name := range flags {
			if f := c.Flags().Lookup(name); f == nil || f.Value.String() == "" || f.Value.String() == "[]" {
				return usageError(&hinted{fmt.Errorf("%s needs --%s", c.CommandPath(), name), c.CommandPath() + " --help"})
			}
		}
		return run(c, args)
	}
	return c
}

// version is the module's version, or the commit it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	if v == "" || v == "(devel)" {
		v = "devel"
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && len(s.Value) >= 12 {
				v += "-" + s.Value[:12]
			}
		}
	}
	return v
}
