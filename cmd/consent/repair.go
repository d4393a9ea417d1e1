package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"github.com/consent-ledger/consent-ledger/consumers/client"
	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/bundle"
	"github.com/consent-ledger/consent-ledger/ledger/mend"
	"github.com/consent-ledger/consent-ledger/node"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

const repairLong = `Put back entries that the ledger's stream has lost, from any copy of them:

  a folder         a backup of the ledger's folder, whose server is stopped; it is not
                   touched, and the temporary folder must have room for its stream
  a file           a bundle that consent export wrote; it holds some entries, not all
  http(s)://...    another server that serves this ledger; --from-key-file has its key

Nobody has to trust the copy: an entry is taken only if its hash is the one in the
ledger's tree, so each is put back byte for byte. The stream itself cannot be written
at an old place; what is put back is kept in the folder mended, and belongs into every
backup from then on.

A folder also gives back lost keys of persons, each taken only if this ledger's key ring
opens it; the server reads them when it starts the next time.

Where the ledger's stream ends before what was signed (ROLLED_BACK, the server does not
start), --dir gives back its end from a folder, with the keys of those entries: all or
nothing, and only if both together are what the last checkpoint says. The entries of its
last second may lie behind that checkpoint: for them the copy's word is taken. Name the
anchors of serve with --anchor.

What is lost, and whom that blocks, is what consent doctor lists. Exit code 0: nothing
is lost any more; 5: something still is.`

// repairBytesMax bounds one request.
const repairBytesMax = 4 << 20

// repaired is what repair says.
type repaired struct {
	Taken    uint64 `json:"taken"`
	Refused  uint64 `json:"refused"`
	Unneeded uint64 `json:"unneeded"`
	Mended   uint64 `json:"mended"`
	Left     uint64 `json:"left"`
	// Keys stored again, which the server reads when it starts.
	Keys uint64 `json:"keys"`
}

func repairCommand(g *globals) *cobra.Command {
	var f folderFlags
	var from []string
	var key string
	c := &cobra.Command{
		Use:   "repair --from COPY",
		Short: "Put back lost entries from a backup, a bundle or another server",
		Long:  repairLong,
		Example: `  consent repair --from /backup/ledger
  consent repair --from case.zip --from https://standby.example --from-key-file standby.key
  consent repair --dir ./ledger --from /backup/ledger --anchor /mnt/other/anchor`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if len(from) == 0 {
				return usageError(&hinted{errors.New("no copy is named"), "name one with --from: a folder, a bundle, or a server's URL"})
			}
			for _, where := range from {
				if info, err := os.Stat(where); err == nil && info.IsDir() && f.copyDir == "" {
					f.copyDir = where
				}
			}
			return f.with(g, c, func(ctx context.Context, cl *client.Client) error {
				return g.repair(ctx, c, cl, from, key)
			})
		},
	}
	f.add(c)
	c.Flags().StringArrayVar(&from, "from", nil, "where copies are: a folder, a bundle, or a server's URL; may be repeated")
	c.Flags().StringVar(&key, "from-key-file", "", "file with the API key of the server named by --from")
	return c
}

func (g *globals) repair(ctx context.Context, c *cobra.Command, cl *client.Client, from []string, key string) error {
	var sum repaired
	for _, where := range from {
		if err := g.repairFrom(ctx, c, cl, where, key, &sum); err != nil {
			return fmt.Errorf("--from %s: %w", where, err)
		}
	}
	left, err := lost(ctx, cl)
	if err != nil {
		return err
	}
	keys, err := lostKeys(ctx, cl)
	if err != nil {
		return err
	}
	sum.Left = uint64(len(left) + len(keys))
	if err := g.writeRepaired(c.OutOrStdout(), sum); err != nil {
		return err
	}
	if sum.Left > 0 {
		return verificationError(&hinted{errors.New("messages are still lost"), "consent doctor lists them; name another copy"})
	}
	return nil
}

// repairFrom offers what one copy has, until it has nothing more that is wanted:
// doctor lists a bounded number of damages at a time.
func (g *globals) repairFrom(ctx context.Context, c *cobra.Command, cl *client.Client, where, key string, sum *repaired) error {
	src, err := openCopy(ctx, where, key)
	if err != nil {
		return err
	}
	defer src.close()
	if err := g.repairKeys(ctx, cl, src, sum); err != nil {
		return err
	}
	for {
		damages, err := lost(ctx, cl)
		if err != nil || len(damages) == 0 {
			return err
		}
		o := offer{cl: cl, sum: sum}
		before := sum.Mended
		if err := src.entries(ctx, damages, func(entry []byte) error { return o.add(ctx, entry) }); err != nil {
			return err
		}
		if err := o.send(ctx); err != nil {
			return err
		}
		if sum.Mended == before {
			return nil
		}
		fmt.Fprintf(c.ErrOrStderr(), "consent: %d messages put back from %s\n", sum.Mended-before, where)
	}
}

// repairKeys offers what a folder has of the lost messages of keys.
func (g *globals) repairKeys(ctx context.Context, cl *client.Client, src copies, sum *repaired) error {
	folder, ok := src.(folderCopy)
	if !ok {
		return nil
	}
	seqs, err := lostKeys(ctx, cl)
	if err != nil {
		return err
	}
	var req consentv1.RepairRequest
	for _, seq := range seqs {
		m, err := folder.Keys(ctx, seq)
		if notThere(err) {
			continue
		}
		if err != nil {
			return err
		}
		req.Keys = append(req.Keys, &consentv1.KeysMessage{Message: seq, Data: m.Data})
	}
	if len(req.GetKeys()) == 0 {
		return nil
	}
	done, err := cl.Ledger.Repair(ctx, connect.NewRequest(&req))
	if err != nil {
		return err
	}
	sum.Keys += done.Msg.GetKeys()
	sum.Refused += done.Msg.GetRefused()
	return nil
}

// lostKeys lists the messages of keys whose keys are known nowhere.
func lostKeys(ctx context.Context, cl *client.Client) (seqs []uint64, err error) {
	res, err := cl.Ledger.Doctor(ctx, connect.NewRequest(&consentv1.DoctorRequest{}))
	if err != nil {
		return nil, err
	}
	for _, l := range res.Msg.GetLosses() {
		if l.GetHealed() || l.GetStream() != mend.KeysName {
			continue
		}
		for seq := l.GetFirst(); seq <= l.GetLast(); seq++ {
			seqs = append(seqs, seq)
		}
	}
	return seqs, nil
}

// notThere tells that a copy has not got a message: it is older, or damaged there too.
func notThere(err error) bool {
	return errors.Is(err, ledger.ErrNotFound) || errors.Is(err, ledger.ErrUnreadable)
}

// lost lists what is damaged and not mended, as far as doctor does.
func lost(ctx context.Context, cl *client.Client) ([]*consentv1.Damage, error) {
	res, err := cl.Ledger.Doctor(ctx, connect.NewRequest(&consentv1.DoctorRequest{}))
	if err != nil {
		return nil, err
	}
	var out []*consentv1.Damage
	for _, d := range res.Msg.GetDamages() {
		if !d.GetMended() {
			out = append(out, d)
		}
	}
	return out, nil
}

func (g *globals) writeRepaired(w io.Writer, r repaired) error {
	if !g.human() {
		doc, err := jsonOf(r)
		if err != nil {
			return err
		}
		return g.document(w, doc)
	}
	_, err := fmt.Fprintf(w, "%d messages put back, with %d entries; %d still known to be lost", r.Mended, r.Taken, r.Left)
	if err == nil && r.Keys > 0 {
		_, err = fmt.Fprintf(w, "; %d keys stored again: restart the server, so that it reads them", r.Keys)
	}
	if err == nil && r.Refused > 0 {
		_, err = fmt.Fprintf(w, "; %d entries or keys of the copies are not this ledger's", r.Refused)
	}
	if err == nil {
		_, err = fmt.Fprintln(w)
	}
	return err
}

// offer gathers entries into requests.
type offer struct {
	cl    *client.Client
	sum   *repaired
	req   consentv1.RepairRequest
	bytes int
}

func (o *offer) add(ctx context.Context, entry []byte) error {
	o.req.Entries, o.bytes = append(o.req.Entries, entry), o.bytes+len(entry)
	if o.bytes < repairBytesMax {
		return nil
	}
	return o.send(ctx)
}

func (o *offer) send(ctx context.Context) error {
	if len(o.req.GetEntries()) == 0 {
		return nil
	}
	res, err := o.cl.Ledger.Repair(ctx, connect.NewRequest(&o.req))
	if err != nil {
		return err
	}
	o.sum.Taken += res.Msg.GetTaken()
	o.sum.Refused += res.Msg.GetRefused()
	o.sum.Unneeded += res.Msg.GetUnneeded()
	o.sum.Mended += res.Msg.GetMended()
	o.req.Entries, o.bytes = nil, 0
	return nil
}

// copies is where entries can be had from.
type copies interface {
	// entries visits what the copy has of the damaged messages, and maybe more.
	entries(ctx context.Context, damages []*consentv1.Damage, visit func(entry []byte) error) error
	close() error
}

func openCopy(ctx context.Context, where, keyFile string) (copies, error) {
	if u, err := url.Parse(where); err == nil && (u.Scheme == "http" || u.Scheme == "https") {
		if keyFile == "" {
			return nil, usageError(&hinted{errors.New("the other server's key is not named"), "name its file with --from-key-file"})
		}
		key, err := os.ReadFile(keyFile)
		if err != nil {
			return nil, fmt.Errorf("--from-key-file: %w", err)
		}
		cl, err := client.New(where, strings.TrimSpace(string(key)), client.Options{})
		return serverCopy{cl}, err
	}
	info, err := os.Stat(where)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		c, err := node.OpenCopy(ctx, where, nil)
		return folderCopy{c}, err
	}
	return bundleCopy(where), nil
}

// serverCopy asks another server, a position at a time.
type serverCopy struct{ cl *client.Client }

func (s serverCopy) entries(ctx context.Context, damages []*consentv1.Damage, visit func([]byte) error) error {
	for _, d := range damages {
		for at := max(d.GetFirst(), 1); at <= d.GetLast(); at++ {
			res, err := s.cl.Ledger.GetReceipt(ctx, connect.NewRequest(&consentv1.GetReceiptRequest{Position: at}))
			switch {
			case errors.Is(err, client.ErrNotFound), errors.Is(err, client.ErrDamaged):
				continue // lost there too
			case err != nil:
				return err
			}
			if err := visit(res.Msg.GetEntry()); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s serverCopy) close() error { s.cl.Close(); return nil }

// folderCopy reads the stream of a backup, whose messages have the same sequences.
type folderCopy struct{ *node.Copy }

func (f folderCopy) entries(ctx context.Context, damages []*consentv1.Damage, visit func([]byte) error) error {
	for _, d := range damages {
		m, err := f.Message(ctx, d.GetMessage())
		if notThere(err) {
			continue
		}
		if err != nil {
			return err
		}
		var c consentv1.Commit
		if proto.Unmarshal(m.Data, &c) != nil {
			continue
		}
		for _, e := range c.GetEntries() {
			if err := visit(e); err != nil {
				return err
			}
		}
	}
	return nil
}

func (f folderCopy) close() error { return f.Close() }

// bundleCopy is the path of a bundle.
type bundleCopy string

func (b bundleCopy) entries(_ context.Context, _ []*consentv1.Damage, visit func([]byte) error) error {
	f, size, err := openSized(string(b))
	if err != nil {
		return err
	}
	defer f.Close()
	return bundle.Entries(f, size, visit)
}

func (bundleCopy) close() error { return nil }
