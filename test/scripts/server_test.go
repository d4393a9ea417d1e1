package scripts

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

type worldKey struct{}

// world is what runs beside a story.
type world struct {
	server  *watched
	dir     string // of the server
	listen  string // where its API is; the same after a restart
	nats    string // where its NATS is
	watched map[string]*watched
	ports   map[string]net.Listener
}

func worldOf(ts *testscript.TestScript) *world { return ts.Value(worldKey{}).(*world) }

// end stops by id whatever the story left running.
func (w *world) end() {
	for _, p := range w.watched {
		p.stop(syscall.SIGKILL)
	}
	if w.server != nil {
		w.server.stop(syscall.SIGKILL)
	}
	for _, l := range w.ports {
		_ = l.Close() // nobody else has it
	}
}

// watched is a program that runs beside a story; its output can be waited for.
type watched struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended and all output is read
	err  error         // how it ended; read it after done

	mu      sync.Mutex
	text    strings.Builder
	changed chan struct{} // closed and replaced with every line
}

// start runs a program and reads one of its outputs, which also goes to a file.
func start(ts *testscript.TestScript, file string, stderr bool, args ...string) *watched {
	path, err := lookPath(ts, args[0])
	ts.Check(err)
	p := &watched{cmd: exec.CommandContext(context.Background(), path, args[1:]...), done: make(chan struct{}), changed: make(chan struct{})}
	p.cmd.Dir, p.cmd.Env = ts.Getenv("WORK"), environment(ts)
	pipe := p.cmd.StdoutPipe
	if stderr {
		pipe = p.cmd.StderrPipe
	}
	out, err := pipe()
	ts.Check(err)
	log, err := os.OpenFile(ts.MkAbs(file), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	ts.Check(err)
	ts.Check(p.cmd.Start())
	go p.read(out, log)
	return p
}

// environment is what the program is told; it needs no more.
func environment(ts *testscript.TestScript) []string {
	var out []string
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "CONSENT_SERVER", "CONSENT_KEY_FILE"} {
		out = append(out, name+"="+ts.Getenv(name))
	}
	return out
}

func lookPath(ts *testscript.TestScript, name string) (string, error) {
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && !info.IsDir() {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not on the PATH", name)
}

func (p *watched) read(out io.Reader, log *os.File) {
	defer close(p.done)
	defer log.Close()
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		p.mu.Lock()
		p.text.WriteString(line)
		close(p.changed)
		p.changed = make(chan struct{})
		p.mu.Unlock()
		_, _ = log.WriteString(line) // the story that needs it fails without it
		if err != nil {
			p.err = p.cmd.Wait()
			return
		}
	}
}

// until waits for so many matches in the output and gives the first one's groups.
func (p *watched) until(pattern *regexp.Regexp, count int) ([]string, error) {
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		p.mu.Lock()
		text, changed := p.text.String(), p.changed
		p.mu.Unlock()
		if m := pattern.FindAllStringSubmatch(text, count); len(m) >= count {
			return m[0], nil
		}
		select {
		case <-changed:
		case <-p.done:
			return nil, fmt.Errorf("it ended (%v) before %d x %s; it said:\n%s", p.err, count, pattern, text)
		case <-deadline.C:
			return nil, fmt.Errorf("%d x %s did not come; it said:\n%s", count, pattern, text)
		}
	}
}

// stop ends the program by its id and waits until it has.
func (p *watched) stop(signal syscall.Signal) error {
	select {
	case <-p.done:
		return p.err
	default:
	}
	_ = p.cmd.Process.Signal(signal) // it may have ended just now
	select {
	case <-p.done:
		return p.err
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		<-p.done
		return fmt.Errorf("it did not end within %s of %s", patience, signal)
	}
}

// cmdServer makes and runs a ledger:
//
//	server start [DIR [FLAG…]]   init unless DIR is there, serve; sets DIR, CONSENT_SERVER, CONSENT_KEY_FILE, NATS_URL
//	server stop                  ends it as an operator does; it must exit 0
//	server kill                  ends it with SIGKILL
//	server restart               stop, then start in the same place
func cmdServer(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: server start|stop|kill|restart")
	}
	w := worldOf(ts)
	switch args[0] {
	case "start":
		w.dir = "ledger"
		if len(args) > 1 {
			w.dir = args[1]
		}
		if _, err := os.Stat(ts.MkAbs(w.dir)); err != nil {
			expectExit(ts, 0, []string{"consent", "init", "--dir", w.dir})
		}
		w.listen, w.nats = orAny(w.listen), orAny(w.nats)
		w.serve(ts, args[min(len(args), 2):])
	case "stop":
		w.stopServer(ts, syscall.SIGTERM)
	case "kill":
		w.stopServer(ts, syscall.SIGKILL)
	case "restart":
		w.stopServer(ts, syscall.SIGTERM)
		w.serve(ts, nil)
	default:
		ts.Fatalf("server has no verb %s", args[0])
	}
}

func orAny(addr string) string {
	if addr == "" {
		return "127.0.0.1:0"
	}
	return addr
}

var (
	apiLine  = regexp.MustCompile(`consent: API  http://(\S+) `)
	natsLine = regexp.MustCompile(`consent: NATS nats://(\S+) `)
)

// serve starts the server and waits until it says where it is.
func (w *world) serve(ts *testscript.TestScript, flags []string) {
	if w.server != nil {
		ts.Fatalf("the server runs already")
	}
	w.server = start(ts, "server.log", true, append([]string{"consent", "serve", "--dir", w.dir, "--listen", w.listen, "--nats-listen", w.nats}, flags...)...)
	api, err := w.server.until(apiLine, 1)
	ts.Check(err)
	natsAt, err := w.server.until(natsLine, 1)
	ts.Check(err)
	w.listen, w.nats = api[1], natsAt[1]
	ts.Setenv("DIR", w.dir)
	ts.Setenv("LISTEN", w.listen)
	ts.Setenv("NATS_LISTEN", w.nats)
	ts.Setenv("CONSENT_SERVER", "http://"+w.listen)
	ts.Setenv("CONSENT_KEY_FILE", filepath.Join(ts.MkAbs(w.dir), "admin.key"))
}

// stopServer ends the server. Its log, whatever happened, holds no number.
func (w *world) stopServer(ts *testscript.TestScript, signal syscall.Signal) {
	if w.server == nil {
		ts.Fatalf("no server runs")
	}
	err := w.server.stop(signal)
	w.server = nil
	if signal != syscall.SIGKILL {
		ts.Check(err)
	}
	noNumber(ts, "server.log")
}

// cmdWatch runs a program beside the story: watch NAME PROGRAM ARGUMENT… writes its
// stdout to NAME.out; watch -stop NAME interrupts it, and it must exit 0.
func cmdWatch(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: watch NAME PROGRAM ARGUMENT… or watch -stop NAME")
	}
	w := worldOf(ts)
	if args[0] != "-stop" {
		w.watched[args[0]] = start(ts, args[0]+".out", false, args[1:]...)
		return
	}
	p := w.watched[args[1]]
	if p == nil {
		ts.Fatalf("nothing called %s runs", args[1])
	}
	delete(w.watched, args[1])
	ts.Check(p.stop(syscall.SIGINT))
}

// cmdUntil waits for output of a watched program: until NAME COUNT PATTERN.
func cmdUntil(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: until NAME COUNT PATTERN")
	}
	p := worldOf(ts).watched[args[0]]
	if p == nil {
		ts.Fatalf("nothing called %s runs", args[0])
	}
	var count int
	_, err := fmt.Sscan(args[1], &count)
	ts.Check(err)
	_, err = p.until(regexp.MustCompile(args[2]), count)
	ts.Check(err)
}

// cmdOccupy takes a port and says which: occupy NAME sets NAME to its address.
func cmdOccupy(ts *testscript.TestScript, _ bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	w := worldOf(ts)
	w.ports[args[0]] = l
	ts.Setenv(args[0], l.Addr().String())
}

// cmdFree gives a port up again, so that nobody is there: free NAME.
func cmdFree(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(worldOf(ts).ports[args[0]].Close())
}

// cmdSwap lets two folders change places: swap A B.
func cmdSwap(ts *testscript.TestScript, _ bool, args []string) {
	a, b := ts.MkAbs(args[0]), ts.MkAbs(args[1])
	ts.Check(os.Rename(a, a+".swap"))
	ts.Check(os.Rename(b, a))
	ts.Check(os.Rename(a+".swap", b))
}
