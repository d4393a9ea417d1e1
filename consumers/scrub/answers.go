package scrub

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// columns are added to each row, behind those of the header.
var columns = []string{"verdict", "reasons", "basis", "next_allowed_at", "position", "lists", "packs"}

var headerCells = []byte("," + strings.Join(columns, ","))

// answers are what the server has said in a numbering, each ready to be written.
type answers struct{ given []*answer }

type answer struct {
	row   *consentv1.ScrubRow
	cells []byte
	allow bool
	rows  int // that have it and are not in the summary yet
}

// take takes over the answers that are new in a message.
func (a *answers) take(res *consentv1.ScrubResponse, sum *Summary) error {
	if res.GetRenumbered() {
		a.settle(sum)
		a.given = a.given[:0]
	}
	for _, row := range res.GetRows() {
		a.given = append(a.given, &answer{row: row, cells: cells(row), allow: allowed(row)})
	}
	return nil
}

func (a *answers) of(number uint32) (*answer, error) {
	if int(number) >= len(a.given) {
		return nil, errors.New("the server names an answer that it did not give")
	}
	return a.given[number], nil
}

// settle puts all rows into the summary.
func (a *answers) settle(sum *Summary) {
	for _, x := range a.given {
		if x.rows > 0 {
			sum.add(x.row, x.rows)
			x.rows = 0
		}
	}
}

// cells are our columns of a row, each behind a comma.
func cells(row *consentv1.ScrubRow) []byte {
	next := ""
	if t := row.GetNextAllowedAt(); t != nil {
		next = t.AsTime().UTC().Format(time.RFC3339)
	}
	var out []byte
	for _, cell := range []string{verdictOf(row), strings.Join(row.GetReasons(), ";"), row.GetBasis(), next, strconv.FormatUint(row.GetPosition(), 10),
		strings.Join(listsOf(row), ";"), strings.Join(row.GetPacks(), ";")} {
		out = appendCell(append(out, ','), []byte(cell))
	}
	return out
}

// verdictOf is ALLOW only for an ALLOW: whatever else a later server may say blocks.
func verdictOf(row *consentv1.ScrubRow) string {
	if allowed(row) {
		return "ALLOW"
	}
	return "BLOCK"
}

func allowed(row *consentv1.ScrubRow) bool {
	return row.GetVerdict() == consentv1.Verdict_VERDICT_ALLOW
}

// listsOf says which version of which list was used, and whether the number is on it.
func listsOf(row *consentv1.ScrubRow) (out []string) {
	for _, l := range row.GetLists() {
		said := l.GetRegistry() + " " + orNone(l.GetVersionDate())
		if l.GetListed() {
			said += " listed"
		}
		out = append(out, said)
	}
	return out
}

func orNone(date string) string {
	if date == "" {
		return "none"
	}
	return date
}

// versionsOf says which version of which list was used.
func versionsOf(row *consentv1.ScrubRow) (out []string) {
	for _, l := range row.GetLists() {
		out = append(out, l.GetRegistry()+" "+orNone(l.GetVersionDate()))
	}
	return slices.Compact(out)
}
