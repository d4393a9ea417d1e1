package suppression_test

import (
	"bufio"
	"encoding/hex"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/consent-ledger/consent-ledger/projections/suppression"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// TestGolden pins the bytes of a state with every register: where they differ
// from what earlier versions stored, Version must change too.
func TestGolden(t *testing.T) {
	wish := &consentv1.PreferenceSet{Windows: []*consentv1.TimeWindow{{FromMinute: 540, ToMinute: 1020}}, FrequencyMax: 2, FrequencyDays: 7, Language: "es"}
	m := fold(on(1, granted()), on(2, granted(), ending(50), channels(live, sms), programmes("club")), on(3, confirmed(), historical),
		on(4, revoked(), inReplyTo("club")), on(5, invalidated()), on(6, answered(4, "club")), on(7, dncAdded(), channels(smsAtds)), on(8, dncRemoved()),
		on(9, refused(), historical), on(10, related(1, 1)), on(11, related(1, 2)), on(12, reassigned(0), forNobody),
		on(13, located("US-TX", "America/Chicago"), forNobody),
		on(14, wrongParty()), on(15, &consentv1.Fact{Kind: &consentv1.Fact_PreferenceSet{PreferenceSet: wish}}), on(16, message(0)), on(17, closed(18)))
	for _, in := range (inputs{on(20, timesAgreed(7)), on(21, registryPreference(true, live)), on(22, registryPreference(false)), on(23, subscriber(3)),
		on(24, line("landline")), on(25, ported("wireless")), on(26, partyNumber(), party("party one 16 byt")), on(27, related(6, 0)), on(28, related(1, 2)),
		on(29, granted(), programmes("club"), evidence(&consentv1.Evidence{Method: "app", ConditionOfPurchase: yes()})),
		on(30, granted(), programmes("club"), evidence(&consentv1.Evidence{Undocumented: true}))}) {
		m.Fold(in)
	}
	m["erased"] = fold(on(1, erased()))["all"]
	got := encoded(t, m)

	want := golden(t, "testdata/state_v3.txt")
	if diff := cmp.Diff(want, got); diff != "" {
		for _, seller := range slices.Sorted(maps.Keys(got)) {
			t.Logf("%s %x", seller, got[seller])
		}
		t.Errorf("other bytes than version %d has:\n%s", suppression.Projection{}.Version(), diff)
	}
}

// TestEarlierStatesAreRead: a mirror may hold what an earlier server sent.
func TestEarlierStatesAreRead(t *testing.T) {
	golden(t, "testdata/state_v1.txt")
	golden(t, "testdata/state_v2.txt")
}

// golden reads states, by seller: a seller, a blank, the bytes in hex a line.
func golden(t *testing.T, name string) map[string]string {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	out := map[string]string{}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		seller, text, _ := strings.Cut(lines.Text(), " ")
		raw, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := suppression.Decode(raw); err != nil {
			t.Errorf("%s: %s: %v", name, seller, err)
		}
		out[seller] = string(raw)
	}
	return out
}
