package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/consent-ledger/consent-ledger/consumers/client"
)

// Environment variables that stand for flags.
const (
	envServer  = "CONSENT_SERVER"
	envKeyFile = "CONSENT_KEY_FILE"
)

// globals are the flags of every verb.
type globals struct {
	server  string
	keyFile string
	output  string
	region  string
}

func (g *globals) add(root *cobra.Command) {
	f := root.PersistentFlags()
	f.StringVar(&g.server, "server", "", "the server; default $"+envServer+", else "+client.ServerDefault)
	f.StringVar(&g.keyFile, "key-file", "", "file with the API key, such as D/admin.key; default $"+envKeyFile)
	f.StringVarP(&g.output, "output", "o", "", "table, json or jsonl")
	f.StringVar(&g.region, "default-region", "", "ISO country of numbers without a country code; default US")
}

// connect makes the client of one verb. Nothing is sent yet.
func (g *globals) connect(c *cobra.Command) (*client.Client, error) {
	server := firstOf(g.server, os.Getenv(envServer), client.ServerDefault)
	path := firstOf(g.keyFile, os.Getenv(envKeyFile))
	if path == "" {
		return nil, usageError(&hinted{errors.New("no API key is named"), "name its file with --key-file or " + envKeyFile + "; init wrote it to D/admin.key"})
	}
	key, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usageError(&hinted{fmt.Errorf("there is no key file %s", path), "init wrote the key to D/admin.key"})
	}
	if err != nil {
		return nil, fmt.Errorf("key file: %w", err)
	}
	stderr := c.ErrOrStderr()
	cl, err := client.New(server, strings.TrimSpace(string(key)), client.Options{OnRetry: func(err error, pause time.Duration) {
		fmt.Fprintf(stderr, "consent: %s; trying again in %s\n", masked(err.Error()), pause.Round(time.Millisecond))
	}})
	if err != nil {
		return nil, usageError(err)
	}
	return cl, nil
}

// with runs do with a client.
func (g *globals) with(c *cobra.Command, do func(context.Context, *client.Client) error) error {
	if err := g.checkOutput(); err != nil {
		return err
	}
	cl, err := g.connect(c)
	if err != nil {
		return err
	}
	defer cl.Close()
	return do(c.Context(), cl)
}

func firstOf(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}
