package stream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/protobuf/proto"

	"github.com/consent-ledger/consent-ledger/ledger"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// Inbox is the stream CONSENT_INBOX. An item stays until a person closes it.
type Inbox struct {
	js     jetstream.JetStream
	stream jetstream.Stream

	// mu is held over a Put, so that the same message from two callers is one item.
	mu   sync.Mutex
	open map[string]bool // keys of the open items
}

// InboxEntry is one open item; its id is the stream's sequence.
type InboxEntry struct {
	ID   string
	Item *consentv1.StoredInboxItem
}

// OpenInbox binds to the stream.
func OpenInbox(ctx context.Context, js jetstream.JetStream) (*Inbox, error) {
	s, err := js.Stream(ctx, InboxStream)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", InboxStream, err)
	}
	b := &Inbox{js: js, stream: s, open: map[string]bool{}}
	entries, err := b.List(ctx)
	for _, e := range entries {
		b.open[string(e.Item.GetKey())] = true
	}
	return b, err
}

// Put makes an item durable. One whose key is that of an open item is that item.
func (b *Inbox) Put(ctx context.Context, item *consentv1.StoredInboxItem) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	key := string(item.GetKey())
	if key != "" && b.open[key] {
		return nil
	}
	data, err := proto.Marshal(item)
	if err != nil {
		return fmt.Errorf("inbox: %w", err)
	}
	if _, err := b.js.Publish(ctx, InboxSubject, data, jetstream.WithExpectStream(InboxStream)); err != nil {
		return fmt.Errorf("inbox: %w", err)
	}
	b.open[key] = true
	return nil
}

// Count is how many items are open.
func (b *Inbox) Count(ctx context.Context) (uint64, error) {
	info, err := b.stream.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("inbox: %w", err)
	}
	return info.State.Msgs, nil
}

// List gives the open items, oldest first. It asks for one after another: the
// stream's last sequence may be that of a closed item, which a reader that follows
// would wait for until it comes, which is never.
func (b *Inbox) List(ctx context.Context) ([]InboxEntry, error) {
	var out []InboxEntry
	for seq := uint64(1); ; {
		m, err := b.stream.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(InboxSubject))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("inbox: %w", err)
		}
		item := &consentv1.StoredInboxItem{}
		if err := proto.Unmarshal(m.Data, item); err != nil {
			return nil, fmt.Errorf("inbox: item %d: %w", m.Sequence, err)
		}
		out = append(out, InboxEntry{strconv.FormatUint(m.Sequence, 10), item})
		seq = m.Sequence + 1
	}
}

// Get reads one open item; ledger.ErrNotFound if it is closed or never was.
func (b *Inbox) Get(ctx context.Context, id string) (*consentv1.StoredInboxItem, error) {
	seq, err := strconv.ParseUint(id, 10, 64)
	if err != nil {
		return nil, ledger.ErrNotFound
	}
	m, err := b.stream.GetMsg(ctx, seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, ledger.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("inbox: item %s: %w", id, err)
	}
	item := &consentv1.StoredInboxItem{}
	if err := proto.Unmarshal(m.Data, item); err != nil {
		return nil, fmt.Errorf("inbox: item %s: %w", id, err)
	}
	return item, nil
}

// Remove takes a closed item out; removing it twice is harmless.
func (b *Inbox) Remove(ctx context.Context, id string) error {
	seq, err := strconv.ParseUint(id, 10, 64)
	if err != nil {
		return ledger.ErrNotFound
	}
	if item, err := b.Get(ctx, id); err == nil {
		b.mu.Lock()
		delete(b.open, string(item.GetKey()))
		b.mu.Unlock()
	}
	if err := b.stream.DeleteMsg(ctx, seq); err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
		return fmt.Errorf("inbox: remove item %s: %w", id, err)
	}
	return nil
}
