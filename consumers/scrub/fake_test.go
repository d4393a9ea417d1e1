package scrub

import (
	"context"
	"encoding/csv"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
	"github.com/consent-ledger/consent-ledger/proto/gen/consent/v1/consentv1connect"
)

// server is a server stricter than the real one. Its verdict on a number depends
// on the number alone, so that the right file is known.
type server struct {
	consentv1connect.UnimplementedDecisionServiceHandler
	// before is called with the count of messages before each answer; an error ends the
	// stream, io.EOF as if it were whole.
	before func(messages int) error
	// renumber begins a new numbering at every so many messages; 0: never.
	renumber int
	// bend changes answers.
	bend func(*consentv1.ScrubResponse)

	mu      sync.Mutex
	numbers int // asked in all streams
}

func (s *server) Scrub(_ context.Context, st *connect.BidiStream[consentv1.ScrubRequest, consentv1.ScrubResponse]) error {
	given := map[string]uint32{}
	for messages := 0; ; messages++ {
		req, err := st.Receive()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch first := messages == 0; {
		case first && (req.GetQuestion().GetCampaign() == "" || !req.GetShareAnswers()), first && req.GetQuestion().GetNumber() != "":
			return connect.NewError(connect.CodeInvalidArgument, errors.New("the first message asks nothing"))
		case !first && (req.GetQuestion() != nil || req.GetDefaultRegion() != ""):
			return connect.NewError(connect.CodeInvalidArgument, errors.New("the question comes twice"))
		}
		numbers, err := numbersOf(req)
		if err != nil {
			return connect.NewError(connect.CodeInvalidArgument, err)
		}
		if s.before != nil {
			if err := s.before(messages); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return err
			}
		}
		res := &consentv1.ScrubResponse{Renumbered: messages == 0}
		if s.renumber > 0 && messages%s.renumber == 0 {
			res.Renumbered = true
			clear(given)
		}
		for _, n := range numbers {
			kind := kindOf(n)
			at, ok := given[kind]
			if !ok {
				at = uint32(len(given))
				given[kind] = at
				res.Rows = append(res.Rows, rowOf(kind))
			}
			res.Answers = append(res.Answers, at)
		}
		s.mu.Lock()
		s.numbers += len(numbers)
		s.mu.Unlock()
		if s.bend != nil {
			s.bend(res)
		}
		if err := st.Send(res); err != nil {
			return err
		}
	}
}

// numbersOf reads a message as strictly as a server may.
func numbersOf(req *consentv1.ScrubRequest) (numbers []string, err error) {
	numbers = req.GetNumbers()
	lines, ended := strings.CutSuffix(string(req.GetLines()), "\n")
	switch {
	case req.Lines == nil:
	case !ended || len(numbers) > 0:
		return nil, errors.New("lines break off, or are not alone")
	default:
		numbers = strings.Split(strings.ToValidUTF8(lines, "\ufffd"), "\n")
	}
	if len(numbers) == 0 || len(numbers) > 10_000 {
		return nil, errors.New("no message has so many numbers")
	}
	for _, n := range req.GetNumbers() {
		if !utf8.ValidString(n) {
			return nil, errors.New("no UTF-8")
		}
	}
	return numbers, nil
}

// kindOf tells the answer to a number: its last digit, or that it is none.
func kindOf(number string) string {
	if len(number) < 7 || strings.ContainsAny(number, "abcxyz\ufffd") {
		return "invalid"
	}
	return number[len(number)-1:]
}

func rowOf(kind string) *consentv1.ScrubRow {
	row := &consentv1.ScrubRow{Position: 42, At: timestamppb.New(time.Date(2026, 7, 1, 19, 0, 0, 0, time.UTC)), Verdict: consentv1.Verdict_VERDICT_BLOCK,
		Lists: []*consentv1.ListUse{{Registry: "us_national_dnc", VersionDate: "2026-06-20", Listed: kind == "4"}}, Packs: []string{"us 1"}}
	switch kind {
	case "invalid":
		return &consentv1.ScrubRow{Position: 42, Verdict: consentv1.Verdict_VERDICT_BLOCK, Reasons: []string{"NUMBER_INVALID"}, Invalid: true}
	case "0", "1", "2":
		row.Verdict, row.Basis = consentv1.Verdict_VERDICT_ALLOW, "OK_WRITTEN_CONSENT"
	case "3":
		row.Reasons, row.NextAllowedAt = []string{"OUTSIDE_HOURS"}, timestamppb.New(time.Date(2026, 7, 2, 12, 0, 0, 0, time.UTC))
	case "4":
		row.Reasons = []string{"REGISTRY_LISTED", "CONSENT_MISSING"}
	default:
		row.Reasons = []string{"CONSENT_MISSING"}
	}
	return row
}

// serve gives a client of the server.
func (s *server) serve(t testing.TB) consentv1connect.DecisionServiceClient {
	t.Helper()
	_, h := consentv1connect.NewDecisionServiceHandler(s)
	srv := httptest.NewUnstartedServer(h)
	srv.Config.Protocols = new(http.Protocols)
	srv.Config.Protocols.SetUnencryptedHTTP2(true)
	srv.Start()
	t.Cleanup(srv.Close)
	return clientOf(srv.URL)
}

func clientOf(url string) consentv1connect.DecisionServiceClient {
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	return consentv1connect.NewDecisionServiceClient(&http.Client{Transport: &http.Transport{Protocols: p}}, url)
}

// options ask about campaign spring and write a checkpoint after every batch.
func options() Options {
	return Options{Question: &consentv1.Question{Campaign: "spring"}, checkpoints: 1, batch: 10}
}

// write writes a file into a folder of the test's.
func write(t testing.TB, name, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// scrubbed scrubs a list that must succeed.
func scrubbed(t testing.TB, s *server, list string, o Options) (string, *Summary) {
	t.Helper()
	in := write(t, "in.csv", list)
	out := in + ".out"
	sum, err := Files(t.Context(), s.serve(t), in, out, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, left := range []string{out + ".part", out + ".part.json"} {
		if _, err := os.Stat(left); err == nil {
			t.Errorf("%s is left", filepath.Base(left))
		}
	}
	return read(t, out), sum
}

func read(t testing.TB, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// table parses what a spreadsheet would see.
func table(t testing.TB, text string) [][]string {
	t.Helper()
	r := csv.NewReader(strings.NewReader(strings.TrimPrefix(text, byteOrderMark)))
	r.FieldsPerRecord, r.LazyQuotes = -1, true
	rows, err := r.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return rows
}
