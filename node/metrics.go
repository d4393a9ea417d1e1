package node

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/consent-ledger/consent-ledger/ledger"
)

// metrics are what operators watch. No label ever holds a number or a token.
type metrics struct {
	registry  *prometheus.Registry
	entries   prometheus.Counter
	bytes     prometheus.Counter
	commits   prometheus.Histogram
	retries   prometheus.Counter
	applied   prometheus.Gauge
	decisions *words
	reasons   *words
	latency   prometheus.Histogram
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		entries:  prometheus.NewCounter(prometheus.CounterOpts{Name: "consent_ledger_entries_total", Help: "Entries made durable by this process."}),
		bytes:    prometheus.NewCounter(prometheus.CounterOpts{Name: "consent_ledger_commit_bytes_total", Help: "Bytes of commits made durable by this process."}),
		commits: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "consent_ledger_commit_seconds", Help: "Time to make one commit durable and indexed.",
			Buckets: prometheus.ExponentialBuckets(0.0002, 2, 16)}),
		retries:   prometheus.NewCounter(prometheus.CounterOpts{Name: "consent_ledger_append_retries_total", Help: "Appends sent again because no answer came."}),
		applied:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "consent_projections_applied_position", Help: "Position every projection has applied."}),
		decisions: newWords(prometheus.CounterOpts{Name: "consent_decisions_total", Help: "Decisions by verdict."}, "verdict"),
		reasons:   newWords(prometheus.CounterOpts{Name: "consent_decision_reasons_total", Help: "Reasons given in decisions, by code."}, "code"),
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "consent_decision_seconds", Help: "Time of one decision, waiting for projections included.",
			Buckets: prometheus.ExponentialBuckets(0.00001, 2, 20)}),
	}
	m.registry.MustRegister(m.entries, m.bytes, m.commits, m.retries, m.applied, m.decisions, m.reasons, m.latency,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// words counts by the words of a closed set. Asked by its label each time, a counter
// took a tenth of a decision.
type words struct {
	*prometheus.CounterVec
	met atomic.Pointer[map[string]prometheus.Counter]
	mu  sync.Mutex // for those who add to met
}

func newWords(o prometheus.CounterOpts, label string) *words {
	return &words{CounterVec: prometheus.NewCounterVec(o, []string{label})}
}

// of gives the counter of a word.
func (w *words) of(word string) prometheus.Counter {
	if met := w.met.Load(); met != nil {
		if c, ok := (*met)[word]; ok {
			return c
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	next := map[string]prometheus.Counter{word: w.WithLabelValues(word)}
	if met := w.met.Load(); met != nil {
		maps.Copy(next, *met)
	}
	w.met.Store(&next)
	return next[word]
}

// positions adds what is read whenever somebody asks. It may be called once.
func (m *metrics) positions(durable, published, signed func() ledger.Position) {
	gauge := func(name, help string, read func() ledger.Position) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return float64(read()) })
	}
	m.registry.MustRegister(gauge("consent_ledger_position", "Last durable position.", durable),
		gauge("consent_feed_position", "Position through which suppression updates are published.", published),
		gauge("consent_tree_signed_position", "Position through which a signed checkpoint is published.", signed))
}

// Committed implements writer.Metrics.
func (m *metrics) Committed(entries, bytes int, took time.Duration) {
	m.entries.Add(float64(entries))
	m.bytes.Add(float64(bytes))
	m.commits.Observe(took.Seconds())
}

// AppendRetried implements writer.Metrics.
func (m *metrics) AppendRetried() { m.retries.Inc() }
