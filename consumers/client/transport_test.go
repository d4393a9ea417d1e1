package client_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"connectrpc.com/connect"
	"go.uber.org/goleak"

	"github.com/consent-ledger/consent-ledger/consumers/client"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
	"github.com/consent-ledger/consent-ledger/proto/gen/consent/v1/consentv1connect"
)

// TestRoutes: single checks go over HTTP/1.1, also to a server behind a path, and
// everything else over HTTP/2; Close leaves nothing behind.
func TestRoutes(t *testing.T) {
	defer goleak.VerifyNone(t)
	for _, path := range []string{"", "/ledger"} {
		over := map[string]int{}
		h := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			over[r.URL.Path] = r.ProtoMajor
			_ = connect.NewErrorWriter().Write(w, r, connect.NewError(connect.CodeUnavailable, nil))
		}))
		h.Config.Protocols = new(http.Protocols)
		h.Config.Protocols.SetHTTP1(true)
		h.Config.Protocols.SetUnencryptedHTTP2(true)
		h.Start()
		c, err := client.New(h.URL+path, key, client.Options{})
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Decisions.Check(t.Context(), connect.NewRequest(&consentv1.CheckRequest{}))
		_, _ = c.Decisions.CheckBatch(t.Context(), connect.NewRequest(&consentv1.CheckBatchRequest{}))
		_, _ = c.Ledger.Record(t.Context(), connect.NewRequest(&consentv1.RecordRequest{}))
		c.Close()
		h.Close()
		for procedure, want := range map[string]int{consentv1connect.DecisionServiceCheckProcedure: 1,
			consentv1connect.DecisionServiceCheckBatchProcedure: 2, consentv1connect.LedgerServiceRecordProcedure: 2} {
			if got := over[path+procedure]; got != want {
				t.Errorf("%s%s came over HTTP/%d, want HTTP/%d", path, procedure, got, want)
			}
		}
	}
}
