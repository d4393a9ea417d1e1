package main

import (
	"github.com/spf13/cobra"

	"github.com/consent-ledger/consent-ledger/cmd/consent/bench"
)

// serverCommands need no running server: they make one, look into one that is
// stopped, or need none at all.
func serverCommands(g *globals) []*cobra.Command {
	return []*cobra.Command{demoCommand(), initCommand(), serveCommand(), streamsCommand(), rulesCommand(g), bench.Command()}
}
