package main

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"connectrpc.com/connect"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
	"github.com/consent-ledger/consent-ledger/proto/gen/consent/v1/consentv1connect"
)

// reserving is the part of the scripted server that reserves.
type reserving struct {
	consentv1connect.UnimplementedAttemptServiceHandler
	asked  *consentv1.ReserveRequest
	answer *consentv1.ReserveResponse
	fails  error
}

func (r *reserving) Reserve(_ context.Context, req *connect.Request[consentv1.ReserveRequest]) (*connect.Response[consentv1.ReserveResponse], error) {
	r.asked = req.Msg
	return connect.NewResponse(r.answer), r.fails
}

// TestReserveOutput: exit code 0 is ALLOW and nothing else, and what became of the
// reservation is said beside the decision.
func TestReserveOutput(t *testing.T) {
	capped := []*consentv1.CapUse{{Rule: "us-fl/calls-a-day", Used: 3, Max: 3}}
	for _, tc := range []struct {
		name   string
		answer *consentv1.ReserveResponse
		fails  error
		code   int
		want   []string
	}{
		{"reserved", &consentv1.ReserveResponse{Decision: &consentv1.Decision{Verdict: consentv1.Verdict_VERDICT_ALLOW, Caps: capped}, Reserved: true, Sequence: 7}, nil, 0,
			[]string{"ALLOW", "cap us-fl/calls-a-day: 3 of 3 used", "reserved in message 7"}},
		{"no cap", &consentv1.ReserveResponse{Decision: &consentv1.Decision{Verdict: consentv1.Verdict_VERDICT_ALLOW}}, nil, 0, []string{"not reserved: no cap"}},
		{"blocked", &consentv1.ReserveResponse{Decision: &consentv1.Decision{Verdict: consentv1.Verdict_VERDICT_BLOCK, Caps: capped}}, nil, exitBlock, []string{"BLOCK"}},
		{"blocked since", &consentv1.ReserveResponse{Decision: &consentv1.Decision{Verdict: consentv1.Verdict_VERDICT_BLOCK}, Reserved: true}, nil, exitBlock,
			[]string{"reserved before and still counting"}},
		{"nothing said", &consentv1.ReserveResponse{}, nil, exitBlock, []string{"BLOCK"}},
		{"nobody knows", nil, connect.NewError(connect.CodeUnavailable, context.DeadlineExceeded), exitUnknown, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := &scripted{reserving: reserving{answer: tc.answer, fails: tc.fails}}
			code, out, _ := program(t, s, "check", "+12025550143", "--campaign", "spring", "--reserve", "call-1", "--caller-id", "Acme")
			if code != tc.code || tc.fails != nil && out != "" {
				t.Errorf("exit code %d, want %d; stdout %q", code, tc.code, out)
			}
			for _, w := range tc.want {
				if !strings.Contains(out, w) {
					t.Errorf("%q does not say %q", out, w)
				}
			}
			if s.asked.GetReference() != "call-1" || s.asked.GetCallerId() != "Acme" || s.asked.GetQuestion().GetCampaign() != "spring" {
				t.Errorf("asked %v", s.asked)
			}
		})
	}
	s := &scripted{reserving: reserving{answer: &consentv1.ReserveResponse{Decision: &consentv1.Decision{Verdict: consentv1.Verdict_VERDICT_ALLOW, Caps: capped}, Reserved: true, Sequence: 7}}}
	_, out, _ := program(t, s, "check", "+12025550143", "--campaign", "spring", "--reserve", "call-1", "-o", "json")
	var doc struct {
		Verdict  string
		Caps     []struct{ Used, Max int }
		Reserved bool
		Sequence int
	}
	if err := json.Unmarshal([]byte(out), &doc); err != nil || doc.Verdict != "ALLOW" || !doc.Reserved || doc.Sequence != 7 || len(doc.Caps) != 1 || doc.Caps[0].Max != 3 {
		t.Errorf("%v: %s", err, out)
	}
}
