package bundle

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"sync"
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
	if len(r.events) < reportEventsMax {
		r.events = append(r.events, shownEvent{uint64(it.Position), it.Number, it.Event})
	}
}

func (r *report) decision(d Decision) {
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
}

// section is the story of one number, or of a seller.
type section struct {
	Title     string
	Persons   int
	Events    []shownEvent
	Decisions []Decision
	Wordings  []string
}

func (r *report) render(m Manifest, numbers []Number) ([]byte, error) {
	p := page{Manifest: m, First: r.first, Last: r.last, Disclosure: ClassWords(m.Disclosed), Root64: encode64(m.Root[:]), Shown: len(r.events)}
	switch {
	case m.Numbers == 0:
		p.About = "seller " + m.Seller
		p.Sections = []section{r.section(section{Title: "Seller " + m.Seller}, 0)}
	case m.Numbers == 1:
		p.About = title(numbers[0])
	default:
		p.About = fmt.Sprintf("%d numbers", m.Numbers)
	}
	for _, n := range numbers {
		p.Sections = append(p.Sections, r.section(section{Title: "Number " + title(n), Persons: len(n.Persons)}, n.Number))
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
	seen := map[string]bool{}
	for _, e := range r.events {
		if e.Number != number {
			continue
		}
		s.Events = append(s.Events, e)
		if e.Wording != "" && !seen[e.Wording] {
			seen[e.Wording] = true
			s.Wordings = append(s.Wordings, e.Wording)
		}
	}
	for _, d := range r.decisions {
		if d.Number == number {
			s.Decisions = append(s.Decisions, d)
		}
	}
	return s
}
