package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/consumers/client"
	"github.com/consent-ledger/consent-ledger/consumers/crm"
	"github.com/consent-ledger/consent-ledger/ledger/declare"
	"github.com/consent-ledger/consent-ledger/ledger/recorder"
	"github.com/consent-ledger/consent-ledger/node"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

func benchImportCommand() *cobra.Command {
	var f benchFlags
	var rows, numbers int
	c := &cobra.Command{
		Use:   "import",
		Short: "Import a CSV file twice, and stop people meanwhile",
		Long: `Import a CSV file of mixed grants and revocations through the API, as import
facts does it, then the same file again. During the first import single
revocations are recorded one after another and their receipts timed.`,
		Example: "  consent bench import --rows 1000000 --numbers 700000",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return benchImport(c, f, rows, numbers)
		},
	}
	f.add(c)
	c.Flags().IntVar(&rows, "rows", 1_000_000, "rows of the file")
	c.Flags().IntVar(&numbers, "numbers", 700_000, "different numbers in it")
	return c
}

func benchImport(c *cobra.Command, f benchFlags, rows, numbers int) error {
	dir, remove, err := f.temp()
	if err != nil {
		return err
	}
	defer remove()
	file := filepath.Join(dir, "crm.csv")
	if err := writeBenchCSV(file, rows, numbers); err != nil {
		return err
	}
	return withNode(c.Context(), dir, func(ctx context.Context, n *node.Node) error {
		if err := registerSeller(ctx, n.Recorder(), "acme"); err != nil {
			return err
		}
		stops, stopStops := stopsMeanwhile(ctx, n)
		used := processorTime()
		first, took, err := importOnce(ctx, n, file)
		used = processorTime() - used
		stopStops()
		m := <-stops
		if err != nil {
			return err
		}
		out := c.OutOrStdout()
		fmt.Fprintf(out, "import of %d rows, %d numbers: %.1f s, %.0f rows/s, added %d, duplicates %d, rejected %d (bar: 60 s a million)\n",
			first.Rows, numbers, took.Seconds(), float64(first.Rows)/took.Seconds(), first.Added, first.Duplicates, first.Rejected)
		reportCost(out, "a row, projections and feed included", used, first.Rows)
		report(out, "single revocations meanwhile (bar: p99 50 ms)", m)
		applied := time.Now()
		if err := n.WaitApplied(ctx); err != nil {
			return err
		}
		fmt.Fprintf(out, "projections caught up %.2f s after the last receipt\n", time.Since(applied).Seconds())
		used = processorTime()
		again, took, err := importOnce(ctx, n, file)
		if err != nil {
			return err
		}
		reportCost(out, "a row of the same file again", processorTime()-used, again.Rows)
		fmt.Fprintf(out, "the same file again: %.1f s, added %d, duplicates %d, rejected %d\n", took.Seconds(), again.Added, again.Duplicates, again.Rejected)
		if again.Added != 0 || first.Rejected != 0 {
			return errors.New("the import did not do what it says")
		}
		return nil
	})
}

func importOnce(ctx context.Context, n *node.Node, file string) (crm.Summary, time.Duration, error) {
	began := time.Now()
	cl, err := client.New(n.URL(), n.AdminKey(), client.Options{})
	if err != nil {
		return crm.Summary{}, 0, err
	}
	defer cl.Close()
	r, err := crm.Open(file, crm.Options{})
	if err != nil {
		return crm.Summary{}, 0, err
	}
	defer r.Close()
	s := cl.NewSender(ctx, client.SenderOptions{})
	defer s.Close()
	sum, err := crm.Import(ctx, r, s, crm.ImportOptions{})
	return sum, time.Since(began), err
}

// stopsMeanwhile records one revocation after another until told to end.
func stopsMeanwhile(ctx context.Context, n *node.Node) (<-chan measured, func()) {
	out, ended := make(chan measured, 1), new(atomic.Bool)
	go func() {
		var took []time.Duration
		began := time.Now()
		for i := 0; !ended.Load(); i++ {
			f := &consentv1.Fact{Number: benchNumber(i), Sellers: []string{"acme"}, Source: "phone", EventId: fmt.Sprint("stop", i), OccurredAt: timestamppb.Now(),
				Kind: &consentv1.Fact_ConsentRevoked{ConsentRevoked: &consentv1.ConsentRevoked{Words: "stop"}}}
			start := time.Now()
			if o := n.Recorder().Record(ctx, []declare.Declaration{{Fact: f}}); o[0].Err != nil {
				break
			}
			took = append(took, time.Since(start))
		}
		out <- measure(took, time.Since(began))
	}()
	return out, func() { ended.Store(true) }
}

// writeBenchCSV makes a file like a CRM's: grants, and every tenth row a revocation.
func writeBenchCSV(path string, rows, numbers int) (err error) {
	w, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	b := bufio.NewWriterSize(w, 128<<10)
	fmt.Fprintln(b, "source,event_id,kind,number,seller,channels,purposes,level,occurred_at,method")
	at := time.Now().Add(-30 * 24 * time.Hour).UTC()
	for i := range rows {
		n, when := benchNumber(int(uint64(i)*2654435761%uint64(numbers))), at.Add(time.Duration(i)*time.Second).Format(time.RFC3339)
		if i%10 == 9 {
			fmt.Fprintf(b, "crm,e%d,consent_revoked,%s,acme,sms,marketing,,%s,sms\n", i, n, when)
		} else {
			fmt.Fprintf(b, "crm,e%d,consent_granted,%s,acme,sms;voice_live,marketing,express_written,%s,web_form\n", i, n, when)
		}
	}
	return b.Flush()
}

// benchState fills a node with grants for numbers 0 to persons-1.
func benchState(ctx context.Context, n *node.Node, persons int, progress io.Writer) error {
	if err := registerSeller(ctx, n.Recorder(), "acme"); err != nil {
		return err
	}
	if persons == 0 {
		return nil
	}
	began := time.Now()
	if err := recordPersons(ctx, n.Recorder(), persons); err != nil {
		return err
	}
	if err := n.WaitApplied(ctx); err != nil {
		return err
	}
	fmt.Fprintf(progress, "consent: %d persons in %.1f s\n", persons, time.Since(began).Seconds())
	return nil
}

// recordPersons records grants for numbers 0 to persons-1, in bulk.
func recordPersons(ctx context.Context, r *recorder.Recorder, persons int) error {
	batch := make([]declare.Declaration, 0, 5000)
	for i := range persons {
		batch = append(batch, declare.Declaration{Fact: benchGrant(benchNumber(i), fmt.Sprint("p", i))})
		if len(batch) < cap(batch) && i < persons-1 {
			continue
		}
		for _, o := range r.Record(ctx, batch) {
			if o.Err != nil {
				return o.Err
			}
		}
		batch = batch[:0]
	}
	return nil
}
