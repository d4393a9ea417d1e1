package client

import (
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/consent-ledger/consent-ledger/proto/gen/consent/v1/consentv1connect"
)

const (
	// checkersIdle is how many connections wait for the next check: as many as a
	// dialer has callers.
	checkersIdle = 256
	checkersWait = 90 * time.Second
)

// routes sends single checks over HTTP/1.1, a connection for each caller, and
// everything else over HTTP/2: streams need that, and for one question and one answer
// it costs both ends twice the processor, because all callers share one connection
// and the goroutines that serve it.
type routes struct{ all, checks *http.Transport }

func newRoutes(scheme string) routes {
	r := routes{all: transport(), checks: transport()}
	r.checks.Protocols.SetHTTP1(true)
	r.checks.MaxIdleConnsPerHost, r.checks.IdleConnTimeout = checkersIdle, checkersWait
	if scheme == "http" {
		// With prior knowledge, which a Transport has only if HTTP/1 is off.
		r.all.Protocols.SetUnencryptedHTTP2(true)
		return r
	}
	r.all.Protocols.SetHTTP2(true) // by ALPN
	r.all.Proxy, r.checks.Proxy = http.ProxyFromEnvironment, http.ProxyFromEnvironment
	return r
}

func transport() *http.Transport {
	return &http.Transport{
		Protocols:           new(http.Protocols),
		DialContext:         (&net.Dialer{Timeout: dialWait}).DialContext,
		TLSHandshakeTimeout: dialWait,
		HTTP2:               &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingWait},
	}
}

// RoundTrip implements http.RoundTripper.
func (r routes) RoundTrip(req *http.Request) (*http.Response, error) {
	if strings.HasSuffix(req.URL.Path, consentv1connect.DecisionServiceCheckProcedure) { // a server may lie behind a path
		return r.checks.RoundTrip(req)
	}
	return r.all.RoundTrip(req)
}

// CloseIdleConnections closes those on which nothing is under way.
func (r routes) CloseIdleConnections() {
	r.all.CloseIdleConnections()
	r.checks.CloseIdleConnections()
}
