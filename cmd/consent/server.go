package main

import (
	"github.com/spf13/cobra"

	"github.com/consent-ledger/consent-ledger/cmd/consent/bench"
	"github.com/consent-ledger/consent-ledger/cmd/consent/demo"
)

// serverCommands need no running server: they make one, look into one that is
// stopped, or need none at all.
func serverCommands(g *globals) []*cobra.Command {
	tell := demo.Program{Run: run, Version: version(), AwaitReady: awaitReady}
	return []*cobra.Command{demo.Command(tell), initCommand(), serveCommand(), streamsCommand(), rulesCommand(g), bench.Command()}
}
