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
	total int64  // bytes, or -1 if unknown
	bar   *progressbar.ProgressBar
	begun time.Time
	said  time.Time
}

func newProgress(w io.Writer, what string, total int64) *progress {
	p := &progress{w: w, what: what, total: total, begun: time.Now()}
	p.said = p.begun
	if isTerminal(w) {
		p.bar = progressbar.NewOptions64(total, progressbar.OptionSetWriter(w), progressbar.OptionSetDescription(what),
			progressbar.OptionShowBytes(true), progressbar.OptionShowCount(), progressbar.OptionFullWidth(),
			progressbar.OptionSetPredictTime(true), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
	}
	return p
}

// to notes bytes of the input done, and rows.
func (p *progress) to(bytes int64, rows int) {
	if p.bar != nil {
		_ = p.bar.Set64(bytes) // a bar that cannot be drawn stops nothing
		return
	}
	now := time.Now()
	if now.Sub(p.said) < progressEvery {
		return
	}
	p.said = now
	took := now.Sub(p.begun)
	line := fmt.Sprintf("consent: %s %d rows, %.0f/s", p.what, rows, float64(rows)/took.Seconds())
	if rows == 0 {
		line = fmt.Sprintf("consent: %s %d MB, %.0f MB/s", p.what, bytes/1e6, float64(bytes)/1e6/took.Seconds())
	}
	if p.total > 0 && bytes > 0 && bytes <= p.total {
		left := time.Duration(float64(took) * float64(p.total-bytes) / float64(bytes))
		line += fmt.Sprintf(", %d%%, about %s left", 100*bytes/p.total, left.Round(time.Second))
	}
	fmt.Fprintln(p.w, line)
}

// finish clears the bar.
func (p *progress) finish() {
	if p.bar != nil {
		_ = p.bar.Finish()
	}
}
