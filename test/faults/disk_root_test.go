//go:build rootfault

package faults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/consent-ledger/consent-ledger/consumers/client"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// disk is an ext4 of its own in a file, mounted by loop.
type disk struct {
	t           *testing.T
	image, path string
	mounted     bool
}

// newDisk makes and mounts one of so many MiB.
func newDisk(t *testing.T, mib int) *disk {
	t.Helper()
	root := t.TempDir()
	d := &disk{t: t, image: filepath.Join(root, "image"), path: filepath.Join(root, "disk")}
	if err := os.Mkdir(d.path, 0o700); err != nil {
		t.Fatal(err)
	}
	must(t, "truncate", "-s", fmt.Sprintf("%dM", mib), d.image)
	must(t, "mkfs.ext4", "-q", "-F", "-m", "0", d.image)
	d.mount()
	t.Cleanup(func() {
		if d.mounted {
			d.unmount()
		}
	})
	return d
}

func must(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

func (d *disk) mount() {
	d.t.Helper()
	must(d.t, "mount", "-o", "loop,errors=remount-ro", d.image, d.path)
	d.mounted = true
}

// unmount waits for the last file to be closed.
func (d *disk) unmount() {
	d.t.Helper()
	var out []byte
	var err error
	for range 100 {
		if out, err = exec.Command("umount", d.path).CombinedOutput(); err == nil {
			d.mounted = false
			return
		}
		<-time.After(20 * time.Millisecond)
	}
	d.t.Errorf("umount: %v\n%s", err, out)
}

// check lets the file system mend itself, as a boot does.
func (d *disk) check() {
	d.t.Helper()
	out, err := exec.Command("e2fsck", "-p", "-f", d.image).CombinedOutput()
	var code *exec.ExitError
	if err != nil && (!errors.As(err, &code) || code.ExitCode() != 1) { // 1: errors were corrected
		d.t.Fatalf("e2fsck: %v\n%s", err, out)
	}
}

// ballast fills the disk but for so many bytes and gives the file's path.
func (d *disk) ballast(leave int64) string {
	d.t.Helper()
	free := d.free()
	path := filepath.Join(d.path, "ballast")
	must(d.t, "fallocate", "-l", fmt.Sprint(free-leave), path)
	return path
}

func (d *disk) free() int64 {
	d.t.Helper()
	out, err := exec.Command("df", "-B1", "--output=avail", d.path).Output()
	if err != nil {
		d.t.Fatal(err)
	}
	var free int64
	if _, err := fmt.Sscan(strings.Fields(string(out))[1], &free); err != nil {
		d.t.Fatal(err)
	}
	return free
}

// onDisk makes a ledger on a disk, with receipts handed out.
func onDisk(t *testing.T, mib int) (*disk, *server, *book) {
	t.Helper()
	d := newDisk(t, mib)
	dir := filepath.Join(d.path, "ledger")
	initLedger(t, dir)
	b, s := newBook(t), serve(t, dir)
	b.must(s, seller())
	for i := range 20 {
		b.must(s, grant(fmt.Sprint("before-", i), number(i), i))
	}
	return d, s, b
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

// TestFullDisk fills the ledger's disk under load. A process that cannot start for
// lack of room says so and harms nothing.
func TestFullDisk(t *testing.T) {
	for _, leave := range []int64{256 << 10, 8 << 20} {
		t.Run(fmt.Sprintf("%d KiB left", leave>>10), func(t *testing.T) {
			d, s, b := onDisk(t, 256)
			ballast := d.ballast(leave)
			press(t, s, b)
			ends(t, s)
			full := launch(t, s.dir)
			select { // it may end, or serve what it has
			case <-full.ended:
			case <-time.After(3 * time.Second):
				t.Logf("a start on a full disk neither ends nor answers: %.2000s", full.stderr)
			}
			full.kill()
			t.Logf("%.600s", lastLine(full))
			if err := os.Remove(ballast); err != nil {
				t.Fatal(err)
			}
			after(t, s.dir, b)
			d.unmount()
		})
	}
}

// TestFailingDisk aborts the file system under load, as the kernel does after a
// write error: from then on it is read-only.
func TestFailingDisk(t *testing.T) {
	d, s, b := onDisk(t, 512)
	var callers sync.WaitGroup
	callers.Go(func() { press(t, s, b) })
	before := b.count()
	until(t, startLimit, "receipts", func(context.Context) bool { return b.count() > before+200 })
	must(t, "mount", "-o", "remount,abort", d.path)
	callers.Wait()
	ends(t, s)
	refusedOn := launch(t, s.dir)
	if code := refusedOn.exit(startLimit); code != 1 {
		t.Errorf("a start on a read-only disk ends with %d", code)
	}
	t.Log(lastLine(refusedOn))
	d.unmount()
	d.check()
	d.mount()
	after(t, s.dir, b)
	d.unmount()
}
