package demo

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/consent-ledger/consent-ledger/ledger"
)

// provenToTheCourt are the claims that a bundle about a number proves by itself. Who else
// vouches for the checkpoint, the demo's ledger asked nobody.
var provenToTheCourt = []string{"signed", "included", "unchanged", "back-linked", "disclosed", "about", "packs", "wordings", "complete", "tables"}

// export hands Ana's history out as a bundle, and checks it as its recipient would.
func (s *story) export(ctx context.Context) error {
	s.say("Ana goes to court, which has no reason to believe Acme. What it checks with are the ledger's public keys, which Acme gave away long before:")
	keys := []string{"keys", "show"}
	s.show(keys, "> "+fileKeys)
	out, err := s.execute(ctx, s.asked(keys)...)
	if err != nil {
		return err
	}
	if out.code != exitDone {
		return s.ended(keys, out)
	}
	if err := os.WriteFile(s.path(fileKeys), out.stdout.Bytes(), 0o600); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	s.gap()
	s.say("What it gets is one zip: the entries with their proofs, the rules, and report.html for people. It shows the number alone, unless " +
		"--disclose names more. That it was handed out is an entry, too.")
	var end struct {
		Entries         int    `json:"entries"`
		CompleteThrough uint64 `json:"completeThrough"`
		PartsWithheld   int    `json:"partsWithheld"`
	}
	args := []string{"export", "--number", numberAna, "--purpose", "court_order", "--recipient", "Superior Court", "--out", s.path(fileAna)}
	if _, err := s.verb(ctx, &end, args...); err != nil {
		return err
	}
	s.got(fmt.Sprintf("%s in %s, complete up to position %d; %s withheld and can be disclosed later", ledger.Counted(end.Entries, "entry", "entries"), fileAna,
		end.CompleteThrough, ledger.Counted(end.PartsWithheld, "personal part is", "personal parts are")))
	if end.Entries != 3 || end.CompleteThrough == 0 || end.PartsWithheld == 0 {
		return s.differs("the export gave %+v; the story says 3 entries, complete, and that parts are withheld", end)
	}
	s.gap()
	s.say("Without Acme, without a server, without a network:")
	if _, err := s.verify(ctx, s.claim); err != nil {
		return err
	}
	return s.forge(ctx)
}

// verify checks the bundle and gives the claims that it proves. tell hears of every claim.
func (s *story) verify(ctx context.Context, tell ...func(claim, text string)) (proven []string, err error) {
	var verdict struct {
		Claims []struct {
			Claim  string `json:"claim"`
			Proven bool   `json:"proven"`
			Text   string `json:"text"`
		} `json:"claims"`
	}
	if _, err := s.verb(ctx, &verdict, "verify", s.path(fileAna), "--key", s.path(fileKeys)); err != nil {
		return nil, err
	}
	for _, c := range verdict.Claims {
		for _, t := range tell {
			t(c.Claim, c.Text)
		}
		if c.Proven {
			proven = append(proven, c.Claim)
		}
	}
	for _, want := range provenToTheCourt {
		if !slices.Contains(proven, want) {
			return nil, s.differs("the bundle proves %v; the story says %v", proven, provenToTheCourt)
		}
	}
	return proven, nil
}

// forge changes one byte of an entry in the bundle.
func (s *story) forge(ctx context.Context) error {
	data, err := os.ReadFile(s.path(fileAna))
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	mark := []byte(`"entry":"`)
	at := bytes.Index(data, mark)
	if at < 0 {
		return s.differs("%s holds no entry", fileAna)
	}
	data[at+len(mark)] ^= 1
	if err := os.WriteFile(s.path(fileChanged), data, 0o600); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	s.gap()
	s.say("Somebody changes one byte on the way:")
	args := []string{"verify", s.path(fileChanged), "--key", s.path(fileKeys)}
	s.show(args)
	out, err := s.execute(ctx, args...)
	if err != nil {
		return err
	}
	if out.code != exitVerification || out.stdout.Len() > 0 {
		return s.ended(args, out)
	}
	s.got(strings.TrimSpace(out.stderr.String()) + " (exit code 5)")
	return nil
}
