// Command consent is a consent ledger's one program: the server, and every verb
// that talks to one.
//
// main.go knows signals and exit codes only. root.go puts the verbs together, one
// file holds each group of verbs; output.go and json.go say how answers are
// written, connection.go how the server is found.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/consent-ledger/consent-ledger/cmd/consent/bench"
	"github.com/consent-ledger/consent-ledger/consumers/client"
	"github.com/consent-ledger/consent-ledger/consumers/crm"
)

// Exit codes are part of the contract: they are added to, never changed.
const (
	exitDone         = 0 // done, or ALLOW
	exitFailed       = 1 // failed; what is now true stands on stderr
	exitUsage        = 2 // the command line makes no sense
	exitBlock        = 3 // BLOCK
	exitUnknown      = 4 // not ready or unknown: treat as BLOCK, retry with the same event id
	exitVerification = 5 // verification failed
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the first lets it end in order; a second one ends it where it is, such as waiting for a pipe
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the whole program. Tests run the same one.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	complain(stderr, err)
	return exitCode(err)
}

// exitError is an error with an exit code of its own. Without an error it only
// sets the code.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// usageError says that the command line makes no sense.
func usageError(err error) error { return &exitError{exitUsage, err} }

// usagef is usageError with a text.
func usagef(format string, args ...any) error { return usageError(fmt.Errorf(format, args...)) }

// verificationError says that something is not what it should be.
func verificationError(err error) error { return &exitError{exitVerification, err} }

// exitCode is the one place where errors become exit codes.
func exitCode(err error) int {
	if err == nil {
		return exitDone
	}
	var e *exitError
	if errors.As(err, &e) {
		return e.code
	}
	if errors.As(err, new(bench.UsageError)) {
		return exitUsage
	}
	for _, unknown := range []error{
		client.ErrUncertain, client.ErrNotReady, client.ErrUnreachable, client.ErrAhead, client.ErrDamaged, crm.ErrUnknown,
	} {
		if errors.Is(err, unknown) {
			return exitUnknown
		}
	}
	return exitFailed
}

// hinted is an error that knows what helps.
type hinted struct {
	err  error
	hint string
}

func (h *hinted) Error() string { return h.err.Error() }
func (h *hinted) Unwrap() error { return h.err }

// complain says what went wrong; what helps stands on a line of its own. It masks
// what may be a phone number, because flags and libraries repeat what was typed.
func complain(stderr io.Writer, err error) {
	var e *exitError
	if err == nil || errors.As(err, &e) && e.err == nil {
		return
	}
	text := masked(err.Error())
	if errors.Is(err, context.Canceled) {
		text = "interrupted: " + text
	}
	fmt.Fprintln(stderr, "consent:", strings.ReplaceAll(text, "\n", "\nconsent: "))
	var h *hinted
	var c *client.Error
	switch {
	case errors.As(err, &h):
		fmt.Fprintln(stderr, "consent: hint:", masked(h.hint))
	case errors.As(err, &c) && c.Hint != "":
		fmt.Fprintln(stderr, "consent: hint:", masked(c.Hint))
	}
}
