package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/consent-ledger/consent-ledger/node"
)

// serverFlags are the flags of every verb that opens a ledger's folder.
type serverFlags struct {
	node.Config
	logLevel string
}

func (f *serverFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.Dir, "dir", "", "the ledger's folder (required)")
	c.Flags().StringVar(&f.NATSURL, "nats-url", "", "external NATS server instead of the embedded one")
	c.Flags().StringVar(&f.logLevel, "log-level", "info", "debug, info, warn or error")
}

// config finishes the configuration: logs go to stderr, JSON unless it is a terminal.
func (f *serverFlags) config(stderr io.Writer) (node.Config, error) {
	if f.Dir == "" {
		return node.Config{}, &hinted{errors.New("no folder is named"), "name the ledger's folder with --dir"}
	}
	if strings.HasPrefix(f.Dir, "-") { // a flag in the folder's place; init would make it
		return node.Config{}, &hinted{fmt.Errorf("--dir %q looks like a flag", f.Dir), "if the folder is called so, write ./" + f.Dir}
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.logLevel)); err != nil {
		return node.Config{}, fmt.Errorf("--log-level: %w", err)
	}
	o := &slog.HandlerOptions{Level: level}
	var h slog.Handler = slog.NewJSONHandler(stderr, o)
	if isTerminal(stderr) {
		h = slog.NewTextHandler(stderr, o)
	}
	cfg := f.Config
	cfg.Logger, cfg.Version = slog.New(h), version()
	return cfg, nil
}

func initCommand() *cobra.Command {
	var f serverFlags
	c := &cobra.Command{
		Use:   "init --dir D",
		Short: "Create a new, empty ledger",
		Long: `Create a new, empty ledger in a folder that is empty or does not exist.

It makes the keys, the key to the API (D/admin.key) and the streams. A ledger is
never made by any other verb: a mistyped folder must not look like an empty history.

Keep a copy of D/keys/kek.json in another place. Whoever has it can open what the
ledger holds; without it the ledger is only proof, no longer knowledge.`,
		Example: "  consent init --dir ./ledger\n  consent serve --dir ./ledger",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := f.config(c.ErrOrStderr())
			if err != nil {
				return usageError(err)
			}
			key, err := node.Init(c.Context(), cfg)
			if err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "ledger created in %s\n", cfg.Dir)
			fmt.Fprintf(c.OutOrStdout(), "API key: %s (keep it secret)\n", key)
			fmt.Fprintf(c.OutOrStdout(), "back up elsewhere: %s\n", filepath.Join(cfg.Dir, "keys", "kek.json"))
			fmt.Fprintf(c.OutOrStdout(), "next: consent serve --dir %s\n", cfg.Dir)
			return nil
		},
	}
	f.add(c)
	c.Flags().StringVar(&f.Origin, "origin", "", "the ledger's name in what it signs, for ever: a URL without https://; default consent-ledger/ and its id")
	return c
}

func serveCommand() *cobra.Command {
	var f serverFlags
	var pace string
	c := &cobra.Command{
		Use:   "serve --dir D",
		Short: "Serve a ledger",
		Long: `Serve a ledger: take facts, answer checks, stream suppression updates.

The API listens on loopback only, unless --tls-cert and --tls-key are given. The
embedded NATS server listens on loopback for CRMs that publish to
consent.v1.intake.<source> and for checks over NATS.

So that collections of garbage do not hold checks up, none comes before some 600 MB of
memory are in use; on a small machine set GOMEMLIMIT (such as 400MiB) or GOGC.

It ends with exit code 1 if its disk fails, or an append stays without an answer
for 10 seconds: restart it, the restart reads the ledger to its tail and settles
what is open.`,
		Example: "  consent serve --dir ./ledger\n  consent serve --dir ./ledger --listen 127.0.0.1:9000 --nats-listen none",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := f.config(c.ErrOrStderr())
			if err == nil {
				cfg.ScrubPace, err = scrubPace(pace)
			}
			if err != nil {
				return usageError(err)
			}
			return serve(c.Context(), cfg, c.ErrOrStderr())
		},
	}
	f.add(c)
	c.Flags().StringVar(&f.Listen, "listen", node.ListenDefault, "where the API listens; port 0 for any")
	c.Flags().StringVar(&f.NATSListen, "nats-listen", node.NATSListenDefault, "where the embedded NATS server listens; none for nowhere")
	c.Flags().StringVar(&f.TLSCert, "tls-cert", "", "PEM certificate; needed for anything but loopback")
	c.Flags().StringVar(&f.TLSKey, "tls-key", "", "PEM key")
	c.Flags().BoolVar(&f.LazySync, "lazy-sync", false, "acknowledge before fsync: faster, and a power cut loses acknowledged facts; every receipt says so")
	c.Flags().StringArrayVar(&f.Anchors, "anchor", nil, "where to keep checkpoints outside the folder: a file on another disk, or a URL to post to; may be repeated")
	c.Flags().StringVar(&f.Policy, "policy", "", "C2SP tlog-policy file: witnesses to ask for cosignatures, and how many must give one")
	c.Flags().StringVar(&f.TimestampURL, "timestamp-url", "", "RFC 3161 authority that stamps checkpoints: then others vouch for when an entry was there")
	c.Flags().StringVar(&f.TimestampCA, "timestamp-ca", "", "with --timestamp-url: PEM file with the certificate of those who vouch for it")
	c.Flags().DurationVar(&f.TimestampEvery, "timestamp-every", 0, "with --timestamp-url: how often it is asked; default hourly")
	c.Flags().StringVar(&pace, "scrub-pace", "4", "MB a second of the ledger to read again and compare with its tree, at most once an hour; off: never")
	c.Flags().BoolVar(&f.PublicTree, "public-tree", false, "show checkpoint and tiles without a key: hashes only, but everybody sees how many entries there are")
	c.Flags().BoolVar(&f.RecordDecisions, "record-decisions", false, "keep every decision of a check for five years; each answer then waits until it is on disk")
	return c
}

// scrubPace reads the flag: a number of megabytes a second, or off.
func scrubPace(s string) (int64, error) {
	if s == "off" {
		return node.ScrubOff, nil
	}
	mb, err := strconv.ParseFloat(s, 64)
	if err != nil || mb < 0.001 || mb > 100_000 {
		return 0, &hinted{fmt.Errorf("--scrub-pace %q is no pace", s), "write MB a second, such as 4 or 0.5; or off"}
	}
	return int64(mb * (1 << 20)), nil
}

// serve runs a node until ctx is done, and says on stderr where it is.
func serve(ctx context.Context, cfg node.Config, stderr io.Writer) error {
	node.RoomForGarbage()
	n, err := node.Open(ctx, cfg)
	if err != nil {
		return err
	}
	fmt.Fprintf(stderr, "consent: API  %s (key in %s)\n", n.URL(), filepath.Join(cfg.Dir, "admin.key"))
	if u := n.NATSURL(); u != "" {
		fmt.Fprintf(stderr, "consent: NATS %s (user admin, password: the same key)\n", u)
	}
	err = n.Run(ctx)
	return firstError(err, n.Close())
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// isTerminal tells whether a writer is a terminal.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}
