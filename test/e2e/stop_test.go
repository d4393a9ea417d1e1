package e2e

import (
	"errors"
	"testing"
	"time"

	"connectrpc.com/connect"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
	"github.com/consent-ledger/consent-ledger/test/testenv"
)

// TestAStreamThatTheServerEnds says that what was sent may be in the ledger, at once
// and not when the caller happens to send again.
func TestAStreamThatTheServerEnds(t *testing.T) {
	e := testenv.New(t)
	e.Seller("acme")
	st := e.Ledger.RecordStream(t.Context())
	if err := st.Send(&consentv1.RecordStreamRequest{Facts: []*consentv1.Fact{grant("g1", time.Now().Add(-time.Hour))}}); err != nil {
		t.Fatal(err)
	}
	if res, err := st.Receive(); err != nil || res.GetOutcomes()[0].GetReceipt() == nil {
		t.Fatalf("first answer: %v, %v", res, err)
	}
	e.Stop()
	_, err := st.Receive()
	var ce *connect.Error
	if !errors.As(err, &ce) || len(ce.Details()) != 1 {
		t.Fatalf("the end of the stream: %v", err)
	}
	if d, err := ce.Details()[0].Value(); err != nil || d.(*consentv1.Refusal).GetCode() != "UNCERTAIN" {
		t.Errorf("the end of the stream: %v, %v", d, err)
	}
}
