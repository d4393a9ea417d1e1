package faults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"connectrpc.com/connect"
	"github.com/nats-io/nats.go"

	"github.com/consent-ledger/consent-ledger/consumers/client"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// failWrites lets no file of a running process grow any more, or lets all again.
func failWrites(t *testing.T, s *server) {
	t.Helper()
	limit := syscall.Rlimit{Cur: 1, Max: 1}
	if _, _, err := syscall.RawSyscall6(syscall.SYS_PRLIMIT64, uintptr(s.cmd.Process.Pid), syscall.RLIMIT_FSIZE, uintptr(unsafe.Pointer(&limit)), 0, 0, 0); err != 0 {
		t.Fatal(err)
	}
}

// press records from several callers until each hears that it cannot be done.
// What they hear must never be anything but a receipt, UNCERTAIN, NOT_READY or
// a broken connection.
func press(t *testing.T, s *server, b *book) {
	var callers sync.WaitGroup
	words := strings.Repeat("please stop calling me ", 150)
	for caller := range 4 {
		callers.Go(func() {
			for i := 0; ; i++ {
				f := stopped(fmt.Sprintf("press-%d-%d", caller, i), number(caller*100+i))
				f.GetConsentRevoked().Words = fmt.Sprint(i, words)
				if err := b.record(t.Context(), s.client, f); err != nil {
					onlyDoubt(t, err)
					return
				}
			}
		})
	}
	callers.Go(func() {
		sender := s.client.NewSender(t.Context(), client.SenderOptions{})
		defer sender.Close()
		for k := 0; ; k++ {
			var batch []*consentv1.Fact
			for i := range 100 {
				batch = append(batch, grant(fmt.Sprintf("press-b-%d-%d", k, i), number(k*100+i), i))
			}
			b.send(batch...)
			outcomes, err := sender.Send(t.Context(), batch)
			if err != nil {
				onlyDoubt(t, err)
				return
			}
			b.keepOutcomes(batch, outcomes)
			for _, o := range outcomes {
				if r := o.GetRefusal(); r != nil {
					onlyDoubt(t, client.RefusalError(r))
					return
				}
			}
		}
	})
	callers.Wait()
}

// onlyDoubt: the caller may not have been told that a fact is refused.
func onlyDoubt(t *testing.T, err error) {
	for _, ok := range []error{client.ErrUncertain, client.ErrNotReady, client.ErrUnreachable} {
		if errors.Is(err, ok) {
			return
		}
	}
	if connect.IsWireError(err) { // the server's own word
		t.Errorf("a caller hears %v", err)
	}
}

// after restarts on a disk that works again: everything acknowledged is there.
func after(t *testing.T, dir string, b *book) {
	t.Helper()
	s := serve(t, dir)
	b.verify(s, nil)
	b.retry(s)
	b.readAll(s)
	folded(t, s, b)
}

// ends demands that the process has ended by itself, with exit code 1, and that
// it never allowed anything meanwhile that it should not.
func ends(t *testing.T, s *server) {
	t.Helper()
	if code := s.exit(20 * time.Second); code != 1 {
		t.Errorf("exit code %d, want 1:\n%s", code, s.stderr)
	}
	t.Log(lastLine(s))
}

// pressUntil presses, and does something once receipts come: it returns when no
// caller is left. The process must then end.
func pressUntil(t *testing.T, s *server, b *book, disaster func()) {
	t.Helper()
	var callers sync.WaitGroup
	callers.Go(func() { press(t, s, b) })
	before := b.count()
	until(t, startLimit, "receipts", func(context.Context) bool { return b.count() > before+200 })
	disaster()
	callers.Wait()
	ends(t, s)
}

// TestFailedWrites: no file takes another byte. Under load, and when the only thing to
// be written is a message of the intake, which no part of ours would miss.
func TestFailedWrites(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ledger")
	initLedger(t, dir)
	b, s := newBook(t), serve(t, dir)
	b.must(s, seller())
	t.Run("under load", func(t *testing.T) {
		pressUntil(t, s, b, func() { failWrites(t, s) })
		after(t, dir, b)
	})
	t.Run("in the intake", func(t *testing.T) {
		s := serve(t, dir)
		s.applied()
		key, err := os.ReadFile(filepath.Join(dir, "admin.key"))
		if err != nil {
			t.Fatal(err)
		}
		nc, err := nats.Connect(s.natsURL(), nats.UserInfo("admin", strings.TrimSpace(string(key))), nats.NoReconnect())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		failWrites(t, s)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if m, err := nc.RequestWithContext(ctx, "consent.v1.intake.faults", []byte(`{"fact":{"number":"+12025550143","consentRevoked":{"words":"stop"}}}`)); err == nil {
			t.Errorf("the intake took it: %s", m.Data)
		}
		ends(t, s)
		after(t, dir, b)
	})
}
