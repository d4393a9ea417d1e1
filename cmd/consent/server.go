package main

import "github.com/spf13/cobra"

// serverCommands need no running server: they make one, look into one that is
// stopped, or need none at all.
func serverCommands(g *globals) []*cobra.Command {
	return []*cobra.Command{demoCommand(), initCommand(), serveCommand(), streamsCommand(), rulesCommand(g), benchCommand()}
}
