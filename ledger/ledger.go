// Package ledger is the truth: facts in the order in which they became durable.
//
// This file holds the words every other room uses. What a fact means is in
// fact.go and resolve.go, the one writer in package writer, the stream on
// JetStream in package stream.
package ledger

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/google/uuid"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// Position is an entry's place in the ledger: 1, 2, 3 … without gaps, for ever.
// Zero means "before the first".
type Position uint64

// Hash is a SHA-256.
type Hash [sha256.Size]byte

// String gives the hash in hex.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// LeafHash is the Merkle leaf of an entry: SHA-256(0x00 || entry bytes), RFC 9162 section 2.1.1.
func LeafHash(entry []byte) Hash {
	d := sha256.New()
	d.Write([]byte{0})
	d.Write(entry)
	return Hash(d.Sum(nil))
}

// EntryID is an entry's UUIDv7.
type EntryID [16]byte

// String gives the id in the usual form.
func (id EntryID) String() string { return uuid.UUID(id).String() }

// PersonID is the random id of one holder of a number: keys and back-links hang
// on it, the fold does not.
type PersonID [16]byte

// IsZero tells whether there is no person (a system fact).
func (p PersonID) IsZero() bool { return p == PersonID{} }

// Bucket is the first 12 bits of the person: the unit in which keys are destroyed.
func (p PersonID) Bucket() uint16 { return uint16(p[0])<<4 | uint16(p[1])>>4 }

// TokenVersion is the version byte of all tokens made today.
const TokenVersion = 1

// Tokens are keyed pseudonyms of a number: a version byte and one AES block.
type (
	// ExchangeToken x = CMAC(Kx, number): what an entry carries, sealed.
	ExchangeToken [17]byte
	// Token t = CMAC(Kt, x): the key of every projection.
	Token [17]byte
	// FeedToken = CMAC(K_seller, x): what one seller's dialers see.
	FeedToken [17]byte
	// DirectoryToken = CMAC(K_directory, number): makes the number's key in the
	// directory, and is shown with the number to whoever is to check that.
	DirectoryToken [17]byte
)

// IsZero tells whether there is no token (a system fact).
func (t Token) IsZero() bool { return t == Token{} }

// IsZero tells whether there is no token (a system fact).
func (x ExchangeToken) IsZero() bool { return x == ExchangeToken{} }

// PartyKeyBytes is the length of the key that ties the numbers of one person.
const PartyKeyBytes = 16

// All is the reserved word for every seller or programme.
const All = "all"

// EntryBytesMax is the largest entry, a limit of C2SP tlog-tiles.
const EntryBytesMax = 65535

// Entry is a decoded entry with its token opened: what projections, the index
// and the feed see. Personal parts stay sealed.
type Entry struct {
	Position   Position
	RecordedAt time.Time
	ID         EntryID
	Leaf       Hash
	// Exchange and Token are zero for system facts other than PersonErased.
	Exchange ExchangeToken
	Token    Token
	// Msg is the whole stored message; Msg.Fact is the clear part of the fact.
	Msg *consentv1.Entry
	// Bytes are the exact stored bytes.
	Bytes []byte
}

// Fact is the clear part of the fact.
func (e *Entry) Fact() *consentv1.Fact { return e.Msg.GetFact() }

// Message is one stored message of the ledger stream: a commit.
type Message struct {
	Seq  uint64 // JetStream sequence
	Data []byte // serialized consentv1.Commit, exactly as stored
}

// Log is the stream of commits, and the stream of wrapped keys beside it. One
// writer appends; any number read. Implementations: stream (JetStream) and
// memledger; ledgertest is the suite both pass. All methods are safe for
// concurrent use, except that only one Append may be in flight.
type Log interface {
	// Append makes data durable as the message after sequence `after`. On nil it
	// is fsynced. ErrNoAnswer: it may or may not be stored. ErrWrongTail: it was
	// refused because the stream's last sequence is not `after`; nothing of this
	// call was stored (an earlier call with the same data may have been). ErrDisk:
	// it was stored, but perhaps not for good.
	Append(ctx context.Context, after uint64, data []byte) (seq uint64, err error)
	// AppendKeys makes a WrappedKeys message durable. ErrNoAnswer and ErrDisk as
	// above; appending the same keys twice is harmless.
	AppendKeys(ctx context.Context, data []byte) (seq uint64, err error)
	// Tail is the last sequence of the ledger stream, from the leader.
	Tail(ctx context.Context) (seq uint64, err error)
	// Read gives the message at seq from the leader; ErrNotFound if there is none,
	// ErrUnreadable if it makes no sense.
	Read(ctx context.Context, seq uint64) (Message, error)
	// Follow yields every message after seq in order, then waits for more. It ends
	// only with ctx or an error; a gap is an error. A message is yielded only
	// after it is durable.
	Follow(ctx context.Context, after uint64) iter.Seq2[Message, error]
	// KeysTail is the last sequence of the keys stream, from the leader.
	KeysTail(ctx context.Context) (seq uint64, err error)
	// FollowKeys yields the keys messages after seq that are there, and ends at the
	// stream's present tail. A gap is a message that is lost.
	FollowKeys(ctx context.Context, after uint64) iter.Seq2[Message, error]
	// Durability says how firmly an acknowledged message is held.
	Durability() consentv1.Durability
}

// Errors of the ledger. Each says what is now true.
var (
	// ErrNoAnswer: the acknowledgement was lost; the message may be stored.
	// Append the same bytes after the same sequence again.
	ErrNoAnswer = errors.New("ledger: no answer, the message may be stored")

	// ErrWrongTail: the stream's last sequence is another one. Nothing of this
	// call was stored. Read that sequence to learn who wrote.
	ErrWrongTail = errors.New("ledger: the stream's tail is not where this writer left it")

	// ErrDisk: the file system failed while a message was stored. The message can be
	// read, and may be gone after the next mount. Append no more: end, and let a
	// restart read what there is.
	ErrDisk = errors.New("ledger: the disk takes no more changes; what was stored last may not be on it")

	// ErrNotFound: there is no such message or entry.
	ErrNotFound = errors.New("ledger: not found")

	// ErrUnreadable: the message is there, and no reading of it makes sense.
	ErrUnreadable = errors.New("ledger: the message cannot be read")

	// ErrUncertain: the outcome is unknown; the fact may be in the ledger. Retry
	// with the same source and event id; a duplicate is a success.
	ErrUncertain = errors.New("ledger: UNCERTAIN, the fact may be in the ledger; retry with the same source and event id")

	// ErrEventIDConflict: this source and event id stand for another fact.
	// Nothing was recorded.
	ErrEventIDConflict = errors.New("ledger: EVENT_ID_CONFLICT, this source and event id were used for another fact; nothing was recorded")

	// ErrNotReady: the writer cannot take facts now. Nothing was recorded.
	ErrNotReady = errors.New("ledger: not ready, nothing was recorded; retry with the same source and event id")

	// ErrDamaged: stream and index contradict each other. Nothing is served until
	// an operator has looked: consent doctor.
	ErrDamaged = errors.New("ledger: DAMAGED")

	// ErrClosed: the ledger is shutting down. Nothing was recorded.
	ErrClosed = errors.New("ledger: closing, nothing was recorded")
)

// InvalidError says why a fact was refused. Nothing was recorded. Its text never
// contains a value that could be a phone number.
type InvalidError struct {
	Field   string // as in the contract: number, sellers, scope.channels …
	Problem string // what is wrong with the value
	Fix     string // what to do
	// Inbox is set for a possible stop whose number cannot be read: a person
	// must see it.
	Inbox bool
}

func (e *InvalidError) Error() string {
	s := fmt.Sprintf("%s: %s", e.Field, e.Problem)
	if e.Fix != "" {
		s += "; " + e.Fix
	}
	return s
}

// Hole is a message that the stream should hold and does not give, or gives other
// bytes than were recorded. It unwraps to ErrDamaged.
type Hole struct {
	Seq  uint64 // the first that is missing
	Next uint64 // the next one that is there; 0: unknown
}

func (h *Hole) Error() string {
	what := fmt.Sprintf("message %d is missing or changed", h.Seq)
	if h.Next > h.Seq+1 {
		what = fmt.Sprintf("messages %d to %d are missing", h.Seq, h.Next-1)
	}
	return fmt.Sprintf("%s: a hole in the ledger: %s; put it back from any copy: consent repair --from COPY", ErrDamaged, what)
}

// Unwrap makes errors.Is(err, ErrDamaged) true.
func (h *Hole) Unwrap() error { return ErrDamaged }
