package stream

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
)

// lines is a log whose lines somebody waits for.
type lines chan string

func (l lines) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}

// TestRefusedSubjectsKeepNumbersOutOfTheLog: a client may put a number into a
// subject. It is refused, and the log says so without the number.
func TestRefusedSubjectsKeepNumbersOutOfTheLog(t *testing.T) {
	log := make(lines, 1000)
	e, err := StartEmbedded(EmbeddedOptions{Dir: t.TempDir(), CipherKey: strings.Repeat("k", 32), Listen: "127.0.0.1:0",
		AdminKey: "secret", Logger: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close(t.Context()) })
	refused := make(chan error, 4)
	nc, err := nats.Connect(e.URL(), nats.UserInfo("admin", "secret"), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	if err := nc.Publish("consent.v1.check.12025550143", nil); err != nil {
		t.Fatal(err)
	}
	if err := <-refused; !errors.Is(err, nats.ErrPermissionViolation) {
		t.Errorf("refused with %v", err)
	}
	for line := range log {
		if strings.Contains(line, "Violation") {
			if strings.Contains(line, "5550143") {
				t.Errorf("the log says %q", line)
			}
			return
		}
	}
}

// TestWatchHearsFailedWrites, and no client that calls itself one.
func TestWatchHearsFailedWrites(t *testing.T) {
	for line, heard := range map[string]bool{
		"JetStream stream '$G > CONSENT_INTAKE' critical write error: no space left on device":                  true,
		"JetStream consumer '$G > CONSENT_INTAKE > worker' critical write error: input/output error":            true,
		"Filestore [CONSENT_LEDGER] Critical write error: input/output error":                                   true,
		"Filesystem permission denied while writing msg, disabling JetStream: permission denied":                true,
		"File system permission denied while writing, disabling JetStream":                                      true,
		"Filestore [CONSENT_LEDGER] Stream state outdated, last block has additional entries, will rebuild":     false,
		`127.0.0.1:4222 - cid:7 - "v1:go:JetStream stream 'x' critical write error" - authentication error`:     false,
		`127.0.0.1:4222 - cid:7 - "v1:go:Filestore [x] disabling JetStream" - Stale Client Connection, closing`: false,
	} {
		failed := make(chan error, 1)
		s := slogger{slog.New(slog.DiscardHandler), failed}
		s.Errorf("%s", line)
		s.Warnf("%s", line) // nobody listens any more: it must not wait
		if (len(failed) == 1) != heard {
			t.Errorf("%q is heard: %t", line, !heard)
		}
	}
}
