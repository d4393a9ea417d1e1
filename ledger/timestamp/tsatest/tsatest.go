// Package tsatest is a real timestamping authority for tests: openssl behind a small
// HTTP server.
package tsatest

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// Authority is openssl ts with keys of its own.
type Authority struct {
	t   testing.TB
	dir string
	mu  sync.Mutex // openssl counts its answers in a file
}

const config = `
[ca_name]
CN = Test timestamp root
[tsa_name]
CN = Test timestamp authority
[ca]
prompt = no
distinguished_name = ca_name
x509_extensions = ca_ext
[ca_ext]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[request]
prompt = no
distinguished_name = tsa_name
[tsa_ext]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
[tsa]
default_tsa = authority
[authority]
serial = serial
signer_cert = tsa.pem
certs = ca.pem
signer_key = tsa.key
signer_digest = sha256
ess_cert_id_alg = sha256
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1
`

// New makes an authority and its certificates.
func New(t testing.TB) *Authority {
	t.Helper()
	a := &Authority{t: t, dir: t.TempDir()}
	if err := os.WriteFile(filepath.Join(a.dir, "tsa.cnf"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(a.dir, "serial"), []byte("01\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	a.must("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-config", "tsa.cnf", "-section", "ca")
	a.must("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "tsa.key", "-out", "tsa.csr", "-config", "tsa.cnf", "-section", "request")
	a.must("x509", "-req", "-in", "tsa.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "1", "-out", "tsa.pem", "-extfile", "tsa.cnf", "-extensions", "tsa_ext")
	return a
}

// CA is the certificate that others trust, in PEM.
func (a *Authority) CA() []byte { return a.read("ca.pem") }

// CAFile is its path.
func (a *Authority) CAFile() string { return filepath.Join(a.dir, "ca.pem") }

// Reply answers a query in DER. openssl refuses by an answer too.
func (a *Authority) Reply(query []byte) []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.write("query", query)
	if err := a.openssl("ts", "-reply", "-config", "tsa.cnf", "-queryfile", "query", "-out", "reply"); err != nil {
		a.t.Error(err)
	}
	return a.read("reply")
}

// Verify has openssl check a token over a message, as anybody would.
func (a *Authority) Verify(message, token []byte) error {
	a.t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.write("message", message)
	a.write("token", token)
	return a.openssl("ts", "-verify", "-data", "message", "-in", "token", "-token_in", "-CAfile", "ca.pem")
}

// Query makes a query of our own about a message, without a nonce.
func (a *Authority) Query(message []byte) []byte {
	a.t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.write("message", message)
	a.must("ts", "-query", "-data", "message", "-sha256", "-cert", "-no_nonce", "-out", "query")
	return a.read("query")
}

// Serve answers over HTTP until the test ends, and gives the URL. change may put
// another answer in the place of the right one; nil: none does.
func (a *Authority) Serve(change func(w http.ResponseWriter, query, reply []byte)) string {
	a.t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query, err := io.ReadAll(r.Body)
		if err != nil || r.Header.Get("Content-Type") != "application/timestamp-query" {
			http.Error(w, "no query", http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/timestamp-reply")
		if change == nil {
			_, _ = w.Write(a.Reply(query))
			return
		}
		change(w, query, a.Reply(query))
	}))
	a.t.Cleanup(s.Close)
	return s.URL
}

func (a *Authority) read(name string) []byte {
	a.t.Helper()
	data, err := os.ReadFile(filepath.Join(a.dir, name))
	if err != nil {
		a.t.Error(err)
	}
	return data
}

func (a *Authority) write(name string, data []byte) {
	a.t.Helper()
	if err := os.WriteFile(filepath.Join(a.dir, name), data, 0o600); err != nil {
		a.t.Error(err)
	}
}

func (a *Authority) must(args ...string) {
	a.t.Helper()
	if err := a.openssl(args...); err != nil {
		a.t.Fatal(err)
	}
}

func (a *Authority) openssl(args ...string) error {
	path, err := exec.LookPath("openssl")
	if err != nil {
		return &refusal{"it is needed: apt-get install openssl", err}
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = a.dir
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return &refusal{out.String(), err}
	}
	return nil
}

type refusal struct {
	text string
	err  error
}

func (r *refusal) Error() string { return "openssl: " + r.err.Error() + ": " + r.text }
func (r *refusal) Unwrap() error { return r.err }
