package bench

import (
	"bytes"
	"encoding/xml"
	"io"
	"os"
	"strings"
	"testing"
)

// TestGrowthIsDrawnFromItsData: the drawing in test/bench is what its points give.
func TestGrowthIsDrawnFromItsData(t *testing.T) {
	data, err := os.ReadFile("../../../test/bench/growth.csv")
	if err != nil {
		t.Fatal(err)
	}
	points, err := parseGrowth(data)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(growthCSV(points), data) {
		t.Error("the points are not written as they were read")
	}
	drawing, err := os.ReadFile("../../../test/bench/growth.svg")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(growthSVG(points), drawing) {
		t.Error("growth.svg is not drawn from growth.csv: consent bench growth --draw --data test/bench/growth.csv --plot test/bench/growth.svg")
	}
}

// TestDrawingSaysWhatItShows: it is sound XML, has a title and a description, and gives
// every point in figures.
func TestDrawingSaysWhatItShows(t *testing.T) {
	svg := growthSVG([]growthPoint{{1_000_000, 12, 5, 2.25, 0.8, 900}, {258_403_844, 31, 9, 1.75, 1.1, 2100}})
	d := xml.NewDecoder(bytes.NewReader(svg))
	for {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{`role="img"`, `aria-labelledby="title desc"`, "<title ", "<desc ", "12 us", "31 us", "2.25", "1.75", ">1 M<", ">258.4 M<", "bar: 50 us"} {
		if !strings.Contains(string(svg), want) {
			t.Errorf("no %q in the drawing", want)
		}
	}
}

func TestGrowthRefuses(t *testing.T) {
	for _, raw := range []string{"", "numbers\n1\n", strings.Join(growthColumns, ",") + "\n", strings.Join(growthColumns, ",") + "\n1,2,x,4,5,6\n", strings.Join(growthColumns, ",") + "\n0,2,3,4,5,6\n"} {
		if points, err := parseGrowth([]byte(raw)); err == nil {
			t.Errorf("%q gives %v", raw, points)
		}
	}
}
