package bundle

import (
	"regexp"
	"strings"
	"testing"
)

var (
	pageIDs   = regexp.MustCompile(` id="([^"]*)"`)
	pageLinks = regexp.MustCompile(` (?:href|src)="([^"]*)"`)
	pageHeads = regexp.MustCompile(`<h([1-6])`)
	tableHead = regexp.MustCompile(`<th[ >][^>]*>`)
)

// TestPage: the page stands by itself, and whoever hears it read aloud, or goes by
// keyboard, finds the way: one order of headings, tables with captions and scopes,
// links that lead to something here.
func TestPage(t *testing.T) {
	f := richStory(t).unpack(honest(richStory(t)))
	page := string(f[ReportFile])
	ids := map[string]bool{}
	for _, m := range pageIDs.FindAllStringSubmatch(page, -1) {
		if ids[m[1]] {
			t.Errorf("the id %q is there twice", m[1])
		}
		ids[m[1]] = true
	}
	for _, m := range pageLinks.FindAllStringSubmatch(page, -1) {
		name, here := strings.CutPrefix(m[1], "#")
		if _, file := f[name]; !(here && ids[name] || !here && file) {
			t.Errorf("%q leads nowhere", m[1])
		}
	}
	last := byte('0')
	for _, m := range pageHeads.FindAllStringSubmatch(page, -1) {
		if m[1][0] > last+1 {
			t.Errorf("h%s follows h%c", m[1], last)
		}
		last = m[1][0]
	}
	for _, th := range tableHead.FindAllString(page, -1) {
		if !strings.Contains(th, ` scope="`) {
			t.Errorf("%s has no scope", th)
		}
	}
	if strings.Count(page, "<table") != strings.Count(page, "<caption") || strings.Count(page, "<h1") != 1 {
		t.Error("a table has no caption, or there is not one title")
	}
	for _, want := range []string{`<html lang="en">`, `default-src 'none'`, "<main", "<nav aria-label", "@media print", `lang="en">By ticking`} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q", want)
		}
	}
	for _, never := range []string{"<script", "http:", "https:", "url(", "@import"} {
		if i := strings.Index(page, never); i >= 0 {
			t.Errorf("%q is in it", page[i:i+20])
		}
	}
}

// TestPageClaimsNoMore: what is not proven depends on whom the bundle is about, and the
// page says so.
func TestPageClaimsNoMore(t *testing.T) {
	s := newStory(t)
	seller, number := s.unpack(ofSeller(s, s.sellerManifest(), 3, 5)), s.unpack(honest(s))
	const omitted, later, honestly = "any of them may have been left out", "about another holder of a number", "directory of all numbers was honest"
	for _, c := range []struct {
		name       string
		page       string
		want, none []string
	}{
		{"a seller", string(seller[ReportFile]), []string{omitted}, []string{later, honestly, "No entry about the number was left out"}},
		{"a number", string(number[ReportFile]), []string{honestly, "No entry about the number was left out"}, []string{omitted, later}},
		{"for both", string(number[ReadmeFile]), []string{"directory of all numbers was honest", "but for the column erased"}, nil},
	} {
		for _, w := range c.want {
			if !strings.Contains(c.page, w) {
				t.Errorf("%s: no %q", c.name, w)
			}
		}
		for _, w := range c.none {
			if strings.Contains(c.page, w) {
				t.Errorf("%s: %q is in it", c.name, w)
			}
		}
	}
}
