package bundle

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	_ "embed"
	"fmt"
	"html/template"
	"slices"
	"strings"
	"sync"

	"github.com/consent-ledger/consent-ledger/ledger"
)

// reportEventsMax bounds the report: who reads a page reads no million lines. The
// tables hold all.
const reportEventsMax = 2000

// Event is an entry as the report tells it.
type Event struct {
	Recorded, Happened string // instants, UTC; Happened is empty if it is not known
	What               string // in a sentence
	Sellers, Source    string
	Wording            string // id of the wording shown; empty: none is named
	// Said are the disclosed parts, by the path of their names.
	Said []Said
	// Withheld says why parts are not here; empty if none is missing.
	Withheld string
}

// Said is one disclosed part.
type Said struct{ Name, Value string }

// answerKind is the kind of a decision made for the bundle.
const answerKind = "answer"

// Decision is an answer of the ledger about a number, in decisions.jsonl and in
// the report. It has the names of the command line's JSON.
type Decision struct {
	Number int `json:"number"`
	// Kind is `answer` (given for this bundle) or `recorded` (given to a dialer, and kept).
	Kind          string   `json:"kind"`
	Seller        string   `json:"seller"`
	Campaign      string   `json:"campaign,omitempty"`
	Channel       string   `json:"channel"`
	Purpose       string   `json:"purpose"`
	Verdict       string   `json:"verdict"`
	Basis         string   `json:"basis,omitempty"`
	At            string   `json:"at"`
	Position      uint64   `json:"position"`
	NextAllowedAt string   `json:"nextAllowedAt,omitempty"`
	Outcome       string   `json:"outcome,omitempty"`
	Reasons       []Reason `json:"reasons"`
	Packs         []Pack   `json:"packs"`
}

// Reason is one reason of a decision.
type Reason struct {
	Code     string `json:"code"`
	Text     string `json:"text"`
	Citation string `json:"citation"`
	Rule     string `json:"rule"`
}

// Pack is a rule pack that a decision used; its file is packs/SHA256.yaml.
type Pack struct {
	ID      string `json:"id"`
	Version string `json:"version"`
	SHA256  string `json:"sha256"`
}

// report gathers what the page shows.
type report struct {
	events    []shownEvent
	decisions []Decision
	told      int // decisions there are
	wordings  []Wording
	named     map[string]ledger.Position // wordings that entries name, and the first that does
	complete  bool
	stamped   string // when and by whom; empty: by nobody
	unstamped bool   // an authority was asked, and gave no timestamp
	first     string
	last      string
}

type shownEvent struct {
	Position uint64
	Number   int
	Event
}

func (r *report) event(it Item) {
	if r.first == "" {
		r.first = it.Event.Recorded
	}
	r.last = it.Event.Recorded
	if id := it.Event.Wording; id != "" && r.named[id] == 0 && len(r.named) < reportEventsMax {
		r.named[id] = it.Position
	}
	if len(r.events) < reportEventsMax {
		r.events = append(r.events, shownEvent{uint64(it.Position), it.Number, it.Event})
	}
}

func (r *report) decision(d Decision) {
	r.told++
	if len(r.decisions) < reportEventsMax {
		r.decisions = append(r.decisions, d)
	}
}

//go:embed report.html
var reportPage string

var reportTemplate = sync.OnceValue(func() *template.Template {
	return template.Must(template.New(ReportFile).Parse(reportPage))
})

// page is what the template is filled with.
type page struct {
	Manifest
	About       string
	First, Last string
	Disclosure  string
	Root64      string
	Sections    []section
	Shown       int
	// Told is how many decisions there are, ToldShown how many of them are on the page.
	Told, ToldShown int
	Wordings        []shownWording
	// Unpublished are ids of wordings whose text is not here.
	Unpublished []string
	Packs       []shownPack
	Complete    bool // a directory is here that lists what there was
	Consistent  bool
	Stamped     string
	Unstamped   bool
}

// section is the story of one number, or of a seller.
type section struct {
	ID, Title string // ID names it in links
	Persons   int
	Events    []shownEvent
	// Answers are given for this bundle, Told to dialers before.
	Answers, Told []Decision
}

// shownWording is a wording as the page shows it.
type shownWording struct {
	Wording
	File string
	// First is the first entry that names it, and Before whether it was published by then.
	First  uint64
	Before bool
}

// shownPack is a rule pack as the page lists it; File is empty if it is not here.
type shownPack struct {
	Pack
	File string
}

// render writes the page. has tells whether a file is in the bundle.
func (r *report) render(m Manifest, numbers []Number, has func(name string) bool) ([]byte, error) {
	p := page{Manifest: m, First: r.first, Last: r.last, Disclosure: strings.ReplaceAll(ClassWords(m.Disclosed), ",", ", "), Root64: encode64(m.Root[:]),
		Shown: len(r.events), Told: r.told, ToldShown: len(r.decisions),
		Complete: r.complete, Consistent: has(ConsistencyFile), Stamped: r.stamped, Unstamped: r.unstamped}
	p.Wordings, p.Unpublished = r.wordingsShown()
	p.Packs = r.packs(has)
	switch {
	case m.Numbers == 0:
		p.About = "seller " + m.Seller
		p.Sections = []section{r.section(section{ID: "seller", Title: "Seller " + m.Seller}, 0)}
	case m.Numbers == 1:
		p.About = title(numbers[0])
	default:
		p.About = fmt.Sprintf("%d numbers", m.Numbers)
	}
	for _, n := range numbers {
		p.Sections = append(p.Sections, r.section(section{ID: fmt.Sprint("number-", n.Number), Title: "Number " + title(n), Persons: len(n.Persons)}, n.Number))
	}
	var b bytes.Buffer
	if err := reportTemplate().Execute(&b, p); err != nil {
		return nil, fmt.Errorf("bundle: report: %w", err)
	}
	return b.Bytes(), nil
}

func title(n Number) string {
	if n.E164 != "" {
		return n.E164
	}
	return fmt.Sprintf("%d (not disclosed)", n.Number)
}

// section fills in what belongs to a number.
func (r *report) section(s section, number int) section {
	for _, e := range r.events {
		if e.Number == number {
			s.Events = append(s.Events, e)
		}
	}
	for _, d := range r.decisions {
		switch {
		case d.Number != number:
		case d.Kind == answerKind:
			s.Answers = append(s.Answers, d)
		default:
			s.Told = append(s.Told, d)
		}
	}
	return s
}

// wordingsShown are the texts with the first entry that names each, and the ids that
// entries name without a text.
func (r *report) wordingsShown() (shown []shownWording, missing []string) {
	texts := map[string]bool{}
	for _, w := range r.wordings {
		texts[w.ID] = true
		first := r.named[w.ID]
		shown = append(shown, shownWording{w, wordingName(sha256.Sum256([]byte(w.Text))), uint64(first), w.Position < first})
	}
	for id := range r.named {
		if !texts[id] {
			missing = append(missing, id)
		}
	}
	slices.Sort(missing)
	return shown, missing
}

// packs are those that the decisions name.
func (r *report) packs(has func(string) bool) (out []shownPack) {
	for _, d := range r.decisions {
		for _, p := range d.Packs {
			if slices.ContainsFunc(out, func(o shownPack) bool { return o.Pack == p }) {
				continue
			}
			shown := shownPack{Pack: p}
			if name := packsFolder + p.SHA256 + ".yaml"; has(name) {
				shown.File = name
			}
			out = append(out, shown)
		}
	}
	slices.SortFunc(out, func(a, b shownPack) int { return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Version, b.Version)) })
	return out
}
