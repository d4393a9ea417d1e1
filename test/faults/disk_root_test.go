//go:build rootfault

package faults

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// disk is an ext4 of its own in a file, mounted by loop.
type disk struct {
	t           *testing.T
	image, path string
	mounted     bool
	ballast     string // on the file system that holds the image, see newThinDisk
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
	d.use()
	return d
}

// use mounts a disk until the test ends.
func (d *disk) use() {
	d.t.Helper()
	d.mount()
	d.t.Cleanup(func() {
		if d.mounted {
			d.unmount()
		}
	})
}

// Sizes of a thin disk, in MiB.
const (
	thinDisk  = 512 // what it says it has
	thinStore = 128 // what there is
	thinMeta  = 32  // its journal and all its tables end before here
)

// newThinDisk makes a disk that can break: its image has holes and lies on a small
// tmpfs. Once that is full, whatever the device has never written before fails with
// an I/O error of the device. The journal and the tables have their place from the
// beginning, so the file system lives on and its fsync tells the truth; see
// TestDyingFileSystem for one that does not.
func newThinDisk(t *testing.T) *disk {
	t.Helper()
	root := t.TempDir()
	store := filepath.Join(root, "store")
	d := &disk{t: t, image: filepath.Join(store, "image"), path: filepath.Join(root, "disk"), ballast: filepath.Join(store, "ballast")}
	for _, dir := range []string{store, d.path} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	must(t, "mount", "-t", "tmpfs", "-o", fmt.Sprintf("size=%dm", thinStore), "thin", store)
	t.Cleanup(func() { must(t, "umount", store) })
	must(t, "truncate", "-s", fmt.Sprintf("%dM", thinDisk), d.image)
	must(t, "mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^resize_inode", "-E", "packed_meta_blocks=1,lazy_itable_init=0,lazy_journal_init=0,nodiscard", d.image)
	must(t, "fallocate", "-l", fmt.Sprintf("%dM", thinMeta), d.image)
	d.use()
	return d
}

// breaks lets no new block be written any more. What is written now has its place.
func (d *disk) breaks() {
	d.t.Helper()
	must(d.t, "sync", "-f", d.path)
	f, err := os.Create(d.ballast)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	zeros := make([]byte, 64<<10)
	for err == nil {
		_, err = f.Write(zeros)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		d.t.Fatal(err)
	}
}

// heals lets blocks be written again.
func (d *disk) heals() {
	d.t.Helper()
	if err := os.Remove(d.ballast); err != nil {
		d.t.Fatal(err)
	}
}

// losesPower: what the kernel holds and the device does not is gone. Nobody may be
// waiting for an fsync, see TestDyingFileSystem.
func (d *disk) losesPower() {
	d.t.Helper()
	must(d.t, "mount", "-o", "remount,abort", d.path)
	d.unmount()
}

// boots mounts as a machine does when it comes back.
func (d *disk) boots() {
	d.t.Helper()
	d.check()
	d.mount()
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
	if d.ballast != "" {
		d.smallRequests()
	}
}

// smallRequests has the loop device write one page at a time. It takes a write that
// its file took in part for a whole one: of larger requests it would say that they
// are done, and fsync with it, when only their first pages found room.
func (d *disk) smallRequests() {
	d.t.Helper()
	out, err := exec.Command("losetup", "--noheadings", "--output", "NAME", "--associated", d.image).Output()
	if err != nil {
		d.t.Fatal(err)
	}
	limit := filepath.Join("/sys/block", filepath.Base(strings.TrimSpace(string(out))), "queue/max_sectors_kb")
	was, err := os.ReadFile(limit)
	if err != nil {
		d.t.Fatal(err)
	}
	set := func(kib []byte) {
		if err := os.WriteFile(limit, kib, 0); err != nil {
			d.t.Error(err)
		}
	}
	set([]byte("4"))
	d.t.Cleanup(func() { set(was) }) // whoever has the device next would inherit it
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

// fill fills the disk but for so many bytes and gives the path of the file that does.
func (d *disk) fill(leave int64) string {
	d.t.Helper()
	free := d.free()
	path := filepath.Join(d.path, "filler")
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
func onDisk(t *testing.T, d *disk) (*server, *book) {
	t.Helper()
	dir := filepath.Join(d.path, "ledger")
	initLedger(t, dir)
	b, s := newBook(t), serve(t, dir)
	b.must(s, seller())
	for i := range 20 {
		b.must(s, grant(fmt.Sprint("before-", i), number(i), i))
	}
	return s, b
}

// TestFullDisk fills the ledger's disk under load. A process that cannot start for
// lack of room says so and harms nothing.
func TestFullDisk(t *testing.T) {
	for _, leave := range []int64{256 << 10, 8 << 20} {
		t.Run(fmt.Sprintf("%d KiB left", leave>>10), func(t *testing.T) {
			d := newDisk(t, 256)
			s, b := onDisk(t, d)
			filler := d.fill(leave)
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
			if err := os.Remove(filler); err != nil {
				t.Fatal(err)
			}
			after(t, s.dir, b)
			d.unmount()
		})
	}
}

// TestDyingFileSystem aborts the file system under load, as the kernel does when it
// cannot write its journal: from then on it is read-only.
//
// This is where fsync lies. An fsync that waits while the journal is aborted may
// return 0 although its transaction was thrown away: it looks for the transaction,
// finds it neither running nor being committed, and takes it for done (ext4 on Linux
// 6.18, in about every third run of this test; XFS does the like when it shuts down).
// A program of twenty lines that appends and syncs loses records so. The ledger
// believes an fsync only after the file system has shown that it still lives: see
// stream.Pulse.
func TestDyingFileSystem(t *testing.T) {
	d := newDisk(t, 512)
	s, b := onDisk(t, d)
	pressUntil(t, s, b, func() { must(t, "mount", "-o", "remount,abort", d.path) })
	refusedOn := launch(t, s.dir)
	if code := refusedOn.exit(startLimit); code != 1 {
		t.Errorf("a start on a read-only disk ends with %d", code)
	}
	t.Log(lastLine(refusedOn))
	d.unmount()
	d.boots()
	after(t, s.dir, b)
	d.unmount()
}

// TestFailingDisk: the device fails to write new blocks, under load, and the file
// system lives on. Then the power goes.
func TestFailingDisk(t *testing.T) {
	d := newThinDisk(t)
	s, b := onDisk(t, d)
	pressUntil(t, s, b, d.breaks)
	d.losesPower()
	d.heals()
	d.boots()
	after(t, s.dir, b)
	d.unmount()
}

// TestMendedDisk: the device fails and is mended while the file system stays
// mounted. The kernel now shows messages that it could not write, and counts them as
// written. Receipts for them, and for what stands behind them, must outlive the power
// all the same.
func TestMendedDisk(t *testing.T) {
	d := newThinDisk(t)
	s, b := onDisk(t, d)
	pressUntil(t, s, b, d.breaks)
	d.heals()
	s = serve(t, s.dir)
	b.verify(s, nil)
	b.retry(s)
	s.kill()
	d.losesPower()
	d.boots()
	after(t, s.dir, b)
	d.unmount()
}
