package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"github.com/consent-ledger/consent-ledger/ledger/phone"
	"github.com/consent-ledger/consent-ledger/ledger/proof"
)

// writeDecisionReceipt writes the file that was asked for.
func writeDecisionReceipt(c *cobra.Command, path string, file []byte) error {
	switch {
	case path == "":
		return nil
	case len(file) == 0:
		fmt.Fprintln(c.ErrOrStderr(), "consent: no receipt was written: the server could not tell, so nothing was decided")
		return nil
	}
	// With its salt it gives the number away to whoever tries.
	if err := os.WriteFile(path, file, 0o600); err != nil {
		return fmt.Errorf("--receipt: %w", err)
	}
	return nil
}

// answered is what a decision receipt proves, as a document.
type answered struct {
	Origin     string   `json:"origin"`
	ID         string   `json:"id"`
	DecidedAt  string   `json:"decidedAt"`
	Verdict    string   `json:"verdict"`
	Basis      string   `json:"basis,omitempty"`
	Reasons    []string `json:"reasons"`
	Position   uint64   `json:"position"`
	At         string   `json:"at"`
	Campaign   string   `json:"campaign,omitempty"`
	Seller     string   `json:"seller"`
	Channel    string   `json:"channel"`
	Purpose    string   `json:"purpose"`
	Packs      []string `json:"packs"`
	Lists      []string `json:"lists"`
	Tzdata     string   `json:"tzdata,omitempty"`
	Sequence   uint64   `json:"sequence"`
	RecordedAt string   `json:"recordedAt"`
	Durability string   `json:"durability"`
	Number     numberIs `json:"number"`
}

// numberIs says what is known of the number a decision is about.
type numberIs string

const (
	numberProven   numberIs = "proven"   // it is the one that was given
	numberOpenable numberIs = "openable" // the receipt can show it; none was given
	numberSealed   numberIs = "sealed"   // the salt was taken out
)

// verifyDecision checks a decision receipt and prints each claim.
func (g *globals) verifyDecision(w io.Writer, file []byte, key note.Verifier, asked string) error {
	r, err := proof.DecodeDecision(file)
	if err != nil {
		return verificationError(err)
	}
	a, err := r.Check(key)
	if err != nil {
		return verificationError(err)
	}
	is, err := g.numberOf(a, asked)
	if err != nil {
		return err
	}
	v := answeredBy(a, is)
	if !g.human() {
		doc, err := jsonOf(v)
		if err != nil {
			return err
		}
		return g.document(w, doc)
	}
	return v.write(w)
}

// numberOf tells whether a decision is about a number.
func (g *globals) numberOf(a proof.Answer, asked string) (numberIs, error) {
	switch {
	case asked == "" && a.Opened:
		return numberOpenable, nil
	case asked == "":
		return numberSealed, nil
	case !a.Opened:
		return "", verificationError(errors.New("the receipt holds no line salt: which number it is about cannot be shown"))
	}
	text := asked
	if !a.Unreadable {
		n, err := phone.Parse(asked, g.region)
		if err != nil {
			return "", usagef("--number cannot be read as a phone number; write it with its country code")
		}
		text = n.E164
	}
	if !a.Asked(text) {
		return "", verificationError(errors.New("the decision is not about this number, or the receipt's salt was changed"))
	}
	return numberProven, nil
}

func answeredBy(a proof.Answer, is numberIs) answered {
	q, d := a.Question, a.Decision
	v := answered{Origin: a.Batch.Origin, ID: a.ID.String(), DecidedAt: a.DecidedAt.Format(time.RFC3339Nano), Verdict: wordOf(d.GetVerdict().Descriptor(), d.GetVerdict().Number()),
		Basis: d.GetBasis(), Reasons: []string{}, Position: d.GetPosition(), At: d.GetAt().AsTime().Format(time.RFC3339Nano), Campaign: q.GetCampaign(), Seller: q.GetSeller(),
		Channel: wordOf(q.GetChannel().Descriptor(), q.GetChannel().Number()), Purpose: wordOf(q.GetPurpose().Descriptor(), q.GetPurpose().Number()), Packs: []string{}, Lists: []string{},
		Tzdata: d.GetTzdata(), Sequence: a.Batch.Sequence, RecordedAt: a.Batch.RecordedAt.Format(time.RFC3339Nano),
		Durability: wordOf(a.Batch.Durability.Descriptor(), a.Batch.Durability.Number()), Number: is}
	for _, r := range d.GetReasons() {
		v.Reasons = append(v.Reasons, strings.TrimSpace(r.GetCode()+" "+r.GetRule()))
	}
	for _, p := range d.GetPacks() {
		v.Packs = append(v.Packs, p.GetId()+" "+p.GetVersion()+" "+p.GetSha256())
	}
	for _, l := range d.GetLists() {
		v.Lists = append(v.Lists, l.GetRegistry()+" "+listWord(l))
	}
	return v
}

func (v answered) write(w io.Writer) error {
	var b strings.Builder
	claim := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-12s%s\n", name, fmt.Sprintf(format, args...))
	}
	claim("signed", "by %s: the key you gave signed this answer", v.Origin)
	claim("decided", "%s at %s, as decision %s", v.Verdict, v.DecidedAt, v.ID)
	if v.Basis != "" {
		claim("basis", "%s", v.Basis)
	}
	for _, r := range v.Reasons {
		claim("reason", "%s", r)
	}
	about := fmt.Sprintf("seller %s, channel %s, purpose %s, judged for %s", v.Seller, v.Channel, v.Purpose, v.At)
	if v.Campaign != "" {
		about = "campaign " + v.Campaign + ": " + about
	}
	claim("question", "%s", about)
	claim("known", "everything up to position %d of the ledger was taken into account", v.Position)
	for _, p := range v.Packs {
		claim("rules", "%s", p)
	}
	for _, l := range v.Lists {
		claim("list", "%s", l)
	}
	if v.Tzdata != "" {
		claim("time zones", "tzdata %s", v.Tzdata)
	}
	claim("kept", "in message %d of attempts, at %s, durability %s; the ledger holds the root of that message within minutes, which this receipt does not show", v.Sequence, v.RecordedAt, v.Durability)
	switch v.Number {
	case numberProven:
		claim("number", "it is the one you gave")
	case numberOpenable:
		claim("number", "not compared: give it with --number")
	default:
		claim("number", "sealed: the receipt holds no salt, so nobody can tell")
	}
	_, err := io.WriteString(w, b.String())
	return err
}
