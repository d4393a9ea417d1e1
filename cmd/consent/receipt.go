package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"github.com/consent-ledger/consent-ledger/consumers/client"
	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/bundle"
	"github.com/consent-ledger/consent-ledger/ledger/proof"
	"github.com/consent-ledger/consent-ledger/ledger/timestamp"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

func receiptCommand(g *globals) *cobra.Command {
	var req consentv1.GetReceiptRequest
	var out, included, stamp string
	c := &cobra.Command{
		Use:   "receipt (POSITION | --source S --event-id E)",
		Short: "Find a receipt again, or verify one",
		Long: `Find a receipt again, by position or by the source and its event id. In JSON the
entry's exact bytes stand beside it: its leaf hash is SHA-256 over a zero byte and them.

--out writes it as a signed file, --tlog-proof the path from the entry to the newest
checkpoint (C2SP tlog-proof). Whoever is given them needs nothing else of ours than
the public keys: consent receipt verify. With --timestamp the path leads to the first
checkpoint after the entry that a timestamping authority stamped (serve
--timestamp-url), and its token is written too: then the authority vouches for when.`,
		Example: `  consent receipt 4711
  consent receipt --source hubspot --event-id c-99120
  consent receipt 4711 --out 4711.receipt --tlog-proof 4711.tlog-proof`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 1 {
				at, err := strconv.ParseUint(args[0], 10, 64)
				if err != nil || at == 0 {
					return usagef("%q is no position; positions are 1, 2, 3 …", args[0])
				}
				req.Position = at
			}
			if (req.GetPosition() == 0) == (req.GetSource() == "" || req.GetEventId() == "") {
				return usagef("name a position, or --source and --event-id")
			}
			if stamp != "" && included == "" {
				return usagef("--timestamp needs --tlog-proof: the token is over the checkpoint in that file")
			}
			req.Signed, req.TlogProof, req.Timestamp = out != "", included != "", stamp != ""
			return g.with(c, func(ctx context.Context, cl *client.Client) error {
				res, err := cl.Ledger.GetReceipt(ctx, connect.NewRequest(&req))
				if errors.Is(err, client.ErrNotFound) {
					return errors.New("the ledger holds no such entry")
				}
				if err != nil {
					return err
				}
				if err := writeProofs(res.Msg, out, included, stamp); err != nil {
					return err
				}
				return g.writeFound(c.OutOrStdout(), res.Msg)
			})
		},
	}
	c.Flags().StringVar(&req.Source, "source", "", "the system that reported")
	c.Flags().StringVar(&req.EventId, "event-id", "", "its id for the fact")
	c.Flags().StringVar(&out, "out", "", "write the signed receipt to this file")
	c.Flags().StringVar(&included, "tlog-proof", "", "write the proof of inclusion to this file")
	c.Flags().StringVar(&stamp, "timestamp", "", "write the timestamp of its checkpoint to this file (RFC 3161 token, DER)")
	c.AddCommand(receiptVerifyCommand(g))
	return c
}

func writeProofs(res *consentv1.GetReceiptResponse, out, included, stamp string) error {
	for _, f := range []struct {
		flag, path string
		data       []byte
	}{{"--out", out, res.GetReceipt().GetSigned()}, {"--tlog-proof", included, res.GetTlogProof()}, {"--timestamp", stamp, res.GetTimestamp()}} {
		if f.path == "" {
			continue
		}
		if err := os.WriteFile(f.path, f.data, 0o644); err != nil {
			return fmt.Errorf("%s: %w", f.flag, err)
		}
	}
	return nil
}

func (g *globals) writeFound(w io.Writer, res *consentv1.GetReceiptResponse) error {
	if !g.human() {
		return g.document(w, messageJSON(res))
	}
	r := res.GetReceipt()
	return table(w, [][]string{{"POSITION", "RECORDED", "ENTRY", "LEAF HASH"},
		{strconv.FormatUint(r.GetPosition(), 10), shown(r.GetRecordedAt()), r.GetEntryId(), r.GetLeafHash()}})
}

func receiptVerifyCommand(g *globals) *cobra.Command {
	var keyFile, asked string
	var in inclusionFiles
	var script bool
	c := &cobra.Command{
		Use:   "verify FILE --key K",
		Short: "Check a signed receipt, without any server",
		Long: `Check a signed receipt with the ledger's public keys, without any server. The keys
must come from somebody you trust, or from before: not from where the receipt came
from just now. A file of keys holds verifier lines as consent keys show prints them.

It checks the receipts of decisions too (consent check --receipt); --number then also
tells whether the decision is about that number.

With --tlog-proof it also checks that the entry is in the ledger that a checkpoint
speaks of, with --policy that enough witnesses cosigned it, and with --timestamp that
an authority you trust (--timestamp-ca) vouches for when it was there. Exit code 5
means that something is not what it should be.

--script writes verify_receipt.py, which checks receipts, also of decisions, with Python
alone: python3 verify_receipt.py FILE KEYS.`,
		Example: `  consent receipt verify 4711.receipt --key ledger.keys
  consent receipt verify 4711.receipt --tlog-proof 4711.tlog-proof --key ledger.keys
  consent receipt verify call-17.receipt --key ledger.keys --number +12025550143`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := g.checkOutput(); err != nil {
				return err
			}
			if script {
				_, err := c.OutOrStdout().Write(bundle.ReceiptScript())
				return err
			}
			if len(args) == 0 || keyFile == "" {
				return usageError(&hinted{errors.New("consent receipt verify needs --key, a file of the ledger's public keys, and the receipt"),
					"consent receipt verify --help"})
			}
			key, keys, file, err := openReceipt(args[0], keyFile)
			if err != nil {
				return err
			}
			if bytes.HasPrefix(file, []byte(proof.DecisionHeader)) {
				if in != (inclusionFiles{}) {
					return usagef("--tlog-proof, --policy and --timestamp are for receipts of entries; a decision is kept beside the ledger")
				}
				return g.verifyDecision(c.OutOrStdout(), file, key, asked)
			}
			if asked != "" {
				return usagef("--number is for receipts of decisions")
			}
			v, err := verifyReceipt(file, key, keys, in)
			if err != nil {
				return err
			}
			return v.write(g, c.OutOrStdout())
		},
	}
	c.Flags().StringVar(&keyFile, "key", "", "file of the ledger's public keys, as verifier lines")
	c.Flags().StringVar(&in.path, "tlog-proof", "", "also check this proof of inclusion")
	c.Flags().StringVar(&in.stamp, "timestamp", "", "also check this timestamp (RFC 3161 token, DER) of its checkpoint")
	c.Flags().StringVar(&in.ca, "timestamp-ca", "", timestampCAUsage)
	c.Flags().StringVar(&in.policy, "policy", "", "C2SP tlog-policy file: the checkpoint must be cosigned as it says")
	c.Flags().StringVar(&asked, "number", "", "of a decision: it must be about this number")
	c.Flags().BoolVar(&script, "script", false, "write verify_receipt.py instead, to check a receipt with Python alone")
	return c
}

// verified is what a receipt proves.
type verified struct {
	Origin     string `json:"origin"`
	Position   uint64 `json:"position"`
	LeafHash   string `json:"leafHash"`
	RecordedAt string `json:"recordedAt"`
	Durability string `json:"durability"`
	EntryID    string `json:"entryId,omitempty"`
	// Included is the size of the ledger in which the entry is proven to be.
	Included int64 `json:"included,omitempty"`
	// Witnessed says that as many as the policy demands cosigned that checkpoint.
	Witnessed bool `json:"witnessed"`
	// StampedAt is the time by which, says StampedBy, that checkpoint existed.
	StampedAt string `json:"stampedAt,omitempty"`
	StampedBy string `json:"stampedBy,omitempty"`
}

// inclusionFiles are what may be checked beside a receipt.
type inclusionFiles struct{ path, policy, stamp, ca string }

// readBounded reads a file that should be small.
func readBounded(path string, bytesMax int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, bytesMax+1))
	if err == nil && int64(len(raw)) > bytesMax {
		err = fmt.Errorf("%s: it is larger than %d bytes, so it is not what is asked for", path, bytesMax)
	}
	return raw, err
}

// proofBytesMax bounds receipts and proofs: an entry in base64, paths, a note.
const proofBytesMax = 256 << 10

// openReceipt reads a receipt and the keys it is to be checked with.
func openReceipt(path, keyFile string) (key note.Verifier, keys proof.Keys, file []byte, err error) {
	raw, err := readBounded(keyFile, proof.KeysBytesMax)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("--key: %w", err)
	}
	if keys, err = proof.ParseKeys(raw); err != nil {
		return nil, nil, nil, usageError(err)
	}
	if key, err = keys.Receipts(); err != nil {
		return nil, nil, nil, usageError(err)
	}
	file, err = readBounded(path, proofBytesMax)
	return key, keys, file, err
}

func verifyReceipt(file []byte, key note.Verifier, keys proof.Keys, in inclusionFiles) (verified, error) {
	r, err := proof.DecodeReceipt(file)
	if err != nil {
		return verified{}, verificationError(err)
	}
	p, err := r.Check(key)
	if err != nil {
		return verified{}, verificationError(err)
	}
	v := verified{Origin: p.Origin, Position: uint64(p.Position), LeafHash: p.Leaf.String(), RecordedAt: p.RecordedAt.UTC().Format("2006-01-02T15:04:05.999999999Z"),
		Durability: wordOf(p.Durability.Descriptor(), p.Durability.Number())}
	if p.Entry != nil {
		v.EntryID = ledger.EntryID(p.Entry.GetEntryId()).String()
	}
	if (in.stamp == "") != (in.ca == "") {
		return v, usagef("--timestamp and --timestamp-ca go together: a token is worth what the authority behind it is")
	}
	if in.path == "" {
		if in.policy != "" || in.stamp != "" {
			return v, usagef("a policy or timestamp needs --tlog-proof: checkpoints are cosigned and stamped, not receipts")
		}
		return v, nil
	}
	c, err := verifyInclusion(in.path, keys, p)
	if err != nil {
		return v, err
	}
	v.Included = c.Size
	if in.policy != "" {
		if err := verifyWitnessed(in.policy, c); err != nil {
			return v, err
		}
		v.Witnessed = true
	}
	if in.stamp != "" {
		st, err := verifyStamp(in, c)
		if err != nil {
			return v, err
		}
		v.StampedAt, v.StampedBy = st.Said(), st.By
	}
	return v, nil
}

// verifyStamp checks the timestamp of a checkpoint.
func verifyStamp(in inclusionFiles, c proof.Checkpoint) (timestamp.Stamp, error) {
	roots, err := readRoots(in.ca)
	if err != nil {
		return timestamp.Stamp{}, err
	}
	token, err := readBounded(in.stamp, timestamp.AnswerBytesMax)
	if err != nil {
		return timestamp.Stamp{}, fmt.Errorf("--timestamp: %w", err)
	}
	st, err := timestamp.Check(token, c.Note, roots)
	if err != nil {
		return st, verificationError(err)
	}
	return st, nil
}

// verifyWitnessed checks that enough witnesses cosigned a checkpoint.
func verifyWitnessed(policy string, c proof.Checkpoint) error {
	p, err := readPolicy(policy)
	if err != nil {
		return err
	}
	if !p.Satisfied(c.Note) {
		return verificationError(errors.New("the checkpoint is not cosigned by as many witnesses as the policy demands: it is the operator's word alone"))
	}
	return nil
}

// verifyInclusion checks that what a receipt promises is in the ledger of a checkpoint.
func verifyInclusion(path string, keys proof.Keys, p proof.Promise) (c proof.Checkpoint, err error) {
	key, err := keys.Log()
	if err != nil {
		return c, usageError(err)
	}
	raw, err := readBounded(path, proofBytesMax)
	if err != nil {
		return c, err
	}
	in, err := proof.DecodeInclusion(raw)
	if err != nil {
		return c, verificationError(err)
	}
	if in.Position != p.Position {
		return c, verificationError(fmt.Errorf("the proof of inclusion is of position %d, the receipt of position %d", in.Position, p.Position))
	}
	if c, err = in.Check(p.Leaf, key); err != nil {
		return c, verificationError(err)
	}
	if key.Name() != p.Origin {
		return c, verificationError(fmt.Errorf("the checkpoint is of %s, the receipt of %s", key.Name(), p.Origin))
	}
	return c, nil
}

// write prints each claim separately, in words.
func (v verified) write(g *globals, w io.Writer) error {
	if !g.human() {
		doc, err := jsonOf(v)
		if err != nil {
			return err
		}
		return g.document(w, doc)
	}
	fmt.Fprintf(w, "signed      by %s: the key you gave signed this receipt\n", v.Origin)
	fmt.Fprintf(w, "recorded    position %d, at %s, durability %s\n", v.Position, v.RecordedAt, v.Durability)
	fmt.Fprintf(w, "unchanged   leaf hash %s\n", v.LeafHash)
	if v.EntryID != "" {
		fmt.Fprintf(w, "entry       %s: its bytes are in the receipt and have this leaf hash\n", v.EntryID)
	} else {
		fmt.Fprintln(w, "entry       its bytes are not in the receipt: compare their leaf hash")
	}
	if v.Included > 0 {
		fmt.Fprintf(w, "included    in the ledger of %d entries that a checkpoint speaks of\n", v.Included)
	} else {
		fmt.Fprintln(w, "included    not shown: the receipt is the promise, a .tlog-proof the proof")
	}
	anchored := "operator only: nobody else's signature was checked"
	if v.Witnessed {
		anchored = "by as many witnesses as your policy demands"
	}
	fmt.Fprintln(w, "anchored    "+anchored)
	stamped := "by nobody: no timestamp was checked"
	if v.StampedAt != "" {
		stamped = fmt.Sprintf("it was there by %s, says %s", v.StampedAt, v.StampedBy)
	}
	_, err := fmt.Fprintln(w, "timestamped "+stamped)
	return err
}
