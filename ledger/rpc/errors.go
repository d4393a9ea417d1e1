package rpc

import (
	"context"
	"errors"

	"connectrpc.com/connect"

	"github.com/consent-ledger/consent-ledger/ledger"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// Codes of refusals: what a caller may branch on.
const (
	CodeInvalid   = "INVALID"           // nothing was recorded; mend the field
	CodeConflict  = "EVENT_ID_CONFLICT" // nothing was recorded; the id stands for another fact
	CodeInbox     = "INBOX"             // a person will read it
	CodeUncertain = "UNCERTAIN"         // it may be recorded; retry with the same event id
	CodeNotReady  = "NOT_READY"         // nothing was recorded; retry
	CodeDamaged   = "LEDGER_INTEGRITY"  // nothing is served until an operator has looked
	CodeInternal  = "INTERNAL"          // nobody knows; retry with the same event id
)

// Refuse says why a fact is not in the ledger, or that nobody knows.
func Refuse(err error) *consentv1.Refusal {
	var invalid *ledger.InvalidError
	switch {
	case errors.As(err, &invalid) && invalid.Inbox && !errors.Is(err, ledger.ErrUncertain):
		return &consentv1.Refusal{Code: CodeInbox, Field: invalid.Field, Message: invalid.Error() + "; it was put into the inbox, where a person will read it"}
	case errors.As(err, &invalid) && !errors.Is(err, ledger.ErrUncertain):
		return &consentv1.Refusal{Code: CodeInvalid, Field: invalid.Field, Message: invalid.Error()}
	case errors.Is(err, ledger.ErrEventIDConflict):
		return &consentv1.Refusal{Code: CodeConflict, Field: "event_id", Message: err.Error()}
	case errors.Is(err, ledger.ErrUncertain):
		return &consentv1.Refusal{Code: CodeUncertain, Message: err.Error()}
	case errors.Is(err, ledger.ErrNotReady), errors.Is(err, ledger.ErrClosed):
		return &consentv1.Refusal{Code: CodeNotReady, Message: err.Error()}
	case errors.Is(err, ledger.ErrDamaged):
		return &consentv1.Refusal{Code: CodeDamaged, Message: err.Error()}
	}
	return &consentv1.Refusal{Code: CodeInternal, Message: err.Error()}
}

// Error maps an error to Connect once, at the edge. The Refusal is its detail.
func Error(err error) error {
	if err == nil {
		return nil
	}
	var already *connect.Error
	if errors.As(err, &already) {
		return err
	}
	r := Refuse(err)
	code := map[string]connect.Code{
		CodeInvalid: connect.CodeInvalidArgument, CodeInbox: connect.CodeInvalidArgument, CodeConflict: connect.CodeAlreadyExists,
		CodeUncertain: connect.CodeUnavailable, CodeNotReady: connect.CodeUnavailable, CodeDamaged: connect.CodeDataLoss, CodeInternal: connect.CodeInternal,
	}[r.Code]
	switch {
	case errors.Is(err, ledger.ErrNotFound):
		code = connect.CodeNotFound
	case r.Code == CodeInternal && errors.Is(err, context.Canceled):
		code = connect.CodeCanceled
	case r.Code == CodeInternal && errors.Is(err, context.DeadlineExceeded):
		code = connect.CodeDeadlineExceeded
	}
	e := connect.NewError(code, errors.New(r.Message))
	if d, err := connect.NewErrorDetail(r); err == nil {
		e.AddDetail(d)
	}
	return e
}
