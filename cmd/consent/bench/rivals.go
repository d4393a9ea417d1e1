package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/consent-ledger/consent-ledger/consumers/scrub"
	"github.com/consent-ledger/consent-ledger/ledger/phone"
)

// rival prepares another way to find out which numbers are listed: it gives the
// route and what ends what was started for it.
func (b *scrubBench) rival(ctx context.Context, name string, listed iter.Seq[uint64]) (*route, func(), error) {
	switch name {
	case "redis":
		return b.redis(ctx, listed)
	case "postgres":
		return b.postgres(ctx, listed)
	case "sort":
		return b.sort(ctx, listed)
	}
	return nil, nil, usage("--against %q is not known; it takes redis, postgres, sort", name)
}

// findProgram finds a program of another package.
func findProgram(name, debian string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%s is not installed; on Debian: apt-get install %s", name, debian)
	}
	return path, nil
}

// ran runs a program to its end; what it said is in the error.
func ran(c *exec.Cmd) error {
	out, err := c.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(c.Path), err, out[:min(len(out), 500)])
	}
	return nil
}

// digitsOf appends the digits of E.164 of a number in a list; nothing if it cannot be read.
func digitsOf(dst []byte, raw string) []byte {
	n, err := phone.Parse(raw, "")
	if err != nil {
		return dst
	}
	return append(dst, n.E164[1:]...)
}

const (
	redisMembers  = 1000 // of one SMISMEMBER
	redisInFlight = 8    // commands sent and not answered
)

// redis holds the list in one set of a Redis of its own.
func (b *scrubBench) redis(ctx context.Context, listed iter.Seq[uint64]) (*route, func(), error) {
	path, err := findProgram("redis-server", "redis-server")
	if err != nil {
		return nil, nil, err
	}
	socket := filepath.Join(b.dir, "redis.sock")
	c := exec.CommandContext(ctx, path, "--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no", "--dir", b.dir)
	if err := c.Start(); err != nil {
		return nil, nil, err
	}
	stop := func() { _ = c.Process.Kill(); _ = c.Wait() } // it holds nothing that anybody wants
	conn, err := dialSoon(ctx, socket)
	if err != nil {
		stop()
		return nil, nil, err
	}
	r := &redisRoute{w: bufio.NewWriterSize(conn, 1<<20), r: bufio.NewReaderSize(conn, 1<<20)}
	if err := r.fill(listed); err != nil {
		stop()
		return nil, nil, fmt.Errorf("redis: %w", err)
	}
	run := func() error { return b.pass("redis.csv", "", r.listed) }
	return &route{name: "Redis SMISMEMBER, membership only", run: run, server: c.Process.Pid}, stop, nil
}

// dialSoon connects to a server that has just been started.
func dialSoon(ctx context.Context, socket string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
		if err == nil {
			return conn, nil
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return nil, err
		}
	}
}

// redisRoute speaks RESP with the commands that are needed here.
type redisRoute struct {
	w      *bufio.Writer
	r      *bufio.Reader
	number []byte
	cells  [][]byte
}

func (r *redisRoute) command(name string, members int) {
	fmt.Fprintf(r.w, "*%d\r\n$%d\r\n%s\r\n$3\r\ndnc\r\n", members+2, len(name), name)
}

func (r *redisRoute) member(digits []byte) {
	_ = r.w.WriteByte('$') // Flush repeats the error
	r.w.Write(strconv.AppendInt(r.w.AvailableBuffer(), int64(len(digits)), 10))
	_, _ = r.w.WriteString("\r\n")
	_, _ = r.w.Write(digits)
	_, _ = r.w.WriteString("\r\n")
}

// integer reads one answer: an integer, or the head of an array.
func (r *redisRoute) integer() (int, error) {
	line, err := r.r.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if line[0] != ':' && line[0] != '*' {
		return 0, fmt.Errorf("redis says %q", line)
	}
	return strconv.Atoi(strings.TrimSpace(string(line[1:])))
}

// fill adds the list, a command after another.
func (r *redisRoute) fill(listed iter.Seq[uint64]) error {
	var batch []uint64
	send := func() error {
		r.command("SADD", len(batch))
		for _, n := range batch {
			r.member(strconv.AppendUint(r.number[:0], n, 10))
		}
		batch = batch[:0]
		if err := r.w.Flush(); err != nil {
			return err
		}
		_, err := r.integer()
		return err
	}
	for n := range listed {
		if batch = append(batch, n); len(batch) < redisMembers {
			continue
		}
		if err := send(); err != nil {
			return err
		}
	}
	if len(batch) == 0 {
		return nil
	}
	return send()
}

var listedCells = [2][]byte{[]byte(",0"), []byte(",1")}

// listed gives each number's cell. Some commands are always under way.
func (r *redisRoute) listed(numbers []string) ([][]byte, error) {
	r.cells = r.cells[:0]
	var sizes []int // of the commands that are not answered
	for at := 0; at < len(numbers) || len(sizes) > 0; {
		for ; at < len(numbers) && len(sizes) < redisInFlight; at += sizes[len(sizes)-1] {
			part := numbers[at:min(at+redisMembers, len(numbers))]
			r.command("SMISMEMBER", len(part))
			for _, raw := range part {
				r.number = digitsOf(r.number[:0], raw)
				r.member(r.number)
			}
			sizes = append(sizes, len(part))
		}
		if err := r.w.Flush(); err != nil {
			return nil, err
		}
		if n, err := r.integer(); err != nil || n != sizes[0] {
			return nil, errors.Join(err, fmt.Errorf("redis: %d answers", n))
		}
		for range sizes[0] {
			is, err := r.integer()
			if err != nil {
				return nil, err
			}
			r.cells = append(r.cells, listedCells[is&1])
		}
		sizes = sizes[1:]
	}
	return r.cells, nil
}

// plainCalls writes the calling list as lines `digits,row` for tools that read no
// other form. Making it is not timed.
func (b *scrubBench) plainCalls() (path string, err error) {
	path = filepath.Join(b.dir, "calls.txt")
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	w, row, line := bufio.NewWriterSize(f, 1<<20), 0, []byte(nil)
	in, err := os.Open(b.calls())
	if err != nil {
		return "", errors.Join(err, f.Close())
	}
	defer in.Close()
	_, err = scrub.Limit(in, io.Discard, "", func(numbers []string) ([][]byte, error) {
		cells := make([][]byte, len(numbers))
		for _, raw := range numbers {
			line = strconv.AppendInt(append(digitsOf(line[:0], raw), ','), int64(row), 10)
			_, _ = w.Write(append(line, '\n')) // Flush repeats the error
			row++
		}
		return cells, nil
	})
	return path, errors.Join(err, w.Flush(), f.Close())
}

// plainList writes the national list as lines of digits, sorted.
func (b *scrubBench) plainList(listed iter.Seq[uint64]) (path string, err error) {
	path = filepath.Join(b.dir, "listed.txt")
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	for n := range listed {
		_, _ = w.Write(append(strconv.AppendUint(w.AvailableBuffer(), n, 10), '\n')) // Flush repeats the error
	}
	return path, errors.Join(w.Flush(), f.Close())
}

// sort sorts the numbers and joins them with the sorted list.
func (b *scrubBench) sort(ctx context.Context, listed iter.Seq[uint64]) (*route, func(), error) {
	for _, name := range []string{"sort", "join"} {
		if _, err := findProgram(name, "coreutils"); err != nil {
			return nil, nil, err
		}
	}
	list, err := b.plainList(listed)
	if err != nil {
		return nil, nil, err
	}
	calls, err := b.plainCalls()
	if err != nil {
		return nil, nil, err
	}
	return &route{name: "sort and join, membership only", run: func() error {
		c := exec.CommandContext(ctx, "sh", "-c", `sort --parallel=2 -S 1G -t, -k1,1 "$1" | join -t, -a 1 -o 1.1,1.2,2.1 - "$2" > "$3"`, "sh", calls, list, filepath.Join(b.dir, "joined.txt"))
		c.Env = append(os.Environ(), "LC_ALL=C", "TMPDIR="+b.dir)
		return ran(c)
	}}, func() {}, nil
}

// postgres holds the list in an indexed table of a PostgreSQL of its own.
func (b *scrubBench) postgres(ctx context.Context, listed iter.Seq[uint64]) (*route, func(), error) {
	initdb, err := findPostgres("initdb")
	if err != nil {
		return nil, nil, err
	}
	server, err := findPostgres("postgres")
	if err != nil {
		return nil, nil, err
	}
	psql, err := findProgram("psql", "postgresql")
	if err != nil {
		return nil, nil, err
	}
	list, err := b.plainList(listed)
	if err != nil {
		return nil, nil, err
	}
	calls, err := b.plainCalls()
	if err != nil {
		return nil, nil, err
	}
	dir := filepath.Join(b.dir, "postgres")
	as, err := asPostgres(dir)
	if err != nil {
		return nil, nil, err
	}
	if err := ran(as(exec.CommandContext(ctx, initdb, "-D", dir, "-A", "trust", "-U", "bench", "--no-sync"))); err != nil {
		return nil, nil, err
	}
	c := as(exec.CommandContext(ctx, server, "-D", dir, "-k", dir, "-c", "listen_addresses=", "-c", "fsync=off", "-c", "shared_buffers=1GB", "-c", "work_mem=512MB", "-c", "max_wal_size=8GB"))
	if err := c.Start(); err != nil {
		return nil, nil, err
	}
	stop := func() { _ = c.Process.Signal(syscall.SIGQUIT); _ = c.Wait() } // it holds nothing that anybody wants
	conn, err := dialSoon(ctx, filepath.Join(dir, ".s.PGSQL.5432"))
	if err != nil {
		stop()
		return nil, nil, err
	}
	_ = conn.Close()                 // it was only to see whether somebody answers
	sql := func(text string) error { // psql itself waits for a server that is starting
		return ran(exec.CommandContext(ctx, psql, "-h", dir, "-U", "bench", "-v", "ON_ERROR_STOP=1", "-q", "-d", "postgres", "-c", text))
	}
	copyIn := func(table, path string) error {
		return ran(exec.CommandContext(ctx, psql, "-h", dir, "-U", "bench", "-q", "-d", "postgres", "-c", `\copy `+table+` from '`+path+`' csv`))
	}
	err = errors.Join(soon(ctx, func() error { return sql("create table dnc (number bigint)") }), copyIn("dnc", list), sql("alter table dnc add primary key (number); analyze dnc"))
	if err != nil {
		stop()
		return nil, nil, err
	}
	return &route{name: "PostgreSQL, membership only", server: c.Process.Pid, run: func() error {
		return errors.Join(sql("drop table if exists calls; create unlogged table calls (number bigint, row int)"), copyIn("calls", calls),
			ran(exec.CommandContext(ctx, psql, "-h", dir, "-U", "bench", "-q", "-d", "postgres", "-c",
				`\copy (select c.row, d.number is not null from calls c left join dnc d using (number)) to '`+filepath.Join(b.dir, "answers.csv")+`' csv`)))
	}}, stop, nil
}

// soon tries until a server that is starting has started.
func soon(ctx context.Context, do func() error) (err error) {
	for range 200 {
		if err = do(); err == nil {
			return nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return err
}

// findPostgres finds a program of the server, which Debian keeps off the path.
func findPostgres(name string) (string, error) {
	if there, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name); len(there) > 0 {
		return there[len(there)-1], nil
	}
	return findProgram(name, "postgresql")
}

// asPostgres makes the server's folder and runs programs as its owner: PostgreSQL
// refuses to run as root.
func asPostgres(dir string) (func(*exec.Cmd) *exec.Cmd, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	if os.Geteuid() != 0 {
		return func(c *exec.Cmd) *exec.Cmd { return c }, nil
	}
	who, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("%w; on Debian: apt-get install postgresql", err)
	}
	uid, err1 := strconv.Atoi(who.Uid)
	gid, err2 := strconv.Atoi(who.Gid)
	// The folder above is this process's alone; the server must get to its own.
	if err := errors.Join(err1, err2, os.Chown(dir, uid, gid), os.Chmod(filepath.Dir(dir), 0o711)); err != nil {
		return nil, err
	}
	return func(c *exec.Cmd) *exec.Cmd {
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
		c.Dir = dir
		return c
	}, nil
}
