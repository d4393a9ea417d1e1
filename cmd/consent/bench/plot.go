package bench

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

var growthColumns = []string{"numbers", "check_p99_us", "check_processor_us", "scrub_million_rows_s", "scrub_processor_us", "resident_mb"}

func growthCSV(points []growthPoint) []byte {
	var b bytes.Buffer
	fmt.Fprintln(&b, strings.Join(growthColumns, ","))
	for _, p := range points {
		fmt.Fprintf(&b, "%d,%.1f,%.2f,%.3f,%.3f,%d\n", p.Numbers, p.CheckP99, p.CheckCost, p.ScrubRate, p.ScrubCost, p.ResidentMB)
	}
	return b.Bytes()
}

func parseGrowth(raw []byte) (points []growthPoint, err error) {
	rows, err := csv.NewReader(bytes.NewReader(raw)).ReadAll()
	if err != nil {
		return nil, err
	}
	if len(rows) < 2 || strings.Join(rows[0], ",") != strings.Join(growthColumns, ",") {
		return nil, fmt.Errorf("no points under the columns %s", strings.Join(growthColumns, ","))
	}
	for _, row := range rows[1:] {
		var v [6]float64
		var wrong error
		for i, cell := range row {
			var bad error
			v[i], bad = strconv.ParseFloat(cell, 64)
			wrong = errors.Join(wrong, bad)
		}
		if wrong != nil || v[0] < 1 {
			return nil, fmt.Errorf("a point that cannot be read: %w", wrong)
		}
		points = append(points, growthPoint{int64(v[0]), v[1], v[2], v[3], v[4], int(v[5])})
	}
	return points, nil
}

// A drawing of two panels, one above the other, over one logarithmic axis.
const (
	plotWide  = 720
	plotHigh  = 520
	plotLeft  = 80
	plotRight = 690
	panelHigh = 170
)

// panel is one curve over its own axis, which begins at zero.
type panel struct {
	top   int
	name  string
	unit  string
	value func(growthPoint) float64
	bar   float64
	says  string // of the bar
}

// growthSVG draws points: a picture that says in words what it shows, for who cannot see
// it, and gives each point its figure.
func growthSVG(points []growthPoint) []byte {
	var b bytes.Buffer
	first, last := points[0], points[len(points)-1]
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-labelledby="title desc" font-family="sans-serif" font-size="14">
<title id="title">Checks and scrubs as the national list grows</title>
<desc id="desc">From %s to %s numbers on the list the slowest of a hundred single checks takes %.0f to %.0f microseconds, and a scrub goes at %.2f to %.2f million rows a second.</desc>
<rect width="%d" height="%d" fill="#fff"/>
`, plotWide, plotHigh, millions(first.Numbers), millions(last.Numbers), first.CheckP99, last.CheckP99, first.ScrubRate, last.ScrubRate, plotWide, plotHigh)
	x := logAxis(points)
	for _, p := range []panel{
		{50, "One check, in process: the slowest of a hundred", "us", func(p growthPoint) float64 { return p.CheckP99 }, 50, "bar: 50 us"},
		{290, "A scrub from file to file: million rows a second", "", func(p growthPoint) float64 { return p.ScrubRate }, 1.5, "bar: 1.5"},
	} {
		p.draw(&b, points, x)
	}
	for _, p := range points {
		fmt.Fprintf(&b, `<text x="%.1f" y="%d" text-anchor="middle" fill="#333">%s</text>`+"\n", x(p.Numbers), plotHigh-32, millions(p.Numbers))
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle" fill="#333">numbers on the list, logarithmic</text>`+"\n</svg>\n", (plotLeft+plotRight)/2, plotHigh-10)
	return b.Bytes()
}

// logAxis gives the place of a size of the list.
func logAxis(points []growthPoint) func(int64) float64 {
	low, high := math.Log10(float64(points[0].Numbers)), math.Log10(float64(points[len(points)-1].Numbers))
	const room = 30
	return func(n int64) float64 {
		return plotLeft + room + (math.Log10(float64(n))-low)/max(high-low, 1e-9)*(plotRight-plotLeft-2*room)
	}
}

func (p panel) draw(b *bytes.Buffer, points []growthPoint, x func(int64) float64) {
	most := p.bar
	for _, at := range points {
		most = max(most, p.value(at))
	}
	most *= 1.2
	y := func(v float64) float64 { return float64(p.top+panelHigh) - v/most*panelHigh }
	fmt.Fprintf(b, `<text x="%d" y="%d" font-weight="bold" fill="#111">%s</text>`+"\n", plotLeft, p.top-14, p.name)
	fmt.Fprintf(b, `<path d="M%d %dV%dH%d" fill="none" stroke="#333"/>`+"\n", plotLeft, p.top, p.top+panelHigh, plotRight)
	for _, v := range []float64{0, most / 2.4, most / 1.2} {
		fmt.Fprintf(b, `<text x="%d" y="%.1f" text-anchor="end" fill="#333">%s</text>`+"\n", plotLeft-8, y(v)+5, figure(v))
	}
	fmt.Fprintf(b, `<path d="M%d %.1fH%d" stroke="#a33" stroke-dasharray="6 4"/><text x="%d" y="%.1f" fill="#a33">%s</text>`+"\n",
		plotLeft, y(p.bar), plotRight, plotLeft+10, y(p.bar)+18, p.says)
	var line strings.Builder
	for i, at := range points {
		step := "L"
		if i == 0 {
			step = "M"
		}
		fmt.Fprintf(&line, "%s%.1f %.1f", step, x(at.Numbers), y(p.value(at)))
	}
	fmt.Fprintf(b, `<path d="%s" fill="none" stroke="#1a5fb4" stroke-width="2"/>`+"\n", line.String())
	for _, at := range points {
		fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="4" fill="#1a5fb4"/><text x="%.1f" y="%.1f" text-anchor="middle" fill="#1a5fb4">%s</text>`+"\n",
			x(at.Numbers), y(p.value(at)), x(at.Numbers), y(p.value(at))-12, strings.TrimSpace(figure(p.value(at))+" "+p.unit))
	}
}

// figure is a number as a label.
func figure(v float64) string {
	if v >= 10 || v == 0 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

func millions(n int64) string {
	return strings.TrimSuffix(strconv.FormatFloat(float64(n)/1e6, 'f', 1, 64), ".0") + " M"
}
