package main

import (
	"fmt"
	"io"
	"time"

	"github.com/schollz/progressbar/v3"
)

// progressEvery is how often a line is written where there is no terminal.
const progressEvery = 10 * time.Second

// progress shows how far something is: a bar with rate and remaining time on a
// terminal, else a line every 10 seconds. It belongs to one goroutine.
type progress struct {
	w     io.Writer
	what  string // past participle: imported
	unit  string // what is counted; empty: bytes
	total int64  // of the unit, or -1 if unknown
	bar   *progressbar.ProgressBar
	begun time.Time
	said  time.Time
}

// newProgress shows how many bytes of an input are done.
func newProgress(w io.Writer, what string, total int64) *progress {
	return newCount(w, what, "", total)
}

// newCount shows how many of something are done.
func newCount(w io.Writer, what, unit string, total int64) *progress {
	p := &progress{w: w, what: what, unit: unit, total: total, begun: time.Now()}
	p.said = p.begun
	if isTerminal(w) {
		o := []progressbar.Option{progressbar.OptionSetWriter(w), progressbar.OptionSetDescription(what), progressbar.OptionShowBytes(unit == ""),
			progressbar.OptionShowCount(), progressbar.OptionFullWidth(), progressbar.OptionSetPredictTime(true), progressbar.OptionThrottle(100 * time.Millisecond),
			progressbar.OptionClearOnFinish()}
		if unit != "" {
			o = append(o, progressbar.OptionShowIts(), progressbar.OptionSetItsString(unit))
		}
		p.bar = progressbar.NewOptions64(total, o...)
	}
	return p
}

// to notes how much is done, and rows of an input that is counted in bytes.
func (p *progress) to(done int64, rows int) {
	if p.bar != nil {
		_ = p.bar.Set64(done) // a bar that cannot be drawn stops nothing
		return
	}
	now := time.Now()
	if now.Sub(p.said) < progressEvery {
		return
	}
	p.said = now
	fmt.Fprintln(p.w, p.text(done, rows, now.Sub(p.begun)))
}

// text is one line.
func (p *progress) text(done int64, rows int, took time.Duration) string {
	var line string
	switch {
	case p.unit != "" && p.total > 0:
		line = fmt.Sprintf("consent: %s %d of %d %s, %.0f/s", p.what, done, p.total, p.unit, float64(done)/took.Seconds())
	case p.unit != "":
		line = fmt.Sprintf("consent: %s %d %s, %.0f/s", p.what, done, p.unit, float64(done)/took.Seconds())
	case rows > 0:
		line = fmt.Sprintf("consent: %s %d rows, %.0f/s", p.what, rows, float64(rows)/took.Seconds())
	default:
		line = fmt.Sprintf("consent: %s %d MB, %.0f MB/s", p.what, done/1e6, float64(done)/1e6/took.Seconds())
	}
	if p.total > 0 && done > 0 && done <= p.total {
		left := time.Duration(float64(took) * float64(p.total-done) / float64(done))
		line += fmt.Sprintf(", %d%%, about %s left", 100*done/p.total, left.Round(time.Second))
	}
	return line
}

// finish clears the bar.
func (p *progress) finish() {
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}
