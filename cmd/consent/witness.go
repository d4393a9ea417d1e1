package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/consent-ledger/consent-ledger/ledger/proof"
	"github.com/consent-ledger/consent-ledger/ledger/witness"
)

const witnessLong = `Witness other people's ledgers. A witness cosigns a ledger's checkpoints as long as
each follows from the one it saw before, and keeps the newest: an operator who shows
two histories, or takes one back, needs all witnesses to help. It sees no entries,
only how many there are. The protocol is C2SP tlog-witness, so other logs may ask
too, and a ledger may ask other witnesses.`

func witnessCommand() *cobra.Command {
	c := &cobra.Command{Use: "witness", Short: "Cosign other people's ledgers", Long: witnessLong}
	c.AddCommand(witnessInitCommand(), witnessServeCommand())
	return c
}

func witnessInitCommand() *cobra.Command {
	var dir, name string
	c := &cobra.Command{
		Use:     "init --dir D --name N",
		Short:   "Make a witness's key",
		Long:    "Make a witness's key and print its public key, for the policies of ledgers that ask it.",
		Example: "  consent witness init --dir ./witness --name witness.example.com/w1",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			public, err := witness.Create(dir, name)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), public)
			return err
		},
	}
	c.Flags().StringVar(&dir, "dir", "", "the witness's folder")
	c.Flags().StringVar(&name, "name", "", "its name in cosignatures, for ever: a URL without https://")
	return needs(c, "dir", "name")
}

func witnessServeCommand() *cobra.Command {
	var dir, keyFile, listen, cert, key string
	c := &cobra.Command{
		Use:   "serve --dir D --key K",
		Short: "Take checkpoints and cosign them",
		Long: witnessLong + `

--key names a file with the public keys of the ledgers it witnesses, as consent keys
show prints them. POST /add-checkpoint needs no other key: only a ledger's own
signature is taken. GET /seen/ORIGIN shows what was cosigned last. Each checkpoint
cosigned is a line on stdout: origin, number of entries, root.`,
		Example: "  consent witness serve --dir ./witness --key ledger.keys --listen 127.0.0.1:8421",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) (err error) {
			if (cert == "") != (key == "") {
				return usagef("--tls-cert and --tls-key go together")
			}
			raw, err := readBounded(keyFile, proof.KeysBytesMax)
			if err != nil {
				return fmt.Errorf("--key: %w", err)
			}
			logs, err := proof.ParseKeys(raw)
			if err != nil {
				return usageError(err)
			}
			w, err := witness.Open(dir, logs, slog.New(slog.NewJSONHandler(c.ErrOrStderr(), nil)), func(origin string, cp proof.Checkpoint) {
				fmt.Fprintln(c.OutOrStdout(), origin, cp.Size, cp.Root)
			})
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, w.Close()) }()
			l, err := net.Listen("tcp", listen)
			if err != nil {
				return fmt.Errorf("--listen: %w", err)
			}
			scheme := "http"
			if cert != "" {
				scheme = "https"
			}
			fmt.Fprintf(c.ErrOrStderr(), "consent: witness %s://%s\n", scheme, l.Addr())
			return serveWitness(c.Context(), l, w, cert, key)
		},
	}
	c.Flags().StringVar(&dir, "dir", "", "the witness's folder")
	c.Flags().StringVar(&keyFile, "key", "", "file of the public keys of the ledgers it witnesses")
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:8421", "where it listens; port 0 for any")
	c.Flags().StringVar(&cert, "tls-cert", "", "PEM certificate; without it the witness speaks plain HTTP, which is safe but shows sizes")
	c.Flags().StringVar(&key, "tls-key", "", "PEM key")
	return needs(c, "dir", "key")
}

// serveWitness serves until ctx is done.
func serveWitness(ctx context.Context, l net.Listener, w http.Handler, cert, key string) error {
	s := &http.Server{Handler: w, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second}
	stop := context.AfterFunc(ctx, func() {
		shut, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = s.Shutdown(shut) // what does not end in time ends with the process
	})
	defer stop()
	serve := s.Serve
	if cert != "" {
		serve = func(l net.Listener) error { return s.ServeTLS(l, cert, key) }
	}
	if err := serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
