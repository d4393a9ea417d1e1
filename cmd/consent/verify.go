package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/consent-ledger/consent-ledger/ledger/bundle"
	"github.com/consent-ledger/consent-ledger/ledger/proof"
)

const verifyLong = `Check an export bundle with the ledger's public keys, without any server or network.
The keys must come from somebody you trust, or from before: not from where the
bundle came from just now. A file of keys holds verifier lines as consent keys show
prints them; the ones for checkpoints and for exports are needed.

--policy names the witnesses whose word you take, and how many of them must have
cosigned the checkpoint (C2SP tlog-policy): then the operator cannot have shown others
another history without their help.

Each claim stands on a line of its own: what is proven, and what is not. Exit code 5
means that something is not what it should be, and stderr says which claim failed.

--earlier names a checkpoint of the ledger that you hold, or a bundle that has one: if
this bundle was made by consent export --since it, verify tells that nothing of what
was signed then was changed or left out since. A history that contradicts it is refused.

The script verify.py in each bundle does the same and shares no line with this
program: python3 verify.py FILE.zip KEYS. --script writes the script that belongs to
this version, because a forged bundle would bring its own.`

func verifyCommand(g *globals) *cobra.Command {
	var keyFile, policyFile, earlier string
	var script bool
	c := &cobra.Command{
		Use:     "verify FILE.zip --key K",
		Short:   "Check an export bundle, without any server",
		Long:    verifyLong,
		Example: "  consent verify case.zip --key ledger.keys --policy policy\n  consent verify later.zip --key ledger.keys --earlier case.zip\n  consent verify case.zip --key ledger.keys -o json\n  consent verify --script > verify.py",
		Args:    cobra.MaximumNArgs(1),
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
			v, err := verifyBundle(args[0], keyFile, policyFile, earlier)
			if err != nil {
				return err
			}
			return g.writeVerdict(c.OutOrStdout(), v)
		},
	}
	c.Flags().StringVar(&keyFile, "key", "", "file of the ledger's public keys, as verifier lines")
	c.Flags().StringVar(&policyFile, "policy", "", "C2SP tlog-policy file: the checkpoint must be cosigned as it says; without it, it is the operator's word")
	c.Flags().StringVar(&earlier, "earlier", "", "a checkpoint that you hold, or a bundle with one, which this one must contradict in nothing")
	c.Flags().BoolVar(&script, "script", false, "write verify.py instead, to check a bundle with Python alone")
	return c
}

func verifyBundle(path, keyFile, policyFile, earlier string) (*bundle.Verdict, error) {
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
	trust := bundle.Trust{Keys: keys}
	if policyFile != "" {
		if raw, err = readBounded(policyFile, proof.KeysBytesMax); err != nil {
			return nil, fmt.Errorf("--policy: %w", err)
		}
		if trust.Policy, err = bundle.ParsePolicy(raw); err != nil {
			return nil, usageError(err)
		}
	}
	if earlier != "" {
		if trust.Earlier, err = earlierCheckpoint(earlier, keys); err != nil {
			return nil, err
		}
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

// writeVerdict prints each claim separately, in words.
func (g *globals) writeVerdict(w io.Writer, v *bundle.Verdict) error {
	m := v.Manifest
	if !g.human() {
		doc, err := jsonOf(struct {
			Origin    string         `json:"origin"`
			Produced  string         `json:"produced"`
			Case      string         `json:"case"`
			Purpose   string         `json:"purpose"`
			Recipient string         `json:"recipient"`
			Numbers   int            `json:"numbers"`
			Seller    string         `json:"seller"`
			Disclosed string         `json:"disclosed"`
			Entries   int            `json:"entries"`
			Size      int64          `json:"size"`
			Through   uint64         `json:"through"`
			Claims    []bundle.Claim `json:"claims"`
		}{m.Origin, m.Produced.UTC().Format(time.RFC3339Nano), m.Case, m.Purpose, m.Recipient, m.Numbers, m.Seller, bundle.ClassWords(m.Disclosed), m.Entries, m.Size, uint64(m.Through), v.Claims})
		if err != nil {
			return err
		}
		return g.document(w, doc)
	}
	for _, c := range v.Claims {
		if _, err := fmt.Fprintf(w, "%-12s%s\n", c.Claim, c.Text); err != nil {
			return err
		}
	}
	return nil
}
