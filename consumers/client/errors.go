package client

import (
	"context"
	"errors"
	"io"
	"net"

	"connectrpc.com/connect"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// What a caller may branch on. Of a check every one of them means: do not make
// the contact.
var (
	// ErrUnreachable: no server answered. Nothing was sent.
	ErrUnreachable = errors.New("client: no server answers")

	// ErrKey: the API key is missing or wrong. Nothing was recorded.
	ErrKey = errors.New("client: the API key is missing or wrong")

	// ErrUncertain: the answer was lost or the ledger does not know; the fact may
	// be recorded. Retry with the same source and event id; a duplicate is a success.
	ErrUncertain = errors.New("client: outcome unknown")

	// ErrNotReady: the server does not decide or record now. Nothing was recorded.
	ErrNotReady = errors.New("client: the server is not ready")

	// ErrAhead: the position asked for with at_least is beyond the ledger's tail.
	ErrAhead = errors.New("client: the ledger has not reached that position")

	// ErrInvalid: the request was refused for what it says. Nothing was recorded.
	ErrInvalid = errors.New("client: refused")

	// ErrConflict: the event id stands for another fact. Nothing was recorded.
	ErrConflict = errors.New("client: the event id stands for another fact")

	// ErrInbox: the ledger could not understand a possible stop. A person will read
	// it; until then nothing is recorded.
	ErrInbox = errors.New("client: put into the inbox")

	// ErrNotFound: there is no such thing.
	ErrNotFound = errors.New("client: not found")

	// ErrDamaged: the ledger's integrity is broken. It serves nothing until an
	// operator has looked.
	ErrDamaged = errors.New("client: the ledger is damaged")
)

// Error is what a call ended with: one sentinel of this package, and what the
// server said. Its text holds no phone number.
type Error struct {
	Kind    error  // a sentinel of this package; nil if none fits
	Code    string // the refusal's code, such as EVENT_ID_CONFLICT; may be empty
	Field   string // the field at fault; may be empty
	Message string // what is now true
	Hint    string // what to do about it; may be empty
	cause   error
}

func (e *Error) Error() string { return e.Message }

// Unwrap gives the sentinel and the *connect.Error.
func (e *Error) Unwrap() []error {
	var out []error
	for _, err := range []error{e.Kind, e.cause} {
		if err != nil {
			out = append(out, err)
		}
	}
	return out
}

// kinds maps the codes of refusals, which the server's rpc room lists.
var kinds = map[string]error{
	"INVALID":           ErrInvalid,
	"EVENT_ID_CONFLICT": ErrConflict,
	"INBOX":             ErrInbox,
	"UNCERTAIN":         ErrUncertain,
	"NOT_READY":         ErrNotReady,
	"LEDGER_INTEGRITY":  ErrDamaged,
	"INTERNAL":          ErrUncertain,
}

// RefusalError is the error of one refused fact of a stream.
func RefusalError(r *consentv1.Refusal) *Error {
	return &Error{Kind: kinds[r.GetCode()], Code: r.GetCode(), Field: r.GetField(), Message: r.GetMessage()}
}

// clarify turns an error of Connect into an *Error.
func clarify(server string, err error) error {
	var ce *connect.Error
	if !errors.As(err, &ce) {
		return err
	}
	out := &Error{Message: ce.Message(), cause: err}
	for _, d := range ce.Details() {
		if m, derr := d.Value(); derr == nil {
			if r, ok := m.(*consentv1.Refusal); ok {
				out.Code, out.Field, out.Kind = r.GetCode(), r.GetField(), kinds[r.GetCode()]
			}
		}
	}
	if out.Kind != nil && ce.Code() != connect.CodeNotFound && !isContext(ce.Code()) {
		return out
	}
	switch {
	case !connect.IsWireError(err) && notDialled(err):
		out.Kind, out.Message = ErrUnreachable, "no server answers at "+server
		out.Hint = "start one with: consent serve --dir D   (or name it with --server or CONSENT_SERVER)"
	case ce.Code() == connect.CodeUnauthenticated, ce.Code() == connect.CodePermissionDenied:
		out.Kind = ErrKey
		out.Hint = "name the key's file with --key-file or CONSENT_KEY_FILE; init wrote it to D/admin.key"
	case !connect.IsWireError(err) && brokenOff(ce):
		out.Kind, out.Message = ErrNotReady, "the connection to "+server+" broke: "+ce.Message()
		out.Hint = "is it a Consent Ledger server? Its log says more"
	case ce.Code() == connect.CodeUnavailable, ce.Code() == connect.CodeResourceExhausted, ce.Code() == connect.CodeAborted:
		out.Kind = ErrNotReady
	case connect.IsWireError(err) && isContext(ce.Code()): // its time was up, not ours
		out.Kind, out.Message = ErrUncertain, "the server ended before it had answered: "+ce.Message()
	case ce.Code() == connect.CodeFailedPrecondition:
		out.Kind = ErrAhead
	case ce.Code() == connect.CodeNotFound:
		out.Kind = ErrNotFound
	case ce.Code() == connect.CodeInvalidArgument, ce.Code() == connect.CodeOutOfRange:
		out.Kind = ErrInvalid
	case ce.Code() == connect.CodeAlreadyExists:
		out.Kind = ErrConflict
	case ce.Code() == connect.CodeDataLoss:
		out.Kind = ErrDamaged
	default:
		out.Kind = nil
	}
	return out
}

func isContext(c connect.Code) bool {
	return c == connect.CodeCanceled || c == connect.CodeDeadlineExceeded
}

// notDialled tells that no connection came about, so nothing was sent.
func notDialled(err error) bool {
	var op *net.OpError
	var dns *net.DNSError
	return errors.As(err, &dns) || errors.As(err, &op) && op.Op == "dial"
}

// brokenOff tells that what came is not what a server says: the connection was reset
// or cut, or somebody else answers. The end of a stream is a message, so io.EOF is one too.
func brokenOff(err *connect.Error) bool {
	switch err.Code() {
	case connect.CodeUnavailable, connect.CodeUnknown, connect.CodeInternal:
		return true
	}
	return errors.Is(err, io.ErrUnexpectedEOF)
}

// mayBeRecorded tells of a failed Record whether the fact may be in the ledger all
// the same: unless nothing was sent or the server said that nothing was recorded.
func mayBeRecorded(err error) bool {
	for _, not := range []error{ErrUnreachable, ErrKey, ErrInvalid, ErrConflict, ErrInbox, ErrNotFound, ErrDamaged} {
		if errors.Is(err, not) {
			return false
		}
	}
	if errors.Is(err, ErrNotReady) {
		return !connect.IsWireError(err) // the server's own word, or a broken connection
	}
	return true
}

// retriable tells whether another attempt can end otherwise.
func retriable(err error) bool {
	switch {
	case errors.Is(err, ErrUncertain), errors.Is(err, ErrNotReady), errors.Is(err, ErrUnreachable):
		return true
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return false
	}
	switch connect.CodeOf(err) {
	case connect.CodeUnknown, connect.CodeInternal, connect.CodeCanceled, connect.CodeDeadlineExceeded:
		return !errors.Is(err, ErrKey) // a server that is going down cuts calls off
	}
	return false
}

// interceptor sends the key and makes errors clear, for calls and streams alike.
type interceptor struct{ server, bearer string }

const authorization = "Authorization"

func (i *interceptor) WrapUnary(next connect.UnaryFunc) connect.UnaryFunc {
	return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
		req.Header().Set(authorization, i.bearer)
		res, err := next(ctx, req)
		return res, unsent(req.Any(), clarify(i.server, err))
	}
}

func (i *interceptor) WrapStreamingClient(next connect.StreamingClientFunc) connect.StreamingClientFunc {
	return func(ctx context.Context, spec connect.Spec) connect.StreamingClientConn {
		conn := next(ctx, spec)
		conn.RequestHeader().Set(authorization, i.bearer)
		return &clearConn{conn, i.server}
	}
}

func (i *interceptor) WrapStreamingHandler(next connect.StreamingHandlerFunc) connect.StreamingHandlerFunc {
	return next // a client has no handlers
}

// clearConn is a stream with clear errors.
type clearConn struct {
	connect.StreamingClientConn
	server string
}

func (c *clearConn) Send(m any) error {
	return unsent(m, c.clarify(c.StreamingClientConn.Send(m)))
}
func (c *clearConn) Receive(m any) error { return c.clarify(c.StreamingClientConn.Receive(m)) }

// clarify lets pass the io.EOF with which streams end.
func (c *clearConn) clarify(err error) error {
	if errors.Is(err, io.EOF) && !connect.IsWireError(err) {
		return err
	}
	return clarify(c.server, err)
}
