package tree

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/consent-ledger/consent-ledger/ledger"
	"github.com/consent-ledger/consent-ledger/ledger/proof"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// benchCommits makes commits of 400 entries of about 600 bytes, as an import does:
// of each hundred entries, `known` are of persons who have some already; below
// zero, all are of nobody.
func benchCommits(entries, known int) [][]byte {
	const perCommit = 400
	r := rand.New(rand.NewPCG(1, 2))
	var out [][]byte
	var people []ledger.PersonID
	ends := map[ledger.PersonID]end{}
	sealed := make([]byte, 100)
	for at := 0; at < entries; at += perCommit {
		c := &consentv1.Commit{FirstPosition: uint64(at) + 1}
		when := timestamppb.New(began.Add(time.Duration(at)))
		for i := range perCommit {
			var p ledger.PersonID
			if len(people) > 0 && r.IntN(100) < known {
				p = people[r.IntN(len(people))]
			} else {
				binary.BigEndian.PutUint64(p[:], r.Uint64())
				binary.BigEndian.PutUint64(p[8:], r.Uint64())
				people = append(people, p)
			}
			id, person := bytes.Clone(p[:]), p[:]
			if known < 0 {
				p, person = ledger.PersonID{}, nil
			}
			last := ends[p]
			e := &consentv1.Entry{Position: uint64(at+i) + 1, RecordedAt: when, EntryId: id, Idempotency: sealed[:32], Content: sealed[:32],
				Person: person, Token: sealed[:73], Fact: &consentv1.Fact{Source: "crm", Sellers: []string{"acme"}},
				Personal: []*consentv1.SealedPart{{Class: 1, Field: "1", KeyId: id[:8], Commitment: sealed[:32], Sealed: sealed}, {Class: 1, Field: "4", KeyId: id[:8], Commitment: sealed[:32], Sealed: sealed}}}
			if known >= 0 {
				e.PersonSeq = last.seq + 1
			}
			if last.seq > 0 {
				e.PersonPrev = last.leaf[:]
			}
			raw, err := proto.Marshal(e)
			if err != nil {
				panic(err)
			}
			if known >= 0 {
				ends[p] = end{e.PersonSeq, ledger.LeafHash(raw)}
			}
			c.Entries = append(c.Entries, raw)
		}
		data, err := proto.Marshal(c)
		if err != nil {
			panic(err)
		}
		out = append(out, data)
	}
	return out
}

// BenchmarkGrow reads commits, checks them, and makes tiles and chains durable in
// Pebble. Expected: the 300,000 entries/s a core of the bar.
func BenchmarkGrow(b *testing.B) {
	for _, known := range []int{-1, 0, 50} {
		name := fmt.Sprintf("known=%d%%", known)
		if known < 0 {
			name = "nobody's"
		}
		b.Run(name, func(b *testing.B) {
			entries := max(b.N/400+1, 1) * 400
			messages := benchCommits(entries, known)
			t, err := Open(Config{Dir: b.TempDir() + "/tree", Source: &source{messages: messages}, Journal: newJournal()})
			if err != nil {
				b.Fatal(err)
			}
			defer t.Close()
			for !t.persons.Complete() {
				t.loaded.Wait()
			}
			used := processor(b)
			b.ResetTimer()
			for m, err := range t.from(context.Background(), 0, uint64(len(messages))) {
				if err == nil {
					err = t.take(m)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
			if err := t.flush(); err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			b.ReportMetric(float64(entries)/b.Elapsed().Seconds(), "entries/s")
			b.ReportMetric(float64(entries)/(processor(b)-used).Seconds(), "entries/core-s")
		})
	}
}

// processor is how much of the processor the process used: a rate per core that a
// busy machine does not lower. Pebble's own work in the background counts.
func processor(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkProve makes proofs of inclusion for entries anywhere in a large tree,
// with nothing kept from one to the next.
func BenchmarkProve(b *testing.B) {
	const entries = 1 << 20
	t, err := Open(Config{Dir: b.TempDir() + "/tree", Journal: newJournal()})
	if err != nil {
		b.Fatal(err)
	}
	defer t.Close()
	t.batch = t.db.NewBatch()
	for i := range entries {
		if err := t.append(ledger.Hash{byte(i), byte(i >> 8), byte(i >> 16)}); err != nil {
			b.Fatal(err)
		}
	}
	if err := t.flush(); err != nil {
		b.Fatal(err)
	}
	root, err := t.root(entries)
	if err != nil {
		b.Fatal(err)
	}
	c := proof.Checkpoint{Size: entries, Root: root}
	t.published.Store(&c)
	r := rand.New(rand.NewPCG(1, 2))
	for b.Loop() {
		if _, err := t.Include(ledger.Position(r.IntN(entries) + 1)); err != nil {
			b.Fatal(err)
		}
	}
}
