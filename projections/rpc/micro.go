package rpc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/consent-ledger/consent-ledger/ledger/recorder"
)

// requestsOpenMax bounds requests under way over NATS.
const requestsOpenMax = 256

// requestWait bounds one request over NATS, whose caller cannot end it.
const requestWait = 15 * time.Second

// Endpoint is one verb of the NATS micro service.
type Endpoint struct {
	Name string
	Call func(ctx context.Context, data []byte, json bool) (proto.Message, error)
	In   string // message name, shown in the service's metadata
}

// Verb makes an endpoint of a method.
func Verb[In any, Out proto.Message, P interface {
	*In
	proto.Message
}](name string, call func(context.Context, P) (Out, error)) Endpoint {
	return Endpoint{Name: name, In: string(P(new(In)).ProtoReflect().Descriptor().FullName()),
		Call: func(ctx context.Context, data []byte, json bool) (proto.Message, error) {
			in := P(new(In))
			if json {
				if err := recorder.UnmarshalJSON(data, in); err != nil {
					return nil, connect.NewError(connect.CodeInvalidArgument, err)
				}
			} else if err := proto.Unmarshal(data, in); err != nil {
				return nil, connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("the request is no %s", in.ProtoReflect().Descriptor().Name()))
			}
			return call(ctx, in)
		}}
}

// ServeMicro answers `consent.v1.svc.<verb>` until ctx is done. A request in JSON is
// answered in JSON, one in protobuf in protobuf.
func ServeMicro(ctx context.Context, nc *nats.Conn, version string, endpoints []Endpoint) error {
	s, err := micro.AddService(nc, micro.Config{Name: "ConsentLedger", Version: version, Description: "consent ledger: checks, facts and timelines"})
	if err != nil {
		return fmt.Errorf("nats service: %w", err)
	}
	open := make(chan struct{}, requestsOpenMax)
	g := s.AddGroup("consent.v1.svc")
	for _, e := range endpoints {
		err := g.AddEndpoint(e.Name, micro.HandlerFunc(func(r micro.Request) {
			open <- struct{}{}
			go func() {
				defer func() { <-open }()
				answer(ctx, e, r)
			}()
		}), micro.WithEndpointMetadata(map[string]string{"request": e.In, "format": "protobuf, or JSON if the request is JSON"}))
		if err != nil {
			return fmt.Errorf("nats service: %s: %w", e.Name, err)
		}
	}
	<-ctx.Done()
	if err := s.Stop(); err != nil {
		return fmt.Errorf("nats service: %w", err)
	}
	for range requestsOpenMax { // let open requests finish
		open <- struct{}{}
	}
	return nil
}

func answer(ctx context.Context, e Endpoint, r micro.Request) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestWait)
	defer cancel()
	asJSON := strings.Contains(r.Headers().Get("Content-Type"), "json") || bytes.HasPrefix(bytes.TrimLeft(r.Data(), " \t\r\n"), []byte("{"))
	out, err := e.Call(ctx, r.Data(), asJSON)
	var data []byte
	if err == nil {
		data, err = marshal(out, asJSON)
	}
	if err != nil {
		fail(r, err)
		return
	}
	_ = r.Respond(data)
}

// fail answers with an error: in the headers of NATS services, and in the body in
// Connect's form, for tools that show no headers.
func fail(r micro.Request, err error) {
	code, text := connect.CodeOf(err).String(), err.Error()
	var ce *connect.Error
	if errors.As(err, &ce) {
		text = ce.Message()
	}
	body, _ := json.Marshal(map[string]string{"code": code, "message": text}) // strings always can
	_ = r.Error(code, text, body)                                             // nobody is left to tell if even this fails
}

func marshal(m proto.Message, json bool) ([]byte, error) {
	if json {
		return protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(m)
	}
	return proto.Marshal(m)
}
