package stream

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"golang.org/x/crypto/bcrypt"
)

// recoveryWait bounds how long a start waits for JetStream to read its files.
const recoveryWait = 2 * time.Minute

// EmbeddedOptions configure the server inside the process.
type EmbeddedOptions struct {
	Dir       string // JetStream's files
	CipherKey string // JetStream's own cipher at rest
	// Listen is host:port for outside clients, port 0 for any; empty: none.
	Listen string
	// AdminKey is the password of user `admin` for outside clients.
	AdminKey string
	// LazySync gives up the fsync before each acknowledgement. Receipts say so.
	LazySync bool
	Logger   *slog.Logger
}

// Embedded is a nats-server inside the process. The ledger itself needs no
// TCP: its own connections stay in memory.
type Embedded struct {
	server   *server.Server
	password string
	pulse    *Pulse
	failed   chan error // holds the first failed write
}

// StartEmbedded starts the server and waits until JetStream has recovered.
func StartEmbedded(o EmbeddedOptions) (*Embedded, error) {
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("nats-server: %w", err)
	}
	filled, err := settle(o.Dir)
	if err != nil {
		return nil, err
	}
	pulse, err := OpenPulse(o.Dir)
	if err != nil {
		return nil, err
	}
	e := &Embedded{pulse: pulse, failed: make(chan error, 1)}
	if err := e.start(o); err != nil {
		return nil, errors.Join(err, pulse.Close())
	}
	if err := e.holds(filled); err != nil {
		e.Close(context.Background())
		return nil, err
	}
	return e, nil
}

// holds refuses a server that left out a stream of its folder, as JetStream does with
// what it cannot read: to everybody else the stream would seem never made.
func (e *Embedded) holds(streams []string) error {
	have, err := e.server.Jsz(&server.JSzOptions{Streams: true})
	if err != nil {
		return fmt.Errorf("nats-server: %w", err)
	}
	for _, name := range streams {
		if !slices.ContainsFunc(have.AccountDetails, func(a *server.AccountDetail) bool {
			return slices.ContainsFunc(a.Streams, func(s server.StreamDetail) bool { return s.Name == name })
		}) {
			return fmt.Errorf("nats-server: stream %s cannot be read, its log says why; nothing of it was removed: start again, or restore the folder from a backup", name)
		}
	}
	return nil
}

func (e *Embedded) start(o EmbeddedOptions) error {
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return fmt.Errorf("nats-server: %w", err)
	}
	e.password = hex.EncodeToString(secret)
	opts, err := serverOptions(o, e.password)
	if err != nil {
		return err
	}
	s, err := server.NewServer(opts)
	if err != nil {
		return fmt.Errorf("nats-server: %w", err)
	}
	s.SetLoggerV2(slogger{o.Logger.With("component", "nats-server"), e.failed}, false, false, false)
	e.server = s
	go s.Start()
	if !s.ReadyForConnections(recoveryWait) {
		s.Shutdown()
		return errors.New("nats-server: not ready in time; its log says why")
	}
	if !s.JetStreamEnabled() {
		s.Shutdown()
		return errors.New("nats-server: JetStream did not start; is its folder writable and its key the right one?")
	}
	return nil
}

// serverOptions are nats-server's. password is that of user `ledger`.
func serverOptions(o EmbeddedOptions, password string) (*server.Options, error) {
	users, err := users(map[string]string{"ledger": password, "admin": o.AdminKey})
	if err != nil {
		return nil, err
	}
	opts := &server.Options{
		ServerName: "consent-ledger", NoSigs: true, JetStream: true, StoreDir: o.Dir,
		SyncAlways: !o.LazySync, JetStreamCipher: server.ChaCha, JetStreamKey: o.CipherKey,
		// The disk is the limit, and a full one is an error we handle; a limit
		// computed at start would be a second, earlier one.
		JetStreamMaxStore: 1 << 60, JetStreamMaxMemory: 64 << 20,
		DontListen: o.Listen == "",
		Users:      users,
	}
	if o.Listen == "" {
		return opts, nil
	}
	host, port, err := net.SplitHostPort(o.Listen)
	if err != nil {
		return nil, fmt.Errorf("nats-listen: %w", err)
	}
	if opts.Host = host; opts.Host == "" {
		opts.Host = "127.0.0.1"
	}
	if opts.Port, err = strconv.Atoi(port); err != nil {
		return nil, fmt.Errorf("nats-listen: port: %w", err)
	}
	if opts.Port == 0 {
		opts.Port = server.RANDOM_PORT
	}
	return opts, portFree(opts.Host, opts.Port)
}

// users are those of the server: ledger may do everything, admin what outsiders
// may. Passwords are hashed cheaply: they are 256 random bits, not words.
func users(passwords map[string]string) ([]*server.User, error) {
	out := []*server.User{{Username: "ledger"}, {Username: "admin", Permissions: outsidePermissions()}}
	for _, u := range out {
		hashed, err := bcrypt.GenerateFromPassword([]byte(passwords[u.Username]), bcrypt.MinCost)
		if err != nil {
			return nil, fmt.Errorf("nats-server: user %s: %w", u.Username, err)
		}
		u.Password = string(hashed)
	}
	return out, nil
}

// outsidePermissions: outsiders publish to intake, ask services and look at
// streams. They create no consumers: one could be aimed at the ledger.
func outsidePermissions() *server.Permissions {
	return &server.Permissions{
		Publish: &server.SubjectPermission{Allow: []string{
			"consent.v1.intake.*", "consent.v1.svc.>", "$SRV.>",
			"$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST", "$JS.API.STREAM.INFO.*",
			"$JS.API.STREAM.MSG.GET.*", "$JS.API.CONSUMER.LIST.*", "$JS.API.CONSUMER.NAMES.*", "$JS.API.CONSUMER.INFO.>",
		}},
		Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>"}},
	}
}

// portFree tells a taken port before nats-server would end the process over it.
func portFree(host string, port int) error {
	if port <= 0 {
		return nil
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return fmt.Errorf("nats-listen: %s is taken or not ours; name another with --nats-listen: %w", net.JoinHostPort(host, strconv.Itoa(port)), err)
	}
	return l.Close()
}

// Connect opens a connection in memory with full rights.
func (e *Embedded) Connect(opts ...nats.Option) (*nats.Conn, error) {
	opts = append([]nats.Option{nats.InProcessServer(e.server), nats.UserInfo("ledger", e.password), nats.MaxReconnects(-1)}, opts...)
	nc, err := nats.Connect("", opts...)
	if err != nil {
		return nil, fmt.Errorf("nats-server: connect in process: %w", err)
	}
	return nc, nil
}

// Pulse is that of the disk its files are on. It beats until Close.
func (e *Embedded) Pulse() *Pulse { return e.pulse }

// URL is where outside clients connect; empty if the server does not listen.
func (e *Embedded) URL() string {
	if e.server.Addr() == nil {
		return ""
	}
	return e.server.ClientURL()
}

// Watch waits until ctx is done, or a stream could not be written: JetStream lets that
// stream answer nobody until the process is started again, publishers to the intake
// included, and only its log says so.
func (e *Embedded) Watch(ctx context.Context) error {
	select {
	case err := <-e.failed:
		return err
	case <-ctx.Done():
		return nil
	}
}

// Close stops the server and waits until its files are closed.
func (e *Embedded) Close(context.Context) {
	e.server.Shutdown()
	e.server.WaitForShutdown()
	_ = e.pulse.Close() // nothing was written to it
}

// slogger hands nats-server's log to slog. Without it every warning about
// damaged files would be lost. Traces, which carry payloads, are never on.
type slogger struct {
	l      *slog.Logger
	failed chan<- error
}

// failedWrite is what nats-server says when it gives up writing. Lines about clients
// begin with an address and quote what the client calls itself.
var failedWrite = regexp.MustCompile(`^(Filestore \[|JetStream (stream|consumer) '|File ?system ).*([Cc]ritical write error|disabling JetStream)`)

// watch passes the first failed write on.
func (s slogger) watch(text string) string {
	if failedWrite.MatchString(text) {
		select {
		case s.failed <- fmt.Errorf("nats-server: %s; a restart settles it", text):
		default: // not the first
		}
	}
	return text
}

func (s slogger) Noticef(f string, v ...any) { s.l.Debug(logText(f, v)) }
func (s slogger) Warnf(f string, v ...any)   { s.l.Warn(s.watch(logText(f, v))) }
func (s slogger) Fatalf(f string, v ...any)  { s.l.Error(logText(f, v)) }
func (s slogger) Errorf(f string, v ...any)  { s.l.Error(s.watch(logText(f, v))) }
func (s slogger) Debugf(f string, v ...any)  { s.l.Debug(logText(f, v)) }
func (s slogger) Tracef(string, ...any)      {}

// longDigits may be a phone number.
var longDigits = regexp.MustCompile(`[0-9]{7,}`)

// logText is what a line of nats-server says. A line about a refused client quotes
// the subject that the client chose, and somebody may put a number there. Other
// lines keep their digits: those about damaged files name sequences.
func logText(format string, v []any) string {
	text := fmt.Sprintf(format, v...)
	if strings.Contains(text, "Violation") {
		return longDigits.ReplaceAllString(text, "…")
	}
	return text
}
