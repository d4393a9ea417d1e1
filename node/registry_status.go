package node

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/projections/registry"
	"github.com/consent-ledger/consent-ledger/projections/rules"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// listFact is the fact of a list. The same numbers for the same sellers, day and
// coverage are the same event: loading them again adds nothing.
func listFact(b registry.Built) *consentv1.Fact {
	m := b.Loaded
	event := fmt.Appendf(nil, "%x %s %s %q %q %d", m.GetObjectSha256(), m.GetRegistry(), m.GetVersionDate(), m.GetLicensees(), m.GetAreaCodes(), m.GetCallingCode())
	if b.Again != 0 {
		event = fmt.Appendf(event, " after %d", b.Again)
	}
	sum := sha256.Sum256(event)
	return &consentv1.Fact{Source: "consent-ledger", EventId: "registry-" + hex.EncodeToString(sum[:16]), Kind: &consentv1.Fact_RegistryLoaded{RegistryLoaded: m}}
}

// checkLicensees refuses a list for a seller that is not registered: nobody would be
// answered from it, while all others still are as if it had not come. A slip of the pen is
// likelier than a list that comes before its seller, who is registered by one command.
func (n *Node) checkLicensees(licensees []string) error {
	for _, seller := range licensees {
		if !n.index.Seller(seller) {
			return &ledger.InvalidError{Field: "licensees", Problem: fmt.Sprintf("no seller %q is registered, so nobody would be answered from this list by "+
				"that name", shownID(seller)),
				Fix: "name the seller as it is registered, or register it first: consent seller add " + shownID(seller)}
		}
	}
	return nil
}

// listNotices says what somebody should look at though it was loaded.
func (n *Node) listNotices(built []registry.Built) (out []string) {
	for _, b := range built {
		for _, where := range b.Opens {
			out = append(out, "opened, as --accept-shrunk allows: "+where)
		}
	}
	if name := built[0].Loaded.GetRegistry(); n.unasked(name) {
		out = append(out, fmt.Sprintf("registry: no rule asks for the list %q, so it decides nothing; `consent rules show` names the lists that rules "+
			"ask for", shownID(name)))
	}
	return out
}

// unasked tells that no rule in force asks for a list.
func (n *Node) unasked(name string) bool {
	asks, ok := n.packs.Snapshot().AsksRegistry(name)
	return ok && !asks
}

// shownID keeps what could be a phone number out of texts.
func shownID(id string) string {
	digits := 0
	for _, c := range id {
		if c >= '0' && c <= '9' {
			digits++
		}
	}
	if digits >= 7 {
		return "…"
	}
	return id
}

// GetRegistryLoad tells how far a load is.
func (o *operations) GetRegistryLoad(_ context.Context, req *consentv1.GetRegistryLoadRequest) (*consentv1.GetRegistryLoadResponse, error) {
	s := &o.n.lists
	res := &consentv1.GetRegistryLoadResponse{}
	for _, sum := range req.GetSha256() {
		res.Staged = append(res.Staged, uint64(s.spool.staged(sum)))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.loads[req.GetRegistry()]; l != nil {
		res.Loading, res.Step = true, *l.step.Load()
		read := l.done.Load()
		if now := l.read.Load(); now != nil {
			read += now.Load()
		}
		res.BytesRead, res.BytesTotal = uint64(read), uint64(l.total.Load())
	}
	return res, nil
}

// maxAgeDefault is the age in days at which a list counts as old if no pack says
// otherwise: that of the American national list, the strictest there is.
const maxAgeDefault = 31

// maxAgeOf is the age in days at which a list may still be used, and the pack that
// says so; empty: none does.
func maxAgeOf(law *rules.Packs, registry string) (days int, by string) {
	if days, by, ok := law.RegistryMaxAge(registry); ok {
		return days, by
	}
	return maxAgeDefault, ""
}

// ListRegistries lists the versions in use or awaited.
func (o *operations) ListRegistries(context.Context, *consentv1.ListRegistriesRequest) (*consentv1.ListRegistriesResponse, error) {
	res := &consentv1.ListRegistriesResponse{}
	now := o.n.cfg.Clock.Wall()
	for _, v := range o.n.registry.Snapshot().Versions() {
		maxAge, by := maxAgeOf(o.n.lists.law, v.Registry)
		m := &consentv1.RegistryVersion{Registry: v.Registry, VersionDate: v.VersionDate, MaxAgeDays: uint32(maxAge), MaxAgeBy: by, Position: uint64(v.Position),
			Licensees: v.Licensees, Numbers: v.Numbers, Added: v.Added, Removed: v.Removed, FollowsDate: v.FollowsDate, ChangesUnknown: v.ChangesUnknown, AreaCodes: v.AreaCodes,
			CallingCode: uint32(v.CallingCode), Asked: v.Asked, Publisher: v.Publisher, Subscription: v.Subscription, Whole: v.Whole, Problem: v.Problem,
			Unasked: o.n.unasked(v.Registry)}
		if age, ok := v.AgeDays(now); ok {
			m.AgeDays = uint32(age)
			day, _ := time.Parse(time.DateOnly, v.VersionDate)
			m.UsableUntil = day.AddDate(0, 0, maxAge).Format(time.DateOnly)
		}
		if !v.FetchedAt.IsZero() {
			m.FetchedAt = timestamppb.New(v.FetchedAt)
		}
		res.Versions = append(res.Versions, m)
	}
	return res, nil
}

// listAges is the age of each list as a metric: of its oldest version that
// somebody, or some area code, still depends on.
type listAges struct {
	registry *registry.Projection
	law      *rules.Packs
	now      func() time.Time
}

var (
	listAgeDesc     = prometheus.NewDesc("consent_registry_age_days", "Age of a list in days, by its own day: of the oldest version in use.", []string{"registry", "licensees"}, nil)
	listLeftDesc    = prometheus.NewDesc("consent_registry_days_left", "Days until a list is too old: 0 on the last day on which it may be used, negative after it.", []string{"registry", "licensees"}, nil)
	listNumbersDesc = prometheus.NewDesc("consent_registry_numbers", "Numbers on the newest version of a list.", []string{"registry", "licensees"}, nil)
)

// Describe implements prometheus.Collector.
func (a listAges) Describe(out chan<- *prometheus.Desc) {
	out <- listAgeDesc
	out <- listLeftDesc
	out <- listNumbersDesc
}

// Collect implements prometheus.Collector.
func (a listAges) Collect(out chan<- prometheus.Metric) {
	type list struct{ registry, licensees string }
	ages, numbers := map[list]int{}, map[list]uint64{}
	for _, v := range a.registry.Snapshot().Versions() {
		l := list{v.Registry, strings.Join(v.Licensees, ";")}
		age, ok := v.AgeDays(a.now())
		if !ok || v.Problem != "" {
			continue
		}
		ages[l] = max(ages[l], age)
		if _, seen := numbers[l]; !seen {
			numbers[l] = v.Numbers
		}
	}
	for l, age := range ages {
		out <- prometheus.MustNewConstMetric(listAgeDesc, prometheus.GaugeValue, float64(age), l.registry, l.licensees)
		maxAge, _ := maxAgeOf(a.law, l.registry)
		out <- prometheus.MustNewConstMetric(listLeftDesc, prometheus.GaugeValue, float64(maxAge-age), l.registry, l.licensees)
		out <- prometheus.MustNewConstMetric(listNumbersDesc, prometheus.GaugeValue, float64(numbers[l]), l.registry, l.licensees)
	}
}
