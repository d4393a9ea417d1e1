// Package faults breaks a real server and looks at what is left: processes killed
// under load, disks that fill up or fail, a lost NATS server, a second writer,
// streams somebody changed, and numbers where none may be.
//
// Servers are child processes of the program itself, built once for all tests
// (or the one CONSENT_BINARY names). What needs root, because it mounts disks of
// its own, has the build tag rootfault:
//
//	go test ./test/faults
//	go test -tags rootfault -run Disk ./test/faults
//	go test -tags rootfault -run TestDyingFileSystem ./test/faults
//
// A SIGKILL leaves the kernel's caches alone: the tests that need no root prove what
// the program does in which order. Those with disks of their own cut the power too:
// what the device has not got is gone. Random choices come from a seed that each test prints; CONSENT_SEED sets it.
package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// program is the path of the binary under test.
var program string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if program = os.Getenv("CONSENT_BINARY"); program != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "consent-faults")
	if err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "consent")
	if out, err := exec.Command("go", "build", "-o", program, "github.com/consent-ledger/consent-ledger/cmd/consent").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "faults: build of the program: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// random gives the test's random choices and prints their seed.
func random(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("CONSENT_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("CONSENT_SEED: %v", err)
		}
	}
	t.Logf("CONSENT_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, seed))
}

// until waits for a condition, at most for `limit`. The text says what for.
func until(t *testing.T, limit time.Duration, what string, ok func(ctx context.Context) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok(ctx) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: not within %s", what, limit)
		}
	}
}
