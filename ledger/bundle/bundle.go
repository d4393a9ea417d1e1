// Package bundle is the export bundle: one zip that shows what the ledger holds
// about a number, several numbers or a seller, to people who trust neither the
// ledger nor this program. It needs no database, no network and no secret but the
// key that signs it.
//
// Every byte of it is described in docs/reference/bundle.md. verify.py, which lies
// in each bundle, is a second implementation of Verify, written from that page and
// tested against the same vectors; verify_receipt.py is one of package proof's checks.
//
//	zip.go       the container, in one form only
//	manifest.go  what the ledger signs about a bundle
//	record.go    an entry with its proof and openings, as a line
//	entry.go     the few fields of an entry that proofs speak of
//	write.go     the writer: a part at a time, whatever the size
//	verify.go    the verifier, claim by claim
//	complete.go  whether anything was left out
//	about.go     whom and when it is about
//	rows.go      whether the tables say what the entries do
//	anchor.go    whose word a reader takes for a checkpoint
//	consistency.go  what became of a checkpoint that was signed before
//	wording.go   texts that people were shown
//	table.go     entries as rows of CSV
//	report.go    the page for people
//	script.go    the second implementation, in Python
package bundle

import (
	"encoding/base64"
	"errors"
	"fmt"
)

// Names of files in a bundle. Entries lie in entries/000001.jsonl and so on, with
// the same as a table in entries/000001.csv; decisions that do not go into one file in
// decisions/000002.jsonl and so on; packs in packs/SHA256.yaml, texts that people were shown in wordings/SHA256.txt.
const (
	ManifestFile     = "manifest"
	SumsFile         = "SHA256SUMS"
	CheckpointFile   = "checkpoint"
	CitedFile        = "cited.jsonl"
	NumbersFile      = "numbers.jsonl"
	CompletenessFile = "completeness.jsonl"
	DecisionsFile    = "decisions.jsonl"
	ConsistencyFile  = "consistency.txt"
	TimestampFile    = "timestamp.tsr"
	ReportFile       = "report.html"
	ScriptFile       = "verify.py"
	ReadmeFile       = "README.txt"

	entriesFolder   = "entries/"
	decisionsFolder = "decisions/"
	packsFolder     = "packs/"
	wordingsFolder  = "wordings/"
)

var (
	// ErrForm: the bytes are not in the one form they must have.
	ErrForm = errors.New("bundle: not in the form that docs/reference/bundle.md describes")

	// ErrTooLarge: a bundle may not grow to this. What was written of it is none.
	ErrTooLarge = errors.New("bundle: too large")

	// ErrRefuted: something is not what was signed, or what it is said to be.
	ErrRefuted = errors.New("bundle: refuted")
)

func form(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrForm, fmt.Sprintf(format, args...))
}

func refuted(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrRefuted, fmt.Sprintf(format, args...))
}

// decode64 reads base64 in its one encoding.
func decode64(s string) ([]byte, error) {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || encode64(b) != s {
		return nil, form("base64 that is not in its one encoding")
	}
	return b, nil
}

func encode64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
