package timestamp

import (
	"context"
	"crypto/x509"
)

// Unvouched tells what a token over a message says of itself. Its signature is that of
// the certificate it brings, which was valid at the token's own time; nobody vouches for
// that certificate, and anybody can make one of any name. Check takes such a word, this
// only reports it.
func Unvouched(token, message []byte) (Stamp, error) {
	s, signed, err := read(token, message)
	if err != nil {
		return Stamp{}, err
	}
	own := x509.NewCertPool()
	for _, c := range signed.Certificates {
		own.AddCert(c)
	}
	chain, err := signed.Verify(context.Background(), x509.VerifyOptions{Roots: own, CurrentTime: s.At})
	if err != nil {
		return Stamp{}, refused("it is not signed by the certificate it brings: %v", err)
	}
	s.By = chain[0].Subject.String()
	return s, nil
}
