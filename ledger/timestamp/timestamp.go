// Package timestamp has somebody else say when a checkpoint existed: RFC 3161
// timestamps of an authority that the operator chose. With one, nobody has to believe
// the ledger's own clock that an entry was there by then.
//
// github.com/notaryproject/tspclient-go reads the answers and checks signatures and
// certificates. What a token is over is the signed note of a checkpoint, byte for byte,
// so that openssl ts -verify checks the stored files as they are.
//
//	timestamp.go  asking an authority, and checking a token
//	shelf.go      the files in which tokens are kept, each beside its checkpoint
//	keeper.go     when an authority is asked
//	http.go       showing stamps to others
package timestamp

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	tsp "github.com/notaryproject/tspclient-go"
)

const (
	// askWait bounds one question.
	askWait = 15 * time.Second
	// AnswerBytesMax bounds an answer; one with a chain of certificates has some ten
	// KiB.
	AnswerBytesMax = 256 << 10
	// apartMax is how far the authority's clock may be from ours. More means that one
	// of them is wrong, and that the time proves nothing.
	apartMax = 10 * time.Minute
)

// ErrRefused: the authority answered, and what it said is no timestamp of what it was
// asked about. The text says why.
var ErrRefused = errors.New("timestamp: the authority's answer is refused")

func refused(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrRefused, fmt.Sprintf(format, args...))
}

// Stamp is a token that was checked.
type Stamp struct {
	// Message is what existed; Token says so, in DER (RFC 3161 TimeStampToken).
	Message, Token []byte
	// At is the authority's time, exact to Accuracy; 0: the token does not say.
	At       time.Time
	Accuracy time.Duration
	// By is the subject of the certificate that the token names; of a stamp that was only
	// read, and not checked, whoever it says.
	By string
}

// Roots are the certificates of those whose word is taken.
type Roots struct{ pool *x509.CertPool }

// ParseRoots reads certificates in PEM.
func ParseRoots(pem []byte) (Roots, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return Roots{}, errors.New("timestamp: no certificate in PEM; give the authority's CA certificate")
	}
	return Roots{pool}, nil
}

// Authority is asked over HTTP (RFC 3161 section 3.4). Safe for concurrent use.
type Authority struct {
	url    *url.URL
	roots  Roots
	client *http.Client
	now    func() time.Time
}

// NewAuthority names an authority by its URL, and those who vouch for it.
func NewAuthority(where string, roots Roots) (*Authority, error) {
	u, err := url.Parse(where)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, errors.New("timestamp: the authority's URL is none; give one that begins with http:// or https://")
	}
	return &Authority{url: u, roots: roots, client: &http.Client{Timeout: askWait}, now: time.Now}, nil
}

// String leaves out what may be a secret.
func (a *Authority) String() string { return a.url.Scheme + "://" + a.url.Host }

// Ask asks for a timestamp of a message and checks it. Only the message's hash leaves
// the house.
func (a *Authority) Ask(ctx context.Context, message []byte) (Stamp, error) {
	req, err := tsp.NewRequest(tsp.RequestOptions{Content: message, HashAlgorithm: crypto.SHA256})
	if err != nil {
		return Stamp{}, fmt.Errorf("timestamp: %w", err)
	}
	asked := a.now()
	answer, err := a.post(ctx, req)
	if err != nil {
		return Stamp{}, err
	}
	var res tsp.Response
	if rest, err := asn1.Unmarshal(answer, &res); err != nil || len(rest) > 0 {
		return Stamp{}, refused("it is no timestamp response")
	}
	token, err := readAnswer(&res, req)
	if err != nil {
		return Stamp{}, err
	}
	s, err := Check(token, message, a.roots)
	if err != nil {
		return Stamp{}, err
	}
	if s.At.Before(asked.Add(-apartMax)) || s.At.After(a.now().Add(apartMax)) {
		return Stamp{}, refused("it says %s, which is not now: its clock or ours is wrong", s.At.UTC().Format(time.RFC3339))
	}
	return s, nil
}

func (a *Authority) post(ctx context.Context, req *tsp.Request) ([]byte, error) {
	body, err := req.MarshalBinary()
	if err != nil {
		return nil, fmt.Errorf("timestamp: %w", err)
	}
	h, err := http.NewRequestWithContext(ctx, http.MethodPost, a.url.String(), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("timestamp: %w", err)
	}
	h.Header.Set("Content-Type", tsp.MediaTypeTimestampQuery)
	res, err := a.client.Do(h)
	if err != nil {
		return nil, fmt.Errorf("timestamp: %s does not answer: %w", a, bare(err))
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, refused("HTTP status %s", res.Status)
	}
	if t := res.Header.Get("Content-Type"); t != tsp.MediaTypeTimestampReply {
		return nil, refused("its content type is not %s", tsp.MediaTypeTimestampReply)
	}
	answer, err := io.ReadAll(io.LimitReader(res.Body, AnswerBytesMax+1))
	if err != nil {
		return nil, fmt.Errorf("timestamp: %s does not finish its answer: %w", a, bare(err))
	}
	if len(answer) > AnswerBytesMax {
		return nil, refused("it has more than %d bytes", AnswerBytesMax)
	}
	return answer, nil
}

// bare drops the whole URL, which may hold a secret.
func bare(err error) error {
	if at, ok := errors.AsType[*url.Error](err); ok {
		return at.Err
	}
	return err
}

// readAnswer holds a response against the request. It names first what the library
// would say at length.
func readAnswer(res *tsp.Response, req *tsp.Request) ([]byte, error) {
	if err := res.Status.Err(); err != nil {
		return nil, refused("not granted: %v", err)
	}
	token, err := res.SignedToken()
	if err != nil {
		return nil, refused("no token can be read in it")
	}
	info, err := token.Info()
	switch {
	case err != nil:
		return nil, refused("no token can be read in it")
	case !info.MessageImprint.Equal(req.MessageImprint):
		return nil, refused("it is of another message than was asked about")
	case info.Nonce == nil || info.Nonce.Cmp(req.Nonce) != 0:
		return nil, refused("its nonce is not ours: it answers another question")
	}
	if err := res.Validate(req); err != nil {
		return nil, refused("%v", err)
	}
	return res.TimestampToken.FullBytes, nil
}

// Check checks a token over a message with nothing but certificates somebody trusts.
// They need not be valid today: they must have been at the token's own time.
func Check(token, message []byte, roots Roots) (Stamp, error) {
	s, signed, err := read(token, message)
	if err != nil {
		return Stamp{}, err
	}
	chain, err := signed.Verify(context.Background(), x509.VerifyOptions{Roots: roots.pool, CurrentTime: s.At})
	if err != nil {
		return Stamp{}, refused("it is not signed by an authority you trust: %v", err)
	}
	s.By = chain[0].Subject.String()
	return s, nil
}

// read tells what a token says, by whoever it was made.
func read(token, message []byte) (Stamp, *tsp.SignedToken, error) {
	var whole asn1.RawValue
	if rest, err := asn1.Unmarshal(token, &whole); err != nil || len(rest) > 0 {
		return Stamp{}, nil, refused("it is no timestamp token")
	}
	signed, err := tsp.ParseSignedToken(token)
	if err != nil {
		return Stamp{}, nil, refused("it is no timestamp token")
	}
	info, err := signed.Info()
	if err != nil {
		return Stamp{}, nil, refused("it is no timestamp token")
	}
	at, err := info.Validate(message)
	if err != nil {
		return Stamp{}, nil, refused("it is of another message")
	}
	s := Stamp{Message: message, Token: token, At: at.Value.UTC(), Accuracy: at.Accuracy}
	if len(signed.SignerInfos) > 0 {
		if cert, err := signed.SigningCertificate(&signed.SignerInfos[0]); err == nil {
			s.By = cert.Subject.String()
		}
	}
	return s, signed, nil
}
