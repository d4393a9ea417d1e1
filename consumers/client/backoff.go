package client

import (
	"context"
	"math/rand/v2"
	"time"
)

const backoffMax = 5 * time.Second

// backoff gives growing pauses, each shortened by chance to no less than half, so
// that callers which failed together do not return together.
type backoff struct{ first, pause time.Duration }

func newBackoff(first time.Duration) *backoff { return &backoff{first: first, pause: first} }

func (b *backoff) next() time.Duration {
	p := b.pause
	b.pause = min(2*p, backoffMax)
	return p/2 + rand.N(p/2+1)
}

func (b *backoff) reset() { b.pause = b.first }

// wait tells about a pause and makes it. The error is the context's.
func (c *Client) wait(ctx context.Context, pause time.Duration, why error) error {
	c.opts.OnRetry(why, pause)
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
