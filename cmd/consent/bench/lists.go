package bench

import (
	"bufio"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/consent-ledger/consent-ledger/ledger/phone"
)

// nationalNumbers is how many numbers the American national list held on 30
// September 2025.
const nationalNumbers = 258_500_000

// Shape of a made list: within an area code some thousand-blocks are assigned,
// and within each of those a share of the numbers is listed that differs from
// block to block. Blocks are as dense whatever the size of the list: a smaller
// list has fewer area codes, so that its figures for a number hold for a larger one.
const (
	assignedShare = 0.55
	listedSpread  = 0.6 // of the logarithm of a block's share
)

// areaCodes are the American area codes the numbering plan knows.
func americanAreaCodes() (out []int) {
	for code := 200; code < 1000; code++ {
		n, err := phone.Parse(fmt.Sprintf("+1%d5550100", code), "")
		if err == nil && !n.Unassigned && n.Region == "US" {
			out = append(out, code)
		}
	}
	return out
}

// listMaker makes lists of one shape, the same for the same seed.
type listMaker struct {
	codes []int
	share float64 // mean share of listed numbers in an assigned block
	seed  uint64
}

func newListMaker(numbers int) *listMaker {
	all := americanAreaCodes()
	n := max(1, min(len(all), int(math.Round(float64(numbers)/nationalNumbers*float64(len(all))))))
	m := &listMaker{share: float64(numbers) / (float64(n) * 8000 * 1000 * assignedShare), seed: 20250930}
	for i := range n {
		m.codes = append(m.codes, all[i*len(all)/n])
	}
	return m
}

// each yields the listed numbers of an area code, ascending, as ten digits.
func (m *listMaker) each(code int, yield func(number int)) {
	r := rand.New(rand.NewPCG(m.seed, uint64(code)))
	for block := range 8000 { // exchanges 200 to 999, ten thousand-blocks each
		if r.Float64() >= assignedShare {
			continue
		}
		// A lognormal share with the mean wanted.
		share := min(0.98, m.share*math.Exp(listedSpread*r.NormFloat64()-listedSpread*listedSpread/2))
		first := code*1e7 + 2_000_000 + block*1000
		for i := gap(r, share); i < 1000; i += 1 + gap(r, share) {
			yield(first + i)
		}
	}
}

// gap is how many numbers lie before the next listed one.
func gap(r *rand.Rand, share float64) int {
	return int(min(1000, math.Log(1-r.Float64())/math.Log(1-share)))
}

// write makes a flat file for each area code, as the FTC names them.
func (m *listMaker) write(dir string, day time.Time) (files []string, numbers, bytes int64, err error) {
	for _, code := range m.codes {
		path := filepath.Join(dir, fmt.Sprintf("%s_%d_%08x.txt", day.Format("2006-1-2"), code, code))
		n, size, err := m.writeFile(path, code)
		if err != nil {
			return nil, 0, 0, err
		}
		files, numbers, bytes = append(files, path), numbers+n, bytes+size
	}
	return files, numbers, bytes, nil
}

func (m *listMaker) writeFile(path string, code int) (numbers, size int64, err error) {
	f, err := os.Create(path)
	if err != nil {
		return 0, 0, err
	}
	w := bufio.NewWriterSize(f, 128<<10)
	line := []byte("000,0000000\n")
	m.each(code, func(n int) {
		strconv.AppendInt(line[:0], int64(n/1e7), 10)
		for i, rest := 10, n%1e7; i > 3; i, rest = i-1, rest/10 {
			line[i] = byte('0' + rest%10)
		}
		line[3] = ','
		_, _ = w.Write(line) // Flush repeats the error
		numbers++
	})
	return numbers, numbers * int64(len(line)), errors.Join(w.Flush(), f.Close())
}

// writeChanges makes a change list: four additions for each removal.
func (m *listMaker) writeChanges(path string, rows int, listed func(number uint64) bool) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 128<<10)
	r := rand.New(rand.NewPCG(m.seed, 7))
	for left := rows; left > 0; {
		n := m.codes[r.IntN(len(m.codes))]*1e7 + 2_000_000 + r.IntN(8_000_000)
		want := left%5 == 0
		if listed(uint64(1e10+n)) != want {
			continue
		}
		what := byte('A')
		if want {
			what = 'D'
		}
		fmt.Fprintf(w, "%03d,%07d,2026-01-01T00:00:00,%c\n", n/1e7, n%1e7, what)
		left--
	}
	return errors.Join(w.Flush(), f.Close())
}
