// Package demo tells the whole story of a ledger on sample data: it makes a ledger, serves
// it, and runs the verbs it shows as the program itself would.
//
//	demo.go    the verb, and what is left when the story is told
//	story.go   the story, part by part
//	proof.go   what a court gets, and how it checks that
//	verbs.go   running verbs and reading their answers
//	server.go  the server and its clock
//	dialer.go  who listens
//	teller.go  a page of 80 columns
package demo

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// Program is what the story needs of the program that tells it.
type Program struct {
	// Run runs one command line as a shell would, and gives its exit code.
	Run func(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int
	// Version is the program's.
	Version string
	// AwaitReady waits until a server in this process is ready, or gets no nearer to it.
	AwaitReady func(ctx context.Context, url string)
}

// Exit codes and environment variables of the program, by its contract
// (docs/reference/cli.md).
const (
	exitDone         = 0
	exitBlock        = 3
	exitVerification = 5

	envServer  = "CONSENT_SERVER"
	envKeyFile = "CONSENT_KEY_FILE"
)

// Command is the verb.
func Command(p Program) *cobra.Command {
	var once bool
	c := &cobra.Command{
		Use:   "demo [--once]",
		Short: "Tell the whole story on sample data, in a temporary folder",
		Long: `Tell the whole story on sample data: a CRM's messy file, a Do-Not-Call list, a
dialer that listens, ALLOW, a STOP, BLOCK, and the history handed out with proofs that
somebody else checks.

It makes a ledger in a temporary folder, serves it on a free port of loopback, and
runs the verbs it shows against it. The ledger's clock starts at a fixed instant, so
that the story is the same every time; only measured delays differ.

With --once it ends after the story: exit code 0 if every step gave what the story
says, else 1. Without it the server stays up until Ctrl-C and says where it is. The
folder is removed at the end. All numbers are from ranges reserved for fiction.`,
		Example: "  consent demo --once\n  consent demo",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return run(c.Context(), p, once, c.OutOrStdout())
		},
	}
	c.Flags().BoolVar(&once, "once", false, "end after the story")
	return c
}

// run makes the folder and the server, tells the story and cleans up, also
// when ctx ends in the middle.
func run(ctx context.Context, p Program, once bool, stdout io.Writer) (err error) {
	// Whoever reads through head closes the pipe early; without this the process
	// would die of it and leave the folder with its keys.
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGPIPE)
	defer stop()
	dir, err := os.MkdirTemp("", "consent-demo-")
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	defer func() { err = cmp.Or(err, os.RemoveAll(dir)) }()
	s := &story{program: p, teller: newTeller(stdout, colourful(stdout)), dir: dir, clock: &storyClock{}}
	defer func() { err = cmp.Or(err, s.stop()) }()
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
