package main

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// envMain makes this test's program consent itself.
const envMain = "CONSENT_TEST_MAIN"

// TestSecondInterrupt: a pipe that says nothing more holds up the orderly end that the first
// interrupt asks for; the second one does not wait.
func TestSecondInterrupt(t *testing.T) {
	if key := os.Getenv(envMain); key != "" {
		os.Args = []string{"consent", "scrub", "-", "-", "--campaign", "spring", "--server", "http://127.0.0.1:1", "--key-file", key}
		main()
	}
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte(strings.Repeat("k", 43)), 0o600); err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestSecondInterrupt$")
	c.Env = append(os.Environ(), envMain+"="+key)
	c.Stderr = os.Stderr
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(in, "phone\n+12025550101\n"); err != nil {
		t.Fatal(err)
	}
	if header, err := bufio.NewReader(out).ReadString('\n'); err != nil || !strings.HasPrefix(header, "phone,verdict") {
		t.Fatalf("%q, %v", header, err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	late := time.After(20 * time.Second)
	for again := time.NewTicker(20 * time.Millisecond); ; {
		select {
		case err := <-ended:
			if err == nil || !strings.Contains(err.Error(), "signal: interrupt") {
				t.Errorf("it ended with %v", err)
			}
			return
		case <-again.C:
			_ = c.Process.Signal(os.Interrupt) // it may have ended by now
		case <-late:
			_ = c.Process.Kill()
			t.Fatal("it waits for the pipe")
		}
	}
}
