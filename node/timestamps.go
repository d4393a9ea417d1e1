package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/timestamp"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// openTimestamps opens the stamps that there are, and names the authority that is asked
// for more, if there is one. It is not asked here: one that does not answer is no reason
// not to serve.
func (n *Node) openTimestamps(context.Context) error {
	cfg := timestamp.Config{Shelf: n.shelf, Verifier: n.signing.Log.Verifier, Newest: n.tree.Shown, Every: n.cfg.TimestampEvery, Logger: n.cfg.Logger}
	authority, err := n.cfg.authority()
	if err != nil {
		return err
	}
	if authority != nil {
		cfg.Authority = authority
	}
	n.stamps = timestamp.NewKeeper(cfg)
	return nil
}

// authority is whom the flags name; nil: nobody.
func (c Config) authority() (*timestamp.Authority, error) {
	switch {
	case c.TimestampURL == "" && (c.TimestampCA != "" || c.TimestampEvery != 0):
		return nil, errors.New("timestamp-ca and timestamp-every say nothing without timestamp-url")
	case c.TimestampURL == "":
		return nil, nil
	case c.TimestampCA == "":
		return nil, errors.New("timestamp-url needs timestamp-ca: the certificate, in PEM, of those who vouch for the authority")
	case c.TimestampEvery < 0:
		return nil, errors.New("timestamp-every is below zero")
	}
	pem, err := os.ReadFile(c.TimestampCA)
	if err != nil {
		return nil, fmt.Errorf("timestamp-ca: %w", err)
	}
	roots, err := timestamp.ParseRoots(pem)
	if err != nil {
		return nil, err
	}
	return timestamp.NewAuthority(c.TimestampURL, roots)
}

// timestampStatus says what was stamped last, and who is asked for more; nil: nothing and
// nobody.
func (n *Node) timestampStatus() *consentv1.TimestampStatus {
	out := &consentv1.TimestampStatus{}
	if n.stamps.Asks() {
		out.Asked = n.stamps.Authority.String()
	}
	size, st, err := n.stamps.Shelf.Newest()
	if err == nil {
		out.Size, out.At, out.Authority = uint64(size), timestamppb.New(st.At), st.By
	} else if errors.Is(err, ledger.ErrNotFound) && !n.stamps.Asks() {
		return nil
	}
	return out // a damaged one proves nothing
}

// stampAges collects the age of the newest stamp. There is none while nothing was stamped
// and nobody is asked; while somebody is asked in vain, it counts from the start.
type stampAges struct {
	n     *Node
	began time.Time
}

var (
	stampAge = prometheus.NewDesc("consent_timestamp_age_seconds", "Time since the newest timestamp of a checkpoint, or since the start if there is "+
		"none.", nil, nil)
	stampAt = prometheus.NewDesc("consent_timestamp_position", "Position through which a timestamped checkpoint speaks.", nil, nil)
)

// Describe implements prometheus.Collector.
func (stampAges) Describe(out chan<- *prometheus.Desc) { out <- stampAge; out <- stampAt }

// Collect implements prometheus.Collector.
func (s stampAges) Collect(out chan<- prometheus.Metric) {
	st := s.n.timestampStatus()
	if st == nil {
		return
	}
	since := s.began
	if st.GetAt() != nil {
		since = st.GetAt().AsTime()
	}
	age := s.n.cfg.Clock.Wall().Sub(since).Seconds()
	out <- prometheus.MustNewConstMetric(stampAge, prometheus.GaugeValue, age)
	out <- prometheus.MustNewConstMetric(stampAt, prometheus.GaugeValue, float64(st.GetSize()))
}
