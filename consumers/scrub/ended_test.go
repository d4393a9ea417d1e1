package scrub

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/consent-ledger/consent-ledger/consumers/client"
)

// ends is a server that ends the stream, as if all were answered, after some messages.
func ends(messages int) *server {
	return &server{before: func(n int) error {
		if n == messages {
			return io.EOF
		}
		return nil
	}}
}

// heard gives options that gather what is said.
func heard(o Options) (Options, *string) {
	said := new(string)
	o.Say = func(text string) { *said += text + "\n" }
	return o, said
}

// TestServerEndsEarly: a server that ends the stream before the last row is one that
// is not there; what is written is told, and the same call goes on behind it.
func TestServerEndsEarly(t *testing.T) {
	want, _ := scrubbed(t, &server{}, manyRows(400), options())
	for _, messages := range []int{0, 1, 39} {
		in := write(t, "in.csv", manyRows(400))
		out := in + ".out"
		o, said := heard(options())
		if _, err := Files(t.Context(), ends(messages).serve(t), in, out, o); !errors.Is(err, client.ErrNotReady) {
			t.Fatalf("after %d messages: %v", messages, err)
		}
		if told := strings.Contains(*said, "0 rows are kept in "+out+".part; the same command goes on"); told != (messages > 0) {
			t.Errorf("after %d messages it says %q", messages, *said)
		}
		again := &server{}
		if _, err := Files(t.Context(), again.serve(t), in, out, options()); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, read(t, out)); diff != "" {
			t.Error(diff)
		}
		if again.numbers != 400-10*messages {
			t.Errorf("after %d messages %d numbers were asked about again", messages, again.numbers)
		}
	}
}

// TestServerEndsEarlyOnStreams: what cannot be gone on with is told to begin anew.
func TestServerEndsEarlyOnStreams(t *testing.T) {
	in := write(t, "in.csv", manyRows(400))
	o, said := heard(options())
	var out bytes.Buffer
	o.Stdout = &out
	if _, err := Files(t.Context(), ends(7).serve(t), in, Standard, o); !errors.Is(err, client.ErrNotReady) {
		t.Fatal(err)
	}
	if !strings.Contains(*said, "70 rows were written") || strings.Count(out.String(), "\n") != 71 {
		t.Errorf("%q, %d lines", *said, strings.Count(out.String(), "\n"))
	}
	o, said = heard(options())
	o.Stdin = strings.NewReader(manyRows(400))
	if _, err := Files(t.Context(), ends(7).serve(t), Standard, in+".out", o); !errors.Is(err, client.ErrNotReady) {
		t.Fatal(err)
	}
	if !strings.Contains(*said, "70 rows were answered, and none is kept") {
		t.Errorf("%q", *said)
	}
}

// TestOntoWhatIsNoFile: what would be replaced and is no file, or is the list itself
// under any name, is refused and left as it is.
func TestOntoWhatIsNoFile(t *testing.T) {
	list := manyRows(40)
	in := write(t, "in.csv", list)
	dir := filepath.Dir(in)
	pipe, link, hard := filepath.Join(dir, "pipe"), filepath.Join(dir, "link"), filepath.Join(dir, "x.csv.part")
	if err := errors.Join(syscall.Mkfifo(pipe, 0o600), os.Symlink(in, link), os.Link(in, hard)); err != nil {
		t.Fatal(err)
	}
	for _, out := range []string{dir, pipe, link, filepath.Join(dir, "x.csv"), os.DevNull} {
		o := options()
		o.Restart = true
		var refused *ListError
		if _, err := Files(t.Context(), (&server{}).serve(t), in, out, o); !errors.As(err, &refused) {
			t.Errorf("%s: %v", filepath.Base(out), err)
		}
	}
	to, err := os.OpenFile(in, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	o := options()
	o.Stdout = to
	if _, err := Files(t.Context(), (&server{}).serve(t), in, Standard, o); !errors.Is(err, errOntoItself) {
		t.Errorf("appended to itself: %v", err)
	}
	if read(t, in) != list {
		t.Error("the list is not what it was")
	}
}

// TestTheWrongColumn: that most rows have no number is told with the column's name.
func TestTheWrongColumn(t *testing.T) {
	in := write(t, "in.csv", manyRows(40))
	for column, told := range map[string]bool{"id": true, "phone": false} {
		o, said := heard(options())
		o.Column = column
		if _, err := Files(t.Context(), (&server{}).serve(t), in, in+".out", o); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(*said, `40 of 40 rows have no number that can be read in column "id"`); got != told {
			t.Errorf("column %s: %q", column, *said)
		}
	}
}

// TestListThatGrows: a list that is written to while it is read is told.
func TestListThatGrows(t *testing.T) {
	in := write(t, "in.csv", manyRows(400))
	o, said := heard(options())
	s := &server{before: func(n int) error {
		if n == 1 {
			f, err := os.OpenFile(in, os.O_WRONLY|os.O_APPEND, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteString("400,+12025550100\n")
			return errors.Join(err, f.Close())
		}
		return nil
	}}
	if _, err := Files(t.Context(), s.serve(t), in, in+".out", o); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(*said, "was written to while it was read") {
		t.Errorf("%q", *said)
	}
}

// fullDiskIn names, for a process of its own, the list that it scrubs where no file may grow beyond
// fullDiskRoom bytes: the limit holds for a whole process, and Go's own test log is a file too.
const (
	fullDiskIn   = "CONSENT_TEST_FULL_DISK"
	fullDiskRoom = 4000
)

// TestFullDisk: after a write that failed it goes on behind what was told to be kept.
func TestFullDisk(t *testing.T) {
	if in := os.Getenv(fullDiskIn); in != "" {
		scrubWithoutRoom(t, in)
	}
	want, _ := scrubbed(t, &server{}, manyRows(400), options())
	in := write(t, "in.csv", manyRows(400))
	out := in + ".out"
	c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFullDisk$")
	c.Env = append(os.Environ(), fullDiskIn+"="+in)
	said, err := c.CombinedOutput()
	if err != nil || !strings.Contains(string(said), "rows are kept") {
		t.Fatalf("%v: %s", err, said)
	}
	kept := strings.Count(read(t, out+".part"), "\n") - 1
	kept -= kept % 10 // whole batches
	again := &server{}
	if _, err := Files(t.Context(), again.serve(t), in, out, options()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, read(t, out)); diff != "" {
		t.Error(diff)
	}
	if asked := 400 - again.numbers; kept == 0 || asked != kept {
		t.Errorf("it goes on behind %d rows of %d", asked, kept)
	}
}

// scrubWithoutRoom is the process that is ended by it: with 0 if the disk was full.
func scrubWithoutRoom(t *testing.T, in string) {
	limit := syscall.Rlimit{Cur: fullDiskRoom, Max: fullDiskRoom}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	o, said := heard(options())
	_, err := Files(t.Context(), (&server{}).serve(t), in, in+".out", o)
	fmt.Println(*said, err)
	if !errors.Is(err, syscall.EFBIG) {
		os.Exit(1)
	}
	os.Exit(0)
}
