package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/consent-ledger/consent-ledger/ledger/bundle"
	"github.com/consent-ledger/consent-ledger/ledger/proof"
	"github.com/consent-ledger/consent-ledger/ledger/timestamp"
)

const verifyLong = `Check an export bundle with the ledger's public keys, without any server or network.
The keys must come from somebody you trust, or from before: not from where the
bundle came from just now. A file of keys holds verifier lines as consent keys show
prints them; the ones for checkpoints and for exports are needed.

--policy names the witnesses whose word you take, and how many of them must have
cosigned the checkpoint (C2SP tlog-policy): then the operator cannot have shown others
another history without their help.

--timestamp-ca names the authorities whose timestamps you take (a PEM file with their
root certificates): then one that they vouch for must be in the bundle, and verify says
by when the checkpoint existed. Without it verify says what the timestamp says of itself.

First stands what the bundle is about, then each claim on a line of its own: what is
proven, and what is not. Exit code 5 means that something is not what it should be, and
stderr says which claim failed.

--earlier names a checkpoint of the ledger that you hold, or a bundle that has one: if
this bundle was made by consent export --since it, verify tells that nothing of what
was signed then was changed or left out since. A history that contradicts it is refused.

The script verify.py in each bundle does the same and shares no line with this
program: python3 verify.py FILE.zip KEYS. It leaves out two things and says so: who
signed a timestamp, and whether the tables are what the entries show. --script writes
the script that belongs to this version, because a forged bundle would bring its own.`

func verifyCommand(g *globals) *cobra.Command {
	var keyFile string
	var trusted trustFiles
	var script bool
	c := &cobra.Command{
		Use:   "verify FILE.zip --key K",
		Short: "Check an export bundle, without any server",
		Long:  verifyLong,
		Example: `  consent verify case.zip --key ledger.keys --policy policy --timestamp-ca authority.pem
  consent verify later.zip --key ledger.keys --earlier case.zip
  consent verify case.zip --key ledger.keys -o json
  consent verify --script > verify.py`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := g.checkOutput(); err != nil {
				return err
			}
			if script {
				_, err := c.OutOrStdout().Write(bundle.Script())
				return err
			}
			if len(args) == 0 || keyFile == "" {
				return usageError(&hinted{fmt.Errorf("consent verify needs a file, and the ledger's keys by --key"), "consent verify --help"})
			}
			v, err := verifyBundle(args[0], keyFile, trusted)
			if err != nil {
				return err
			}
			return g.writeVerdict(c.OutOrStdout(), v)
		},
	}
	c.Flags().StringVar(&keyFile, "key", "", "file of the ledger's public keys, as verifier lines")
	c.Flags().StringVar(&trusted.policy, "policy", "", "C2SP tlog-policy file: the checkpoint must be cosigned as it says; without it, it is the operator's word")
	c.Flags().StringVar(&trusted.earlier, "earlier", "", "a checkpoint that you hold, or a bundle with one, which this one must contradict in nothing")
	c.Flags().StringVar(&trusted.ca, "timestamp-ca", "", timestampCAUsage)
	c.Flags().BoolVar(&script, "script", false, "write verify.py instead, to check a bundle with Python alone")
	return c
}

// timestampCAUsage: the same files are named to verify and to receipt verify.
const timestampCAUsage = "PEM file with the certificates of those whose timestamps you trust"

// trustFiles are what a reader may name besides the ledger's keys.
type trustFiles struct{ policy, ca, earlier string }

// read gives what the files hold.
func (t trustFiles) read(keys proof.Keys) (trust bundle.Trust, err error) {
	trust.Keys = keys
	if t.policy != "" {
		if trust.Policy, err = readPolicy(t.policy); err != nil {
			return trust, err
		}
	}
	if t.ca != "" {
		roots, err := readRoots(t.ca)
		if err != nil {
			return trust, err
		}
		trust.Roots = &roots
	}
	if t.earlier != "" {
		trust.Earlier, err = earlierCheckpoint(t.earlier, keys)
	}
	return trust, err
}

// readPolicy reads --policy.
func readPolicy(path string) (*proof.Policy, error) {
	raw, err := readBounded(path, proof.KeysBytesMax)
	if err != nil {
		return nil, fmt.Errorf("--policy: %w", err)
	}
	p, err := proof.ParsePolicy(raw)
	if err != nil {
		return nil, usageError(fmt.Errorf("--policy: %w", err))
	}
	return p, nil
}

// readRoots reads --timestamp-ca.
func readRoots(path string) (timestamp.Roots, error) {
	pem, err := readBounded(path, proof.KeysBytesMax)
	if err != nil {
		return timestamp.Roots{}, fmt.Errorf("--timestamp-ca: %w", err)
	}
	roots, err := timestamp.ParseRoots(pem)
	if err != nil {
		return roots, usageError(fmt.Errorf("--timestamp-ca: %w", err))
	}
	return roots, nil
}

func verifyBundle(path, keyFile string, trusted trustFiles) (*bundle.Verdict, error) {
	raw, err := readBounded(keyFile, proof.KeysBytesMax)
	if err != nil {
		return nil, fmt.Errorf("--key: %w", err)
	}
	keys, err := proof.ParseKeys(raw)
	if err != nil {
		return nil, usageError(err)
	}
	for _, needed := range []func() error{
		func() error { _, err := keys.Log(); return err },
		func() error { _, err := keys.Exports(); return err },
	} {
		if err := needed(); err != nil {
			return nil, usageError(err)
		}
	}
	trust, err := trusted.read(keys)
	if err != nil {
		return nil, err
	}
	f, size, err := openSized(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	v, err := bundle.Verify(f, size, trust)
	if err != nil {
		return nil, verificationError(err)
	}
	return v, nil
}

// openSized opens a file and tells its size.
func openSized(path string) (f *os.File, size int64, err error) {
	if f, err = os.Open(path); err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
}

// earlierCheckpoint reads a checkpoint that must be signed by the ledger's key.
func earlierCheckpoint(path string, keys proof.Keys) (*proof.Checkpoint, error) {
	note, err := checkpointNote(path)
	if err != nil {
		return nil, fmt.Errorf("--earlier: %w", err)
	}
	key, err := keys.Log()
	if err != nil {
		return nil, usageError(err)
	}
	c, err := proof.OpenCheckpoint(note, key)
	if err != nil {
		return nil, verificationError(fmt.Errorf("--earlier: %w", err))
	}
	return &c, nil
}

// checkpointNote reads the signed note of a checkpoint: the file, or the one in a bundle.
func checkpointNote(path string) ([]byte, error) {
	f, size, err := openSized(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	start := make([]byte, 2)
	if _, err := io.ReadFull(f, start); err != nil {
		return nil, fmt.Errorf("%s is neither a checkpoint nor a bundle: %w", path, err)
	}
	if string(start) == "PK" {
		return bundle.CheckpointNote(f, size)
	}
	return readBounded(path, proof.NoteBytesMax)
}

// verdictJSON is a verdict as a document.
type verdictJSON struct {
	Origin    string      `json:"origin"`
	Produced  string      `json:"produced"`
	Case      string      `json:"case"`
	Purpose   string      `json:"purpose"`
	Recipient string      `json:"recipient"`
	Numbers   int         `json:"numbers"`
	About     []aboutJSON `json:"about"`
	Seller    string      `json:"seller"`
	// From and To bound when a seller's entries were recorded; empty: open.
	From      string         `json:"from"`
	To        string         `json:"to"`
	Disclosed string         `json:"disclosed"`
	Entries   int            `json:"entries"`
	Size      int64          `json:"size"`
	Root      []byte         `json:"root"`
	Through   uint64         `json:"through"`
	Claims    []bundle.Claim `json:"claims"`
}

// aboutJSON is one number that a bundle is about; E164 is empty if it is not disclosed.
type aboutJSON struct {
	E164    string `json:"e164"`
	Entries int    `json:"entries"`
	Holders int    `json:"holders"`
}

func verdictDocument(v *bundle.Verdict) verdictJSON {
	m := v.Manifest
	out := verdictJSON{Origin: m.Origin, Produced: m.Produced.UTC().Format(time.RFC3339Nano), Case: m.Case, Purpose: m.Purpose, Recipient: m.Recipient,
		Numbers: m.Numbers, About: []aboutJSON{}, Seller: m.Seller, Disclosed: bundle.ClassWords(m.Disclosed), Entries: m.Entries, Size: m.Size, Root: m.Root[:],
		Through: uint64(m.Through), Claims: v.Claims}
	for _, n := range v.Numbers {
		out.About = append(out.About, aboutJSON{n.E164, n.Entries, len(n.Persons)})
	}
	for _, end := range []struct {
		at time.Time
		to *string
	}{{m.From, &out.From}, {m.To, &out.To}} {
		if !end.at.IsZero() {
			*end.to = end.at.UTC().Format(time.RFC3339Nano)
		}
	}
	return out
}

// writeVerdict prints what a bundle is about, and each claim separately, in words.
func (g *globals) writeVerdict(w io.Writer, v *bundle.Verdict) error {
	if !g.human() {
		doc, err := jsonOf(verdictDocument(v))
		if err != nil {
			return err
		}
		return g.document(w, doc)
	}
	var b strings.Builder
	for _, line := range v.About() {
		fmt.Fprintf(&b, "%-12s%s\n", line[0], line[1])
	}
	fmt.Fprintln(&b)
	for _, c := range v.Claims {
		fmt.Fprintf(&b, "%-12s%s\n", c.Claim, c.Text)
	}
	_, err := io.WriteString(w, b.String())
	return err
}
