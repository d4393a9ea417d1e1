package node

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect"
	"connectrpc.com/grpcreflect"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/consent-ledger/consent-ledger/ledger/recorder"
	"github.com/consent-ledger/consent-ledger/ledger/timestamp"
	"github.com/consent-ledger/consent-ledger/ledger/tree"
	"github.com/consent-ledger/consent-ledger/proto/gen/consent/v1/consentv1connect"
)

// requestBytesMax bounds one request; a stop may be as large.
const requestBytesMax = 16 << 20

// drainWait is how long open requests may go on after a stop was asked for.
const drainWait = 10 * time.Second

// listen opens the API's port. Only loopback may speak without TLS.
func listen(addr string, tls bool) (net.Listener, error) {
	local, err := loopback(addr)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	if !local && !tls {
		return nil, fmt.Errorf("listen: %s is not loopback and there is no TLS; give --tls-cert and --tls-key", addr)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen: %s is taken or not ours; name another with --listen: %w", addr, err)
	}
	return l, nil
}

// loopback tells whether only this machine can reach an address.
func loopback(addr string) (bool, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false, fmt.Errorf("%q is no host:port", addr)
	}
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback()), nil
}

// handler is the whole API: services behind the key, health and metrics beside them.
func (n *Node) handler() http.Handler {
	api := http.NewServeMux()
	opts := []connect.HandlerOption{connect.WithCodec(strictJSON{"json"}), connect.WithCodec(strictJSON{"json; charset=utf-8"}), connect.WithReadMaxBytes(requestBytesMax)}
	for _, mount := range n.services(opts) {
		api.Handle(mount.path, mount.handler)
	}
	r := grpcreflect.NewStaticReflector(consentv1connect.LedgerServiceName, consentv1connect.DecisionServiceName, consentv1connect.AttemptServiceName,
		consentv1connect.FeedServiceName, consentv1connect.ExportServiceName)
	api.Handle(grpcreflect.NewHandlerV1(r))
	api.Handle(grpcreflect.NewHandlerV1Alpha(r))

	n.metrics.positions(n.writer.Acked, n.feed.Published, n.signedThrough)
	n.metrics.directory(n)
	n.metrics.integrity(n)
	n.metrics.registry.MustRegister(listAges{n.registry, n.lists.law, n.cfg.Clock.Wall}, stampAges{n, n.cfg.Clock.Wall()})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", n.serveReady)
	metrics := http.Handler(promhttp.HandlerFor(n.metrics.registry, promhttp.HandlerOpts{}))
	if local, _ := loopback(n.listener.Addr().String()); !local {
		metrics = n.authenticate(metrics) // how much is recorded is nobody's business outside
	}
	mux.Handle("GET /metrics", metrics)
	mux.Handle(tree.HTTPPrefix, n.public(n.tree))
	mux.Handle(timestamp.HTTPPrefix, n.public(n.stamps.Shelf))
	mux.Handle("/", n.authenticate(api))
	return mux
}

type mount struct {
	path    string
	handler http.Handler
}

// authenticate demands the key in constant time. gRPC clients get their own code.
func (n *Node) authenticate(next http.Handler) http.Handler {
	want := sha256.Sum256([]byte(n.adminKey))
	errs := connect.NewErrorWriter()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if got := sha256.Sum256([]byte(key)); subtle.ConstantTimeCompare(got[:], want[:]) == 1 {
			next.ServeHTTP(w, r)
			return
		}
		err := connect.NewError(connect.CodeUnauthenticated, errors.New("the API key is missing or wrong; send `Authorization: Bearer KEY` with the key in the ledger's admin.key"))
		if errs.IsSupported(r) {
			_ = errs.Write(w, r, err)
			return
		}
		http.Error(w, err.Message(), http.StatusUnauthorized)
	})
}

// serveReady answers 200 if this node decides now, else 503 and why.
func (n *Node) serveReady(w http.ResponseWriter, r *http.Request) {
	problems := n.problems(r.Context())
	if len(problems) > 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
		for _, p := range problems {
			fmt.Fprintln(w, p)
		}
		return
	}
	fmt.Fprintln(w, "ready")
}

// serveHTTP serves until ctx is done, then lets open requests finish.
func (n *Node) serveHTTP(ctx context.Context, l net.Listener) error {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true) // gRPC and streams without TLS, on loopback only
	s := &http.Server{Handler: n.handler(), Protocols: protocols, ReadHeaderTimeout: 10 * time.Second,
		BaseContext: func(net.Listener) context.Context { return n.requests }}
	done := make(chan error, 1)
	go func() {
		if n.cfg.TLSCert != "" {
			done <- s.ServeTLS(l, n.cfg.TLSCert, n.cfg.TLSKey)
			return
		}
		done <- s.Serve(l)
	}()
	select {
	case err := <-done:
		return fmt.Errorf("http: %w", err)
	case <-ctx.Done():
	}
	n.endRequests() // streams would otherwise keep the server open
	shut, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainWait)
	defer cancel()
	if err := s.Shutdown(shut); err != nil {
		return fmt.Errorf("http: %w", err)
	}
	<-done
	return nil
}

// strictJSON is Connect's JSON with unknown names refused: a misspelt expiry would
// make a grant last for ever. Stops stay lenient.
type strictJSON struct{ name string }

func (c strictJSON) Name() string { return c.name }

func (strictJSON) Marshal(m any) ([]byte, error) {
	return protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(m.(proto.Message))
}

func (strictJSON) Unmarshal(data []byte, m any) error {
	return recorder.UnmarshalJSON(data, m.(proto.Message))
}
