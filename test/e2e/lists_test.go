package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
	"github.com/consent-ledger/consent-ledger/test/testenv"
)

const national = "us_national_dnc"

// daysAgo is a day as lists write it.
func daysAgo(n int) string { return time.Now().UTC().AddDate(0, 0, -n).Format(time.DateOnly) }

// listLoad is a load of one file, under way.
type listLoad struct {
	*connect.ClientStreamForClient[consentv1.LoadRegistryRequest, consentv1.LoadRegistryResponse]
	t *testing.T
}

func beginLoad(ctx context.Context, t *testing.T, e *testenv.Env, f *consentv1.RegistryFile) listLoad {
	t.Helper()
	l := listLoad{e.Ledger.LoadRegistry(ctx), t}
	if f.Registry == "" {
		f.Registry = national
	}
	if err := l.Send(&consentv1.LoadRegistryRequest{File: f}); err != nil {
		t.Fatal(err)
	}
	return l
}

func (l listLoad) chunk(b []byte) {
	l.t.Helper()
	if err := l.Send(&consentv1.LoadRegistryRequest{Chunk: b}); err != nil {
		l.t.Fatal(err)
	}
}

func (l listLoad) end() (*consentv1.LoadRegistryResponse, error) {
	res, err := l.CloseAndReceive()
	if err != nil {
		return nil, err
	}
	return res.Msg, nil
}

// load loads one file whole. If nothing says what it covers, it is for all area codes
// that occur in it.
func load(t *testing.T, e *testenv.Env, f *consentv1.RegistryFile, text string) (*consentv1.LoadRegistryResponse, error) {
	t.Helper()
	if p := f.GetPlan(); p.GetBaseDate() == "" && p.GetFormat() == "" && f.GetName() == "list.txt" && len(p.GetAreaCodes()) == 0 && !p.GetWholeCountry() {
		if f.Plan = p; p == nil {
			f.Plan = &consentv1.RegistryPlan{}
		}
		for line := range strings.Lines(text) {
			if code := line[:3]; !slices.Contains(f.Plan.AreaCodes, code) {
				f.Plan.AreaCodes = append(f.Plan.AreaCodes, code)
			}
		}
	}
	return loadAsIs(t, e, f, text)
}

// loadAsIs loads one file whole.
func loadAsIs(t *testing.T, e *testenv.Env, f *consentv1.RegistryFile, text string) (*consentv1.LoadRegistryResponse, error) {
	t.Helper()
	l := beginLoad(t.Context(), t, e, f)
	_ = l.Send(&consentv1.LoadRegistryRequest{Chunk: []byte(text)}) // a refusal comes with the answer
	return l.end()
}

func mustLoad(t *testing.T, e *testenv.Env, f *consentv1.RegistryFile, text string) *consentv1.LoadRegistryResponse {
	t.Helper()
	res, err := load(t, e, f, text)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// loading asks how far a load is.
func loading(t *testing.T, e *testenv.Env, sums ...[]byte) *consentv1.GetRegistryLoadResponse {
	t.Helper()
	res, err := e.Ledger.GetRegistryLoad(t.Context(), connect.NewRequest(&consentv1.GetRegistryLoadRequest{Registry: national, Sha256: sums}))
	if err != nil {
		t.Fatal(err)
	}
	return res.Msg
}

// waitLoading waits until a load goes on, or none.
func waitLoading(t *testing.T, e *testenv.Env, want bool) {
	t.Helper()
	for loading(t, e).GetLoading() != want {
		if t.Context().Err() != nil {
			t.Fatal(t.Context().Err())
		}
	}
}

// use is what a decision says about the national list.
func use(t *testing.T, e *testenv.Env, number string) *consentv1.ListUse {
	t.Helper()
	d := e.Check(&consentv1.Question{Number: number, Seller: "acme", Channel: consentv1.Channel_CHANNEL_VOICE_LIVE, Purpose: consentv1.Purpose_PURPOSE_MARKETING})
	for _, l := range d.GetLists() {
		if l.GetRegistry() == national {
			return l
		}
	}
	t.Fatalf("the decision names no list: %v", d)
	return nil
}

const ann, bob = "+12125550101", "+12125550102"

func TestTwoLoadsOfOneList(t *testing.T) {
	e := testenv.New(t)
	e.Seller("acme")
	first := beginLoad(t.Context(), t, e, &consentv1.RegistryFile{VersionDate: daysAgo(3), Name: "list.txt",
		Plan: &consentv1.RegistryPlan{AreaCodes: []string{"212"}}})
	waitLoading(t, e, true)
	_, err := load(t, e, &consentv1.RegistryFile{VersionDate: daysAgo(2), Name: "list.txt"}, "212,5550102\n")
	if connect.CodeOf(err) != connect.CodeFailedPrecondition || !strings.Contains(err.Error(), "another load") {
		t.Errorf("the second load: %v", err)
	}
	mustLoad(t, e, &consentv1.RegistryFile{Registry: "us_tx_no_call", VersionDate: daysAgo(2), Name: "list.txt"}, "212,5550102\n") // another list
	first.chunk([]byte("212,5550101\n"))
	if _, err := first.end(); err != nil {
		t.Fatal(err)
	}
	if u := use(t, e, ann); !u.GetListed() || u.GetVersionDate() != daysAgo(3) {
		t.Errorf("after the first load: %v", u)
	}
	mustLoad(t, e, &consentv1.RegistryFile{VersionDate: daysAgo(2), Name: "list.txt"}, "212,5550101\n212,5550102\n")
}

// TestFileThatChanges: what arrives is not what was announced.
func TestFileThatChanges(t *testing.T) {
	e := testenv.New(t)
	e.Seller("acme")
	mustLoad(t, e, &consentv1.RegistryFile{VersionDate: daysAgo(3), Name: "list.txt"}, "212,5550101\n")
	sum := sha256.Sum256([]byte("212,5550102\n"))
	_, err := load(t, e, &consentv1.RegistryFile{VersionDate: daysAgo(2), Name: "list.txt", Sha256: sum[:]}, "212,5550103\n")
	if err == nil || !strings.Contains(err.Error(), "changed while it was sent") {
		t.Errorf("another file: %v", err)
	}
	if got := loading(t, e, sum[:]).GetStaged(); got[0] != 0 {
		t.Errorf("%d bytes of it stayed", got[0])
	}
	if u := use(t, e, ann); !u.GetListed() || u.GetVersionDate() != daysAgo(3) {
		t.Errorf("the list of before: %v", u)
	}
}

// TestLoadThatBreaksOff goes on where it was.
func TestLoadThatBreaksOff(t *testing.T) {
	e := testenv.New(t)
	e.Seller("acme")
	var b bytes.Buffer
	for i := range 300_000 {
		fmt.Fprintf(&b, "212,%07d\n", 2_000_000+3*i)
	}
	text := b.Bytes()
	sum := sha256.Sum256(text)
	about := func(offset uint64) *consentv1.RegistryFile {
		return &consentv1.RegistryFile{VersionDate: daysAgo(1), Name: "list.txt", Sha256: sum[:], Offset: offset,
			Plan: &consentv1.RegistryPlan{AreaCodes: []string{"212"}}}
	}
	ctx, cancel := context.WithCancel(t.Context())
	l := beginLoad(ctx, t, e, about(0))
	for at := 0; at < 2_500_000; at += 100_000 {
		l.chunk(text[at : at+100_000])
	}
	waitLoading(t, e, true)
	for loading(t, e, sum[:]).GetStaged()[0] < 2<<20 {
	}
	cancel()
	waitLoading(t, e, false)
	staged := loading(t, e, sum[:]).GetStaged()[0]
	if staged != 2<<20 {
		t.Fatalf("%d bytes are here", staged)
	}
	e.Restart() // the part stays
	if _, err := load(t, e, about(1<<20), string(text[1<<20:])); err == nil || !strings.Contains(err.Error(), "offset") {
		t.Errorf("from the wrong byte on: %v", err)
	}
	staged = loading(t, e, sum[:]).GetStaged()[0]
	res := mustLoad(t, e, about(staged), string(text[staged:]))
	if staged != 2<<20 || res.GetRows() != 300_000 || res.GetMalformed() != 0 {
		t.Errorf("went on at %d: %v", staged, res)
	}
	if got := loading(t, e, sum[:]).GetStaged()[0]; got != 0 {
		t.Errorf("%d bytes stayed after the load", got)
	}
}

// TestChecksWhileListsChange: every check is answered from one version, whole,
// while change lists come, and after a restart.
func TestChecksWhileListsChange(t *testing.T) {
	e := testenv.New(t)
	e.Seller("acme")
	const versions = 12 // on even days ago ann is listed, on odd ones bob
	const others = 20   // that stay on the list
	mustLoad(t, e, &consentv1.RegistryFile{VersionDate: daysAgo(versions), Name: "list.txt"}, "212,5550101\n"+manyLines(others))
	done := make(chan struct{})
	var checks sync.WaitGroup
	for range 2 {
		checks.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				a := use(t, e, ann)
				day, err := time.Parse(time.DateOnly, a.GetVersionDate())
				if err != nil {
					t.Errorf("no list answers: %v", a)
					return
				}
				ago := int(time.Now().UTC().Truncate(24*time.Hour).Sub(day).Hours() / 24)
				if a.GetListed() != (ago%2 == 0) {
					t.Errorf("a mixture: %v", a)
					return
				}
			}
		})
	}
	for ago := versions - 1; ago > 0; ago-- {
		on, off := "5550101", "5550102"
		if ago%2 == 1 {
			on, off = off, on
		}
		text := fmt.Sprintf("212,%s,%s,D\n212,%s,%s,A\n", off, daysAgo(ago), on, daysAgo(ago))
		res := mustLoad(t, e, &consentv1.RegistryFile{VersionDate: daysAgo(ago), Name: "changes.txt",
			Plan: &consentv1.RegistryPlan{BaseDate: daysAgo(ago + 1)}}, text)
		if res.GetAdded() != 1 || res.GetRemoved() != 1 || res.GetRows() != 1+others {
			t.Fatalf("%d days ago: %v", ago, res)
		}
	}
	close(done)
	checks.Wait()
	if err := e.Node.ListsKept(t.Context()); err != nil {
		t.Fatal(err)
	}
	e.Restart()
	if err := e.Node.ListsKept(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a, b := use(t, e, ann), use(t, e, bob); a.GetListed() || !b.GetListed() || a.GetVersionDate() != daysAgo(1) {
		t.Errorf("after a restart: %v, %v", a, b)
	}
	list, err := e.Ledger.ListRegistries(t.Context(), connect.NewRequest(&consentv1.ListRegistriesRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	v := list.Msg.GetVersions()
	if len(v) != 1 || v[0].GetAgeDays() != 1 || v[0].GetUsableUntil() != daysAgo(-30) || !v[0].GetWhole() || v[0].GetFollowsDate() != daysAgo(2) {
		t.Errorf("status: %v", v)
	}
}

// TestWhatNoListIs: nothing of it is used, and the reason is an invalid argument.
func TestWhatNoListIs(t *testing.T) {
	e := testenv.New(t)
	e.Seller("acme")
	mustLoad(t, e, &consentv1.RegistryFile{VersionDate: daysAgo(3), Name: "list.txt"}, strings.Repeat("212,5550101\n", 1)+manyLines(2000))
	for name, tc := range map[string]struct {
		file *consentv1.RegistryFile
		text string
		says string
	}{
		"cut off":                      {&consentv1.RegistryFile{VersionDate: daysAgo(2), Name: "list.txt"}, manyLines(10) + "212,55", "cut off"},
		"cut off at the end of a line": {&consentv1.RegistryFile{VersionDate: daysAgo(2), Name: "list.txt"}, manyLines(1000), "--accept-shrunk"},
		"fewer than expected": {&consentv1.RegistryFile{VersionDate: daysAgo(2), Name: "list.txt", Plan: &consentv1.RegistryPlan{ExpectRows: 2001}}, manyLines(2000),
			"2000 rows where 2001 were expected"},
		"no zip": {&consentv1.RegistryFile{VersionDate: daysAgo(2), Name: "list.zip"}, manyLines(10), "zip"},
		"no base": {&consentv1.RegistryFile{VersionDate: daysAgo(2), Name: "c.txt", Plan: &consentv1.RegistryPlan{BaseDate: daysAgo(9)}},
			"212,5550101," + daysAgo(2) + ",D\n", "newest here is of " + daysAgo(3)},
		"backwards": {&consentv1.RegistryFile{VersionDate: daysAgo(4), Name: "c.txt", Plan: &consentv1.RegistryPlan{BaseDate: daysAgo(3)}}, "", "cannot follow"},
		"no form":   {&consentv1.RegistryFile{Registry: "moon_dnc", VersionDate: daysAgo(2), Name: "c.txt"}, "", "--format"},
		"a number for an account": {&consentv1.RegistryFile{VersionDate: daysAgo(2), Name: "list.txt",
			Plan: &consentv1.RegistryPlan{Subscription: "2125550101"}}, manyLines(2000), "nine digits"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, e, tc.file, tc.text)
			var wire *connect.Error
			if !errors.As(err, &wire) || wire.Code() != connect.CodeInvalidArgument || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("error %v, want one with %q", err, tc.says)
			}
			if u := use(t, e, ann); !u.GetListed() || u.GetVersionDate() != daysAgo(3) {
				t.Errorf("the list of before: %v", u)
			}
		})
	}
	res := mustLoad(t, e, &consentv1.RegistryFile{VersionDate: daysAgo(1), Name: "list.txt", Plan: &consentv1.RegistryPlan{AcceptShrunk: true}}, manyLines(10))
	if res.GetRows() != 10 {
		t.Errorf("a list that may shrink: %v", res)
	}
}

// manyLines is a list of other numbers than ann's and bob's.
func manyLines(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "212,%07d\n", 2_000_000+i)
	}
	return b.String()
}

// TestNoListOpensOnItsSilence: through the server, what a wrong file would have
// opened stays blocked, and what is of no use is told.
func TestNoListOpensOnItsSilence(t *testing.T) {
	e := testenv.New(t)
	e.Seller("acme")
	refused := func(name, text, says string, plan *consentv1.RegistryPlan, licensees ...string) {
		t.Helper()
		_, err := loadAsIs(t, e, &consentv1.RegistryFile{VersionDate: daysAgo(1), Name: name, Plan: plan, Licensees: licensees}, text)
		if connect.CodeOf(err) != connect.CodeInvalidArgument || !strings.Contains(err.Error(), says) {
			t.Errorf("error %v, want one with %q", err, says)
		}
		if d := e.Check(&consentv1.Question{Number: ann, Seller: "acme", Channel: consentv1.Channel_CHANNEL_VOICE_LIVE,
			Purpose: consentv1.Purpose_PURPOSE_MARKETING}); d.GetVerdict() == consentv1.Verdict_VERDICT_ALLOW {
			t.Errorf("%s: %v", says, d)
		}
	}
	codes := func(codes ...string) *consentv1.RegistryPlan { return &consentv1.RegistryPlan{AreaCodes: codes} }
	refused("list.txt", "", "--accept-empty", codes("212"))
	refused("list.txt", "212,5550102\n", "--area-code", nil)
	mustLoad(t, e, &consentv1.RegistryFile{VersionDate: daysAgo(2), Name: "list.txt"}, "212,5550101\n"+manyLines(200))
	refused("list.txt", "", "--accept-empty", codes("212"))
	refused("list.txt", "212,5550102\n470,5550102\n", "area code 212: 201 listed now, 201 of them gone, 1 in this list", codes("212", "470"))
	refused("list.txt", "212,5550102\n", "--accept-shrunk", codes("212"), "acme")
	refused("list.txt", "470,5550102\n", "--area-code says 212", codes("212"))
	refused("changes.txt", "470,5550102,"+daysAgo(1)+",A\n", "470: 1", &consentv1.RegistryPlan{BaseDate: daysAgo(2)})
	refused("changes.txt", "", "--accept-empty", &consentv1.RegistryPlan{BaseDate: daysAgo(2)})
	if u := use(t, e, ann); !u.GetListed() || u.GetVersionDate() != daysAgo(2) {
		t.Errorf("the list of before: %v", u)
	}
	refused("list.txt", "212,5550101\n", `no seller "acmee" is registered`, codes("212"), "acme", "acmee")
	refused("list.txt", "212,5550102\n", "takes area codes such as", &consentv1.RegistryPlan{AreaCodes: []string{"212"}, AcceptShrunkAreas: []string{"list.txt"}})
	refused("list.txt", "212,5550102\n", "--accept-shrunk 212", &consentv1.RegistryPlan{AreaCodes: []string{"212"}, AcceptShrunkAreas: []string{"303"}})
	res := mustLoad(t, e, &consentv1.RegistryFile{Registry: "us_national_dcn", VersionDate: daysAgo(1), Name: "list.txt"}, "212,5550101\n")
	if n := res.GetNotices(); len(n) != 1 || !strings.Contains(n[0], "us_national_dcn") {
		t.Errorf("notices %q", n)
	}
	all, err := e.Ledger.ListRegistries(t.Context(), connect.NewRequest(&consentv1.ListRegistriesRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range all.Msg.GetVersions() {
		if v.GetUnasked() != (v.GetRegistry() == "us_national_dcn") {
			t.Errorf("asked for or not: %v", v)
		}
	}
	res = mustLoad(t, e, &consentv1.RegistryFile{VersionDate: daysAgo(1), Name: "list.txt", Plan: &consentv1.RegistryPlan{AreaCodes: []string{"212"},
		AcceptShrunkAreas: []string{"212"}}}, "212,5550102\n")
	if n := res.GetNotices(); len(n) != 1 || !strings.Contains(n[0], "area code 212: 201 listed now, 201 of them gone, 1 in this list") {
		t.Errorf("notices %q", n)
	}
}
