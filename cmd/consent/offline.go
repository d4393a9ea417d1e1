package main

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/consent-ledger/consent-ledger/consumers/client"
	"github.com/consent-ledger/consent-ledger/node"
)

// folderFlags let a verb of a running server work on one that is stopped.
type folderFlags struct {
	dir, natsURL, policy string
	copyDir              string // set by repair alone
	anchors              []string
}

func (f *folderFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.dir, "dir", "", "the folder of a ledger whose server is stopped; default: ask the server")
	c.Flags().StringVar(&f.natsURL, "nats-url", "", "with --dir: the external NATS server of that ledger")
	c.Flags().StringArrayVar(&f.anchors, "anchor", nil, "with --dir: where serve keeps checkpoints; an older copy of the folder is known by them; may be repeated")
	c.Flags().StringVar(&f.policy, "policy", "", "with --dir: C2SP tlog-policy file of the witnesses that serve asks")
}

// with runs do with a client of the server, or of one in this process that ends
// with the verb. The verb is the same code either way.
func (f *folderFlags) with(g *globals, c *cobra.Command, do func(context.Context, *client.Client) error) (err error) {
	if f.dir == "" {
		return g.with(c, do)
	}
	if err := g.checkOutput(); err != nil {
		return err
	}
	logs := slog.New(slog.NewTextHandler(c.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	n, err := node.Open(c.Context(), node.Config{Dir: f.dir, NATSURL: f.natsURL, Listen: "127.0.0.1:0", NATSListen: node.NATSListenNone, Version: version(), Logger: logs,
		CopyDir: f.copyDir, Anchors: f.anchors, Policy: f.policy, ScrubPace: node.ScrubOff})
	if err != nil {
		return err
	}
	ctx, end := context.WithCancel(c.Context())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	defer func() {
		end()
		err = firstError(err, <-ended, n.Close())
	}()
	cl, err := client.New(n.URL(), n.AdminKey(), client.Options{})
	if err != nil {
		return err
	}
	defer cl.Close()
	awaitReady(ctx, n.URL())
	return do(ctx, cl)
}

// standstill is how long what keeps a server in this process from deciding may stay
// the same until the verb goes on all the same: what it is, is for the verb to find.
const standstill = 10 * time.Second

// awaitReady waits until a server is ready, or gets no nearer to it.
func awaitReady(ctx context.Context, url string) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	last, since := "", time.Now()
	for time.Since(since) < standstill {
		ready, answer, err := askReady(ctx, url)
		if ready {
			return
		}
		if err == nil && answer != last {
			last, since = answer, time.Now()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// askReady gives what a server answers on /readyz: "ready", or what keeps it.
func askReady(ctx context.Context, url string) (ready bool, answer string, err error) {
	ctx, cancel := context.WithTimeout(ctx, standstill)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/readyz", nil)
	if err != nil {
		return false, "", err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false, "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return res.StatusCode == http.StatusOK, string(b), err
}
