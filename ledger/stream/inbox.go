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
	files  *Files
	pulse  *Pulse

	// mu is held over a Put, so that the same message from two callers is one item.
	mu   sync.Mutex
	open map[string]bool // keyOf the open items
}

// sealedBytesMax is how much sealed content an item holds itself, of the 1 MiB
// that a message may have. What is larger is an object in consent-files.
const sealedBytesMax = 256 << 10

// InboxEntry is one open item; its id is the stream's sequence.
type InboxEntry struct {
	ID   string
	Item *consentv1.StoredInboxItem
}

// keyOf tells open items apart; empty: an item like no other.
func keyOf(item *consentv1.StoredInboxItem) string {
	if at := item.GetPosition(); at > 0 {
		return "position/" + strconv.FormatUint(at, 10)
	}
	return string(item.GetKey())
}

// OpenInbox binds to the stream and to the object store of large contents. pulse as
// in Open.
func OpenInbox(ctx context.Context, js jetstream.JetStream, pulse *Pulse) (*Inbox, error) {
	s, err := js.Stream(ctx, InboxStream)
	if err != nil {
		return nil, fmt.Errorf("stream %s: %w", InboxStream, err)
	}
	files, err := OpenFiles(ctx, js)
	if err != nil {
		return nil, err
	}
	b := &Inbox{js: js, stream: s, files: files, pulse: pulse, open: map[string]bool{}}
	entries, err := b.List(ctx)
	for _, e := range entries {
		b.open[keyOf(e.Item)] = true
	}
	return b, err
}

// Put makes an item durable. One whose position or key is that of an open item is
// that item. Large content is stored first: a crash leaves an object nobody names.
func (b *Inbox) Put(ctx context.Context, item *consentv1.StoredInboxItem) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	key := keyOf(item)
	if key != "" && b.open[key] {
		return nil
	}
	if len(item.GetSealed()) > sealedBytesMax {
		name, err := b.files.PutBytes(ctx, item.GetSealed())
		if err != nil {
			return fmt.Errorf("inbox: %w", err)
		}
		item = proto.CloneOf(item)
		item.Sealed, item.File = nil, name[:]
	}
	data, err := proto.Marshal(item)
	if err != nil {
		return fmt.Errorf("inbox: %w", err)
	}
	if _, err := b.js.Publish(ctx, InboxSubject, data, jetstream.WithExpectStream(InboxStream)); err != nil {
		return fmt.Errorf("inbox: %w", err)
	}
	if err := b.pulse.Beat(); err != nil {
		return fmt.Errorf("inbox: %w", err)
	}
	b.open[key] = true
	return nil
}

// Sealed gives an item's sealed content, wherever it lies.
func (b *Inbox) Sealed(ctx context.Context, item *consentv1.StoredInboxItem) ([]byte, error) {
	if len(item.GetFile()) != len(ledger.Hash{}) {
		return item.GetSealed(), nil
	}
	data, err := b.files.GetBytes(ctx, ledger.Hash(item.GetFile()))
	if err != nil {
		return nil, fmt.Errorf("inbox: content: %w", err)
	}
	return data, nil
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

// Remove takes an item out and overwrites it; removing it twice is harmless. Its
// large content goes first: a crash must not leave what nothing names any more.
func (b *Inbox) Remove(ctx context.Context, id string) error {
	seq, err := strconv.ParseUint(id, 10, 64)
	if err != nil {
		return ledger.ErrNotFound
	}
	item, err := b.Get(ctx, id)
	if errors.Is(err, ledger.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if len(item.GetFile()) == len(ledger.Hash{}) {
		name := ledger.Hash(item.GetFile()).String()
		if err := b.files.store.Delete(ctx, name); err != nil && !errors.Is(err, jetstream.ErrObjectNotFound) {
			return fmt.Errorf("inbox: remove content of item %s: %w", id, err)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.stream.SecureDeleteMsg(ctx, seq); err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
		return fmt.Errorf("inbox: remove item %s: %w", id, err)
	}
	delete(b.open, keyOf(item))
	return nil
}
