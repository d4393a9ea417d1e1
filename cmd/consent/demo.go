package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func demoCommand() *cobra.Command {
	var once bool
	c := &cobra.Command{
		Use:   "demo [--once]",
		Short: "Tell the whole story on sample data, in a temporary folder",
		Long: `Tell the whole story on sample data: a CRM's messy file, a Do-Not-Call list, a
dialer that listens, ALLOW, a STOP, BLOCK, the history and the proof handed out.

It makes a ledger in a temporary folder, serves it on a free port of loopback, and
runs the verbs it shows against it. The ledger's clock starts at a fixed instant, so
that the story is the same every time; only measured delays differ.

With --once it ends after the story: exit code 0 if every step gave what the story
says, else 1. Without it the server stays up until Ctrl-C and says where it is. The
folder is removed at the end. All numbers are from ranges reserved for fiction.`,
		Example: "  consent demo --once\n  consent demo",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return runDemo(c.Context(), once, c.OutOrStdout())
		},
	}
	c.Flags().BoolVar(&once, "once", false, "end after the story")
	return c
}

// runDemo makes the folder and the server, tells the story and cleans up, also
// when ctx ends in the middle.
func runDemo(ctx context.Context, once bool, stdout io.Writer) (err error) {
	// Whoever reads through head closes the pipe early; without this the process
	// would die of it and leave the folder with its keys.
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGPIPE)
	defer stop()
	dir, err := os.MkdirTemp("", "consent-demo-")
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	defer func() { err = firstError(err, os.RemoveAll(dir)) }()
	s := &story{teller: newTeller(stdout, colourful(stdout)), dir: dir, clock: &storyClock{}}
	defer func() { err = firstError(err, s.stop()) }()
	if err := s.tell(ctx); err != nil {
		return err
	}
	if once {
		s.say("Every step gave what the story says. The folder is removed now; consent demo, without --once, leaves the server up.")
		return nil
	}
	s.clock.release()
	s.where()
	return s.server.wait(ctx)
}

// where says how to go on by hand.
func (s *story) where() {
	s.heading("Now you")
	s.say("The server stays up until Ctrl-C; then its folder is removed. Its clock goes on from the story's.")
	s.gap()
	s.line("API   " + s.server.node.URL())
	s.line("key   " + s.keyFile())
	s.line("NATS  " + s.server.node.NATSURL() + " (user admin, password: the same key)")
	s.gap()
	s.say("In another terminal:")
	s.gap()
	s.line("export " + envServer + "=" + s.server.node.URL())
	s.line("export " + envKeyFile + "=" + s.keyFile())
	s.line("consent check " + shellQuote(numberBen) + " --campaign spring-texts")
	s.line("consent stop " + shellQuote(numberBen) + " --seller acme --words 'no more'")
	s.line("consent subscribe --seller acme")
}
