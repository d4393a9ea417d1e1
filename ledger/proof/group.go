package proof

import (
	"fmt"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// groupMax bounds a group: 256 KiB of a byte each.
const groupMax = 1 << 18

// group is what is signed about things that became durable together: the entries of
// a commit, the decisions of a batch. The first line of the text says which.
type group struct {
	origin     string
	number     uint64
	count      int
	recordedAt time.Time
	durability consentv1.Durability
	// root is that of the Merkle tree (RFC 9162 section 2.1) over their leaf hashes
	// alone.
	root tlog.Hash
}

// durabilities are the words of the contract, which never change.
var durabilities = map[consentv1.Durability]string{
	consentv1.Durability_DURABILITY_FSYNC: "fsync", consentv1.Durability_DURABILITY_LAZY: "lazy", consentv1.Durability_DURABILITY_UNVERIFIED: "unverified",
}

// text is what is signed.
func (g group) text(header string) string {
	return fmt.Sprintf("%s\n%s\n%d\n%d\n%s\n%s\n%s\n", header, g.origin, g.number, g.count, instant(g.recordedAt), durabilities[g.durability], encode64(g.root[:]))
}

// parseGroup undoes text.
func parseGroup(header, text string) (g group, err error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 8 || lines[0] != header {
		return g, form("its note does not begin with %s", header)
	}
	g.origin = lines[1]
	if g.number, err = number(lines[2]); err != nil {
		return g, err
	}
	count, err := number(lines[3])
	if err != nil {
		return g, err
	}
	if g.number == 0 || g.number >= sizeMax || count == 0 || count > groupMax {
		return g, form("a group of %d at %d", count, g.number)
	}
	g.count = int(count)
	if g.recordedAt, err = parseInstant(lines[4]); err != nil {
		return g, err
	}
	for d, word := range durabilities {
		if word == lines[5] {
			g.durability = d
		}
	}
	if g.root, err = decodeHash(lines[6]); err != nil {
		return g, err
	}
	if g.durability == 0 || g.text(header) != text {
		return g, form("a signed group that is not in its one encoding")
	}
	return g, nil
}

// instant writes a time: RFC 3339 in UTC, with as many digits as it needs.
func instant(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

func parseInstant(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || instant(t) != s {
		return t, form("%q is no time in its one encoding", clip(s))
	}
	return t, nil
}
