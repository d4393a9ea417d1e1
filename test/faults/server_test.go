package faults

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/consent-ledger/consent-ledger/consumers/client"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// startLimit bounds a start, with two busy cores and a ledger to read in mind.
const startLimit = 60 * time.Second

// server is a child process that serves a folder.
type server struct {
	t      *testing.T
	dir    string
	cmd    *exec.Cmd
	stderr *text
	ended  chan struct{} // closed when the process is gone
	began  time.Time
	url    string // of its API
	client *client.Client
}

// text is what a process says, safe for concurrent use.
type text struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (x *text) Write(p []byte) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.b.Write(p)
}

func (x *text) String() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.b.String()
}

// initLedger makes a ledger in a folder that does not exist.
func initLedger(t *testing.T, dir string, flags ...string) {
	t.Helper()
	if out, err := exec.Command(program, append([]string{"init", "--dir", dir}, flags...)...).CombinedOutput(); err != nil {
		t.Fatalf("init: %v\n%s", err, out)
	}
}

// launch starts a server and waits neither for its readiness nor its end.
func launch(t *testing.T, dir string, flags ...string) *server {
	t.Helper()
	s := &server{t: t, dir: dir, stderr: &text{}, ended: make(chan struct{}), began: time.Now()}
	args := append([]string{"serve", "--dir", dir, "--listen", "127.0.0.1:0", "--nats-listen", "127.0.0.1:0"}, flags...)
	s.cmd = exec.Command(program, args...)
	s.cmd.Stderr = s.stderr
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = s.cmd.Wait() // exit codes are read from ProcessState
		close(s.ended)
	}()
	t.Cleanup(s.kill)
	return s
}

// Where a server says it is.
var (
	apiLine  = regexp.MustCompile(`(?m)^consent: API  (\S+) .*\n`)
	natsLine = regexp.MustCompile(`(?m)^consent: NATS (\S+) .*\n`)
)

// serve starts a server and waits until its API answers and its rule packs are
// published: a new ledger's first entries, which are no facts of a test's.
func serve(t *testing.T, dir string, flags ...string) *server {
	t.Helper()
	s := launch(t, dir, flags...)
	until(t, startLimit, "start", func(ctx context.Context) bool {
		select {
		case <-s.ended:
			t.Fatalf("serve ended with exit code %d:\n%s", s.cmd.ProcessState.ExitCode(), s.stderr)
		default:
		}
		if s.url == "" && !s.find() {
			return false
		}
		res, err := s.client.Ledger.Doctor(ctx, connect.NewRequest(&consentv1.DoctorRequest{}))
		return err == nil && !slices.ContainsFunc(res.Msg.GetProblems(), func(p string) bool { return strings.Contains(p, "no rule pack is published") })
	})
	return s
}

// find looks for the server's addresses in what it says, and dials.
func (s *server) find() bool {
	s.t.Helper()
	said := s.stderr.String()
	url := apiLine.FindStringSubmatch(said)
	if url == nil {
		return false
	}
	s.dial(url[1])
	s.url = url[1]
	return true
}

// natsURL is where its embedded NATS server listens.
func (s *server) natsURL() string {
	s.t.Helper()
	var m []string
	until(s.t, startLimit, "NATS address", func(context.Context) bool {
		m = natsLine.FindStringSubmatch(s.stderr.String())
		return m != nil
	})
	return m[1]
}

func (s *server) dial(url string) {
	s.t.Helper()
	key, err := os.ReadFile(filepath.Join(s.dir, "admin.key"))
	if err != nil {
		s.t.Fatal(err)
	}
	if s.client, err = client.New(url, strings.TrimSpace(string(key)), client.Options{}); err != nil {
		s.t.Fatal(err)
	}
}

// kill is SIGKILL. It may be called when the process is gone.
func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	<-s.ended
	if s.client != nil {
		s.client.Close()
	}
}

// stop is SIGTERM, and demands an orderly end.
func (s *server) stop() {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	if code := s.exit(30 * time.Second); code != 0 {
		s.t.Fatalf("serve ended with exit code %d:\n%s", code, s.stderr)
	}
	s.client.Close()
}

// exit waits for the process to end by itself and gives its exit code.
func (s *server) exit(limit time.Duration) int {
	s.t.Helper()
	select {
	case <-s.ended:
	case <-time.After(limit):
		_ = s.cmd.Process.Signal(syscall.SIGQUIT) // its goroutines say what it waits for
		<-s.ended
		s.t.Fatalf("serve still runs after %s:\n%s", limit, s.stderr)
	}
	return s.cmd.ProcessState.ExitCode()
}

// refused demands that a start ends with exit code 1 and these words.
func refused(t *testing.T, s *server, words ...string) {
	t.Helper()
	if code := s.exit(startLimit); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	for _, w := range words {
		if !strings.Contains(s.stderr.String(), w) {
			t.Errorf("nothing says %q:\n%s", w, s.stderr)
		}
	}
}

// doctor examines the ledger.
func (s *server) doctor(req *consentv1.DoctorRequest) *consentv1.DoctorResponse {
	s.t.Helper()
	res, err := s.client.Ledger.Doctor(s.t.Context(), connect.NewRequest(req))
	if err != nil {
		s.t.Fatalf("doctor: %v\n%s", err, s.stderr)
	}
	return res.Msg
}

// applied waits until the projections hold the whole ledger and gives its tail.
func (s *server) applied() uint64 {
	s.t.Helper()
	var d *consentv1.DoctorResponse
	until(s.t, 60*time.Second, "projections catch up", func(context.Context) bool {
		d = s.doctor(&consentv1.DoctorRequest{})
		return d.GetApplied()["projections"] == d.GetPosition()
	})
	return d.GetPosition()
}

// stateHash gives the hashes of all projections at the ledger's tail.
func (s *server) stateHash() map[string]string {
	s.t.Helper()
	s.applied()
	return s.doctor(&consentv1.DoctorRequest{StateHash: true}).GetStateHash()
}

// rebuild folds all projections anew and gives their hashes.
func (s *server) rebuild() map[string]string {
	s.t.Helper()
	st, err := s.client.Ledger.Rebuild(s.t.Context(), connect.NewRequest(&consentv1.RebuildRequest{}))
	if err != nil {
		s.t.Fatal(err)
	}
	var hash map[string]string
	for st.Receive() {
		hash = st.Msg().GetStateHash()
	}
	if err := errors.Join(st.Err(), st.Close()); err != nil && !errors.Is(err, io.EOF) {
		s.t.Fatal(err)
	}
	return hash
}

// removeAll deletes a folder of a ledger that is not served.
func removeAll(t *testing.T, dir, name string) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

// lastLine is the last thing a server said.
func lastLine(s *server) string {
	said := strings.TrimSpace(s.stderr.String())
	return said[strings.LastIndex(said, "\n")+1:]
}
