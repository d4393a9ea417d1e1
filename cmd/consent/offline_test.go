package main

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestStoppedServer: doctor and rebuild work on a folder whose server is stopped,
// and a rebuild right after a start folds the whole ledger, not what was applied.
func TestStoppedServer(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ledger")
	type answer struct {
		Position  uint64
		Integrity string
		StateHash map[string]string
	}
	ask := func(args ...string) (a answer) {
		t.Helper()
		code, stdout, stderr := bare(t, args...)
		if code != 0 {
			t.Fatalf("%v: exit code %d: %s", args, code, stderr)
		}
		if err := json.Unmarshal([]byte(stdout), &a); err != nil {
			t.Fatal(err)
		}
		return a
	}
	if code, _, _ := bare(t, "doctor", "--dir", dir); code != exitFailed {
		t.Errorf("no folder: exit code %d", code)
	}
	if code, _, stderr := bare(t, "init", "--dir", dir); code != 0 {
		t.Fatal(stderr)
	}
	before := ask("doctor", "--dir", dir, "--state-hash", "-o", "json")
	rebuilt := ask("rebuild", "--dir", dir, "-o", "json")
	if before.Integrity != "OK" || before.Position < 2 || rebuilt.Position != before.Position+1 { // each start is an entry; the first publishes the packs
		t.Errorf("before %v, rebuilt %v", before, rebuilt)
	}
	if diff := cmp.Diff(before.StateHash, rebuilt.StateHash); diff != "" || len(rebuilt.StateHash) == 0 {
		t.Errorf("state hash: %s", diff)
	}
}
