package bundle

import (
	"fmt"
	"strings"

	"github.com/consent-ledger/consent-ledger/ledger/timestamp"
)

// timestamped says when somebody else saw the checkpoint, or claims to have seen it.
// Certificates that the reader gives are a demand, as a policy is: a timestamp by whom
// they vouch for must be there.
func (v *verifier) timestamped() ([]Claim, error) {
	_, here := v.sums[TimestampFile]
	switch {
	case !here && v.trust.Roots != nil:
		return nil, refuted("there is no %s: no authority vouches for when the checkpoint existed", TimestampFile)
	case !here:
		return unproven("timestamped", "by nobody: no timestamp is here, so when all this existed is the operator's word"), nil
	}
	token, err := v.read(TimestampFile)
	if err != nil {
		return nil, err
	}
	if len(token) > timestamp.AnswerBytesMax {
		return nil, refuted("%s has more than %d bytes", TimestampFile, timestamp.AnswerBytesMax)
	}
	checkpoint, err := v.read(CheckpointFile)
	if err != nil {
		return nil, err
	}
	if v.trust.Roots == nil {
		s, err := timestamp.Unvouched(token, checkpoint)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrRefuted, err)
		}
		return unproven("timestamped", "by nobody you named: a token over this checkpoint says %s, signed by a certificate of the name %s, for which you "+
			"trust nobody (--timestamp-ca)",
			s.Said(), visible(s.By)), nil
	}
	s, err := timestamp.Check(token, checkpoint, *v.trust.Roots)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefuted, err)
	}
	v.stamped = true
	return proven("timestamped", "the checkpoint, and so each entry, existed by %s, says %s, for whom the certificates you gave vouch", s.Said(),
		visible(s.By)), nil
}

// anchored says who besides the operator vouches for the checkpoint.
func (v *verifier) anchored() ([]Claim, error) {
	switch {
	case v.trust.Policy == nil && v.stamped:
		return proven("anchored", "by the timestamp alone: nothing of it was made later; no witness was asked whether others were shown another history"), nil
	case v.trust.Policy == nil:
		return unproven("anchored", "operator only: no witness's word was taken, so others may have been shown another history"), nil
	}
	file, err := v.read(CheckpointFile)
	if err != nil {
		return nil, err
	}
	if !v.trust.Policy.Satisfied(file) {
		return nil, refuted("the checkpoint is not cosigned by as many witnesses as the policy demands: it is the operator's word alone")
	}
	return proven("anchored", "by as many witnesses as your policy demands: %s; each saw this as the one history",
		strings.Join(v.trust.Policy.Cosigners(file), ", ")), nil
}

// report says what is nobody's proof.
func (v *verifier) report() ([]Claim, error) {
	return unproven("report", "the report and the decisions are the operator's words, signed and not proven; what is proven are the entries"), nil
}

// visible replaces what a terminal or a page could hide or act upon.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || hidden(r) {
			return '\uFFFD'
		}
		return r
	}, s)
}
