package crm

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
)

// Map says how a file of another system is read. Its YAML keys are those below;
// any other key is an error.
type Map struct {
	// Delimiter separates columns: one character, or tab. Default: a comma.
	Delimiter string `yaml:"delimiter"`
	// Columns gives the file's columns our names: "Phone Number": number.
	Columns map[string]string `yaml:"columns"`
	// Ignore names columns of the file that nobody reads.
	Ignore []string `yaml:"ignore"`
	// Set gives our fields a value no column has: source: hubspot.
	Set map[string]string `yaml:"set"`
	// Values translates words, by our field: kind: {"Opt In": consent_granted}.
	// In lists each word is translated by itself. Case does not matter.
	Values map[string]map[string]string `yaml:"values"`
	// Dates are the forms in which the file writes times, tried in order:
	// "MM/DD/YYYY hh:mm". Known parts: YYYY YY MM M DD D hh h mm ss AM.
	Dates []string `yaml:"dates"`
	// TimeZone is the IANA zone of times without one. Without it only the date
	// of such a time counts, as the whole day.
	TimeZone string `yaml:"time_zone"`

	raw      []byte
	loadZone ZoneLoader
}

// ZoneLoader finds a time zone by its IANA name. The program hands in the one that
// reads its pinned tz database, so that a file means the same on every machine.
type ZoneLoader func(name string) (*time.Location, error)

// ParseMap reads a map's YAML.
func ParseMap(text []byte, loadZone ZoneLoader) (*Map, error) {
	m := &Map{raw: slices.Clone(text), loadZone: loadZone}
	if err := yaml.UnmarshalWithOptions(text, m, yaml.Strict()); err != nil {
		return nil, fmt.Errorf("map: %w; known keys: columns, ignore, set, values, dates, time_zone, delimiter", err)
	}
	if _, err := m.compile(); err != nil {
		return nil, err
	}
	return m, nil
}

// bytes are what of the map goes into event ids.
func (m *Map) bytes() []byte {
	if m == nil {
		return nil
	}
	return m.raw
}

// mapping is a Map made ready. A nil Map becomes the one that changes nothing.
type mapping struct {
	comma   byte
	columns map[string]field // by the file's name, lower case
	set     map[field]string
	values  [fieldCount]map[string]string // by lower-case word
	layouts []layout
	zone    *time.Location
}

// compile checks everything at once: each problem is in the error.
func (m *Map) compile() (*mapping, error) {
	out := &mapping{comma: ',', columns: map[string]field{}, set: map[field]string{}}
	for _, name := range []string{columnRejectedLine, columnRejectedReason} {
		out.columns[name] = unused
	}
	if m == nil {
		return out, nil
	}
	var problems []error
	bad := func(format string, args ...any) { problems = append(problems, fmt.Errorf("map: "+format, args...)) }
	known := func(where, name string) (field, bool) {
		f, ok := fieldByName(name)
		if !ok {
			bad("%s: %s", where, unknownField(name))
		}
		return f, ok
	}
	switch d := m.Delimiter; {
	case d == "tab" || d == "\t":
		out.comma = '\t'
	case len(d) == 1 && d != "\"" && d != "\n" && d != "\r":
		out.comma = d[0]
	case d != "":
		bad("delimiter: is %q; write one character, or tab", d)
	}
	for _, column := range slices.Sorted(maps.Keys(m.Columns)) {
		if f, ok := known("columns", m.Columns[column]); ok {
			out.columns[columnKey(column)] = f
		}
	}
	for _, column := range m.Ignore {
		if _, mapped := out.columns[columnKey(column)]; mapped {
			bad("ignore: column %q is also in columns", column)
		}
		out.columns[columnKey(column)] = unused
	}
	for _, name := range slices.Sorted(maps.Keys(m.Set)) {
		if f, ok := known("set", name); ok {
			out.set[f] = m.Set[name]
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.Values)) {
		if f, ok := known("values", name); ok {
			out.values[f] = map[string]string{}
			for from, to := range m.Values[name] {
				out.values[f][columnKey(from)] = to
			}
		}
	}
	var err error
	for _, d := range m.Dates {
		l, err := parseLayout(d)
		if err != nil {
			bad("dates: %w", err)
		}
		out.layouts = append(out.layouts, l)
	}
	switch {
	case m.TimeZone == "":
	case m.loadZone == nil:
		bad("time_zone: only a map that ParseMap has read can name one")
	default:
		if out.zone, err = m.loadZone(m.TimeZone); err != nil {
			bad("time_zone: %q is no IANA time zone such as America/New_York", m.TimeZone)
		}
	}
	return out, errors.Join(problems...)
}

func columnKey(name string) string { return strings.ToLower(strings.TrimSpace(name)) }

// column finds the field a column of the file gives.
func (m *mapping) column(name string) (field, error) {
	if f, ok := m.columns[columnKey(name)]; ok {
		return f, nil
	}
	if f, ok := fieldByName(name); ok {
		return f, nil
	}
	return unused, fmt.Errorf("unknown column %s", unknownField(name))
}

func unknownField(name string) string {
	if looksNumeric(name) {
		return "that looks like a phone number; the first row must name the columns"
	}
	if n := nearest(name, fieldNames[:]); n != "" {
		return fmt.Sprintf("%q; did you mean %s?", name, n)
	}
	return fmt.Sprintf("%q; map or ignore it with --map, or use one of: %s", name, strings.Join(fieldNames[:], ", "))
}

// looksNumeric: at least seven digits, so it may be somebody's number and must
// not be repeated in an error.
func looksNumeric(s string) bool {
	n := 0
	for i := range len(s) {
		if s[i] >= '0' && s[i] <= '9' {
			n++
		}
	}
	return n >= 7
}

// value translates one text of the file.
func (m *mapping) value(f field, text string) string {
	table := m.values[f]
	if table == nil {
		return text
	}
	if to, ok := table[columnKey(text)]; ok {
		return to
	}
	if !strings.Contains(text, ";") {
		return text
	}
	words := strings.Split(text, ";")
	for i, w := range words {
		if to, ok := table[columnKey(w)]; ok {
			words[i] = to
		}
	}
	return strings.Join(words, ";")
}
