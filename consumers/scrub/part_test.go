package scrub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/consent-ledger/consent-ledger/proto/gen/consent/v1/consentv1connect"
)

var errBroken = errors.New("broken off")

// brokenOff scrubs a list of 400 rows until the server breaks off after some
// messages, and gives both paths.
func brokenOff(t *testing.T, ending string, messages int, o Options) (in, out string) {
	t.Helper()
	in = write(t, "in.csv", manyRows(400))
	out = in + ".out" + ending
	s := &server{before: func(n int) error {
		if n == messages {
			return errBroken
		}
		return nil
	}}
	if _, err := Files(t.Context(), s.serve(t), in, out, o); err == nil || !strings.Contains(err.Error(), "broken off") {
		t.Fatalf("%v", err)
	}
	if _, err := os.Stat(out); err == nil {
		t.Fatal("there is half an output")
	}
	return in, out
}

// TestGoesOn: wherever a scrub breaks off, and however often, in the end the file is
// the one that a single run gives, and nothing written is asked about again.
func TestGoesOn(t *testing.T) {
	want, whole := scrubbed(t, &server{}, manyRows(400), options())
	for _, ending := range []string{"", ".gz", ".zst"} {
		for _, messages := range []int{1, 7, 39} {
			in, out := brokenOff(t, ending, messages, options())
			again := &server{before: func(n int) error {
				if n == 0 && messages == 7 { // and once more, with nothing done
					return errBroken
				}
				return nil
			}}
			_, err := Files(t.Context(), again.serve(t), in, out, options())
			if messages == 7 {
				if err == nil {
					t.Fatal("it did not break off again")
				}
				again = &server{}
				_, err = Files(t.Context(), again.serve(t), in, out, options())
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, plain(t, out, read(t, out))); diff != "" {
				t.Fatalf("%s after %d messages: %s", ending, messages, diff)
			}
			if again.numbers != 400-10*messages {
				t.Errorf("after %d messages %d numbers were asked about", messages, again.numbers)
			}
			for _, left := range []string{out + ".part", out + ".part.json"} {
				if _, err := os.Stat(left); err == nil {
					t.Errorf("%s is left", left)
				}
			}
		}
	}
	if whole.Rows != 400 {
		t.Errorf("%+v", whole)
	}
}

// TestSummaryGoesOn: the summary is about all rows.
func TestSummaryGoesOn(t *testing.T) {
	_, want := scrubbed(t, &server{}, manyRows(400), options())
	in, out := brokenOff(t, "", 11, options())
	got, err := Files(t.Context(), (&server{}).serve(t), in, out, options())
	if err != nil {
		t.Fatal(err)
	}
	if got.ResumedAt != 110 {
		t.Errorf("went on behind row %d", got.ResumedAt)
	}
	got.ResumedAt, got.Seconds, want.Seconds = 0, 0, 0
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// change rewrites a file.
func change(t *testing.T, path string, do func(string) string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(do(read(t, path))), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestDoesNotFit: what has changed since is refused with its name, and left as it
// is; --restart begins anew.
func TestDoesNotFit(t *testing.T) {
	older := func(by time.Duration) func(string) string {
		return func(text string) string {
			var k checkpoint
			if err := json.Unmarshal([]byte(text), &k); err != nil {
				t.Fatal(err)
			}
			k.Begun = k.Begun.Add(-by)
			raw, err := json.Marshal(k)
			if err != nil {
				t.Fatal(err)
			}
			return string(raw)
		}
	}
	for _, c := range []struct {
		name, want string
		bend       func(in, out string, o *Options)
	}{
		{"a row of the list before", "the list is not the one", func(in, _ string, _ *Options) {
			change(t, in, func(s string) string { return strings.Replace(s, "\n3,+12025550103", "\n3,+12025550109", 1) })
		}},
		{"a shorter list", "the list is not the one", func(in, _ string, _ *Options) { change(t, in, func(s string) string { return s[:60] }) }},
		{"another header", "the list is not the one", func(in, _ string, _ *Options) {
			change(t, in, func(s string) string { return strings.Replace(s, "id,", "ID,", 1) })
		}},
		{"what was written is shorter", "is not what was written", func(_, out string, _ *Options) {
			change(t, out+".part", func(s string) string { return s[:len(s)-1] })
		}},
		{"what was written is something else", "is not what was written", func(_, out string, _ *Options) {
			change(t, out+".part", func(s string) string { return strings.Replace(s, "BLOCK", "ALLOW", 1) })
		}},
		{"nothing says what it is", "nothing says what it is", func(_, out string, _ *Options) {
			if err := os.Remove(out + ".part.json"); err != nil {
				t.Fatal(err)
			}
		}},
		{"half of what says it", "another version", func(_, out string, _ *Options) {
			change(t, out+".part.json", func(s string) string { return s[:len(s)/2] })
		}},
		{"another campaign", "another question", func(_, _ string, o *Options) { o.Question.Campaign = "autumn" }},
		{"another region", "another default region", func(_, _ string, o *Options) { o.Region = "GB" }},
		{"another column", "another column", func(_, _ string, o *Options) { o.Column = "phone" }},
		{"another server", "another server", func(_, _ string, o *Options) { o.Server = "https://elsewhere" }},
		{"formulas", "another --neutralise-formulas", func(_, _ string, o *Options) { o.Neutralise = true }},
		{"two hours later", "a yes ages", func(_, out string, _ *Options) { change(t, out+".part.json", older(2*time.Hour)) }},
		{"a clock that went back", "a yes ages", func(_, out string, _ *Options) { change(t, out+".part.json", older(-2*time.Hour)) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			in, out := brokenOff(t, "", 5, options())
			o := options()
			c.bend(in, out, &o)
			before := read(t, out+".part")
			s := &server{}
			_, err := Files(t.Context(), s.serve(t), in, out, o)
			var list *ListError
			if !errors.As(err, &list) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "--restart") {
				t.Fatalf("%v", err)
			}
			if s.numbers != 0 || read(t, out+".part") != before {
				t.Error("it went on all the same")
			}
			o.Restart = true
			sum, err := Files(t.Context(), s.serve(t), in, out, o)
			if err != nil || sum.ResumedAt != 0 || s.numbers != sum.Rows {
				t.Errorf("--restart: %+v, %v", sum, err)
			}
		})
	}
}

// TestTornEnd: what was written behind the last checkpoint is cut off.
func TestTornEnd(t *testing.T) {
	want, _ := scrubbed(t, &server{}, manyRows(400), options())
	in, out := brokenOff(t, "", 5, options())
	change(t, out+".part", func(s string) string { return s + "51,+12025550101,ALL" })
	if _, err := Files(t.Context(), (&server{}).serve(t), in, out, options()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, read(t, out)); diff != "" {
		t.Error(diff)
	}
}

// TestTwoAtOnce: a second scrub into the same file is refused.
func TestTwoAtOnce(t *testing.T) {
	in := write(t, "in.csv", manyRows(400))
	inside, goOn := make(chan bool), make(chan bool)
	s := &server{before: func(n int) error {
		if n == 3 {
			inside <- true
			<-goOn
		}
		return nil
	}}
	client, done := s.serve(t), make(chan error, 1)
	go func() {
		_, err := Files(t.Context(), client, in, in+".out", options())
		done <- err
	}()
	<-inside
	if _, err := Files(t.Context(), (&server{}).serve(t), in, in+".out", options()); err == nil || !strings.Contains(err.Error(), "another scrub") {
		t.Errorf("%v", err)
	}
	close(goOn)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestNothingToGoOnWith: a scrub that was refused at once, or of standard input,
// leaves nothing.
func TestNothingToGoOnWith(t *testing.T) {
	in := write(t, "in.csv", manyRows(400))
	for _, messages := range []int{0, 5} {
		s, o, from := &server{before: func(n int) error {
			if n == messages {
				return errBroken
			}
			return nil
		}}, options(), in
		if messages > 0 {
			o.Stdin, from = strings.NewReader(manyRows(400)), Standard
		}
		if _, err := Files(t.Context(), s.serve(t), from, in+".out", o); err == nil {
			t.Fatal("it did not fail")
		}
		for _, left := range []string{"", ".part", ".part.json"} {
			if _, err := os.Stat(in + ".out" + left); err == nil {
				t.Errorf("OUT%s is left", left)
			}
		}
	}
}

// envVictim makes this test's program a scrub that is to be killed: server and list.
const envVictim = "CONSENT_TEST_SCRUB_VICTIM"

func TestMain(m *testing.M) {
	if url, in, ok := strings.Cut(os.Getenv(envVictim), " "); ok {
		_, err := Files(context.Background(), clientOf(url), in, in+".out", options())
		fmt.Println("the victim lived:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// TestKilled: a scrub that is killed by SIGKILL in the middle goes on.
func TestKilled(t *testing.T) {
	want, _ := scrubbed(t, &server{}, manyRows(400), options())
	in := write(t, "in.csv", manyRows(400))
	inside, end := make(chan bool), make(chan bool)
	s := &server{before: func(n int) error {
		if n == 20 {
			inside <- true
			<-end
		}
		return nil
	}}
	_, h := consentv1connect.NewDecisionServiceHandler(s)
	srv := httptest.NewUnstartedServer(h)
	srv.Config.Protocols = new(http.Protocols)
	srv.Config.Protocols.SetUnencryptedHTTP2(true)
	srv.Start()
	defer srv.Close()
	defer close(end)
	victim := exec.Command(os.Args[0], "-test.run", "^$")
	victim.Env = append(os.Environ(), envVictim+"="+srv.URL+" "+in)
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	<-inside
	if err := victim.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = victim.Wait() // it was killed
	again := &server{}
	sum, err := Files(t.Context(), again.serve(t), in, in+".out", options())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, read(t, in+".out")); diff != "" {
		t.Error(diff)
	}
	if sum.ResumedAt == 0 || again.numbers != 400-sum.ResumedAt {
		t.Errorf("went on behind row %d, asked about %d", sum.ResumedAt, again.numbers)
	}
}
