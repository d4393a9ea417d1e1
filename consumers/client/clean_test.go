package client_test

import (
	"errors"
	"testing"

	"connectrpc.com/connect"

	"github.com/consent-ledger/consent-ledger/consumers/client"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// badStop is a stop with a byte in its words, and in a list, that is no UTF-8.
func badStop() *consentv1.Fact {
	return &consentv1.Fact{Source: "test", EventId: "e1", Sellers: []string{"ac\xffme"},
		Kind: &consentv1.Fact_ConsentRevoked{ConsentRevoked: &consentv1.ConsentRevoked{Words: "\xff bad"}}}
}

// TestStopsSurviveBadBytes: a stop is recorded whatever its words are made of.
func TestStopsSurviveBadBytes(t *testing.T) {
	var got []*consentv1.Fact
	s := &server{
		record: func(r *consentv1.RecordRequest) (*consentv1.Receipt, error) {
			got = append(got, r.GetFact())
			return &consentv1.Receipt{Position: 7}, nil
		},
		stream: func(st *connect.BidiStream[consentv1.RecordStreamRequest, consentv1.RecordStreamResponse]) error {
			req, err := st.Receive()
			if err != nil {
				return err
			}
			got = append(got, req.GetFacts()...)
			return st.Send(&consentv1.RecordStreamResponse{Outcomes: []*consentv1.Outcome{{}, {}}})
		},
	}
	c := dial(t, s.start(t))
	one := badStop()
	if _, err := c.Record(t.Context(), &consentv1.RecordRequest{Fact: one}); err != nil {
		t.Fatal(err)
	}
	sender := c.NewSender(t.Context(), client.SenderOptions{})
	defer sender.Close()
	many := []*consentv1.Fact{{Source: "test", EventId: "e0"}, one}
	if _, err := sender.Send(t.Context(), many); err != nil {
		t.Fatal(err)
	}
	if len(got) != 3 {
		t.Fatalf("%d facts arrived", len(got))
	}
	for _, f := range []*consentv1.Fact{got[0], got[2]} {
		if f.GetConsentRevoked().GetWords() != "\ufffd bad" || f.GetSellers()[0] != "ac\ufffdme" {
			t.Errorf("%v", f)
		}
	}
	if one.GetConsentRevoked().GetWords() != "\xff bad" || many[1] != one {
		t.Error("the caller's fact was changed")
	}
}

// TestUnsentIsNotUncertain: what cannot be encoded never left.
func TestUnsentIsNotUncertain(t *testing.T) {
	c := dial(t, (&server{}).start(t))
	_, err := c.Ledger.Erase(t.Context(), connect.NewRequest(&consentv1.EraseRequest{Number: "\xff"}))
	if !errors.Is(err, client.ErrInvalid) || errors.Is(err, client.ErrUncertain) {
		t.Errorf("%v", err)
	}
}
