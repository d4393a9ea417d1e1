package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/proto"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// TestErrorsOverNATS: tools that show no headers still say what is wrong.
func TestErrorsOverNATS(t *testing.T) {
	nc := natsConn(t)
	endpoint := Verb("check", func(context.Context, *consentv1.CheckRequest) (proto.Message, error) {
		return nil, connect.NewError(connect.CodeInvalidArgument, errors.New("campaign: is not registered"))
	})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- ServeMicro(ctx, nc, "1.0.0", []Endpoint{endpoint}) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	m := ask(t, nc, "consent.v1.svc.check", `{"question":{}}`)
	if code, text := m.Header.Get("Nats-Service-Error-Code"), m.Header.Get("Nats-Service-Error"); code != "invalid_argument" || text != "campaign: is not registered" {
		t.Errorf("headers say %q and %q", code, text)
	}
	var body struct{ Code, Message string }
	if err := json.Unmarshal(m.Data, &body); err != nil || body.Code != "invalid_argument" || body.Message != "campaign: is not registered" {
		t.Errorf("the body is %q (%v)", m.Data, err)
	}
	if m := ask(t, nc, "consent.v1.svc.check", "\x0fno protobuf"); !strings.Contains(string(m.Data), "the request is no CheckRequest") {
		t.Errorf("the body is %q", m.Data)
	}
}

// ask repeats a request until the service is there.
func ask(t *testing.T, nc *nats.Conn, subject, data string) *nats.Msg {
	t.Helper()
	for {
		m, err := nc.RequestWithContext(t.Context(), subject, []byte(data))
		if errors.Is(err, nats.ErrNoResponders) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
}

// natsConn is a connection to a server of the test's own, without a port.
func natsConn(t *testing.T) *nats.Conn {
	t.Helper()
	s, err := server.NewServer(&server.Options{DontListen: true, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the NATS server does not come up")
	}
	nc, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}
