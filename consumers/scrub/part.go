package scrub

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"google.golang.org/protobuf/proto"
)

const (
	// partFormat changes when what is written does.
	partFormat = 1
	// checkpointEvery is how much work an interrupted scrub does again at most.
	checkpointEvery = 2 * time.Second
	// resumeMax is how old the first answers of a scrub may be when it is gone on
	// with: a yes ages.
	resumeMax = time.Hour
	// partEnding follows the output's name while it is not whole.
	partEnding = ".part"
)

// part is what is done of a scrub into a file: OUT.part, and OUT.part.json, which
// says how much of it is good and how much of the list that was. After a crash
// OUT.part may hold more, which is cut off, or less or something else (the disk was lost
// with the power), which the checksum shows. It belongs to the one who writes.
type part struct {
	run   *run
	out   string
	file  *os.File
	keeps bool // the list can be read again, so there is something to go on with
	known *checkpoint

	frames *frames
	bytes  int64 // in the file
	sum    uint32
	begun  time.Time
	saved  time.Time // last checkpoint
	done   position  // of the last whole batch
	kept   int       // rows that it goes on behind
	torn   error     // why the file may end within a batch; nil: it does not
}

// position is a place in the list, behind a row.
type position struct {
	Bytes int64  `json:"bytes"`
	Lines int    `json:"lines"`
	Sum   uint32 `json:"crc32c"`
}

// checkpoint is OUT.part.json.
type checkpoint struct {
	Format  int               `json:"format"`
	Begun   time.Time         `json:"begun"`
	Options map[string]string `json:"options"`
	List    position          `json:"list"`
	Bytes   int64             `json:"bytes"` // of OUT.part that are good
	Sum     uint32            `json:"crc32c"`
	Summary *Summary          `json:"summary"`
}

var errOtherList = errors.New("the list is not the one that was scrubbed before: its beginning differs")

// again says how a scrub that cannot be gone on with is begun anew.
const again = "begin anew with --restart"

// openPart opens what is done of a scrub, or begins one.
func openPart(out string, r *run, keeps bool) (*part, error) {
	p := &part{run: r, out: out, keeps: keeps, begun: time.Now().UTC().Round(0)}
	_, err := os.Stat(p.path())
	there := err == nil
	if p.file, err = os.OpenFile(p.path(), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, err
	}
	fail := func(err error) (*part, error) { return nil, errors.Join(err, p.file.Close()) }
	if err := syscall.Flock(int(p.file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fail(fmt.Errorf("%s: another scrub is writing it", p.path()))
	}
	p.frames = newFrames(out, p.raw())
	if !there || r.Restart {
		return p, nil
	}
	if p.known, err = p.load(); err != nil {
		return fail(err)
	}
	return p, nil
}

func (p *part) path() string      { return p.out + partEnding }
func (p *part) statePath() string { return p.path() + ".json" }
func (p *part) resumed() bool     { return p.known != nil }

// load reads what is known of a part and refuses what does not fit.
func (p *part) load() (*checkpoint, error) {
	refuse := func(why string) (*checkpoint, error) {
		return nil, &ListError{Problem: p.path() + " is there and cannot be gone on with: " + why, Fix: again}
	}
	raw, err := os.ReadFile(p.statePath())
	if errors.Is(err, fs.ErrNotExist) {
		return refuse("nothing says what it is")
	}
	if err != nil {
		return nil, err
	}
	k := &checkpoint{Summary: newSummary()}
	if err := json.Unmarshal(raw, k); err != nil || k.Format != partFormat {
		return refuse("it was written by another version")
	}
	if !p.keeps {
		return refuse("the list comes from standard input now")
	}
	options := p.options()
	for _, name := range slices.Sorted(maps.Keys(options)) {
		if k.Options[name] != options[name] {
			return refuse("it was begun with another " + name)
		}
	}
	if age := time.Since(k.Begun); age > resumeMax || age < 0 {
		return refuse("its first answers are of " + k.Begun.Format(time.RFC3339) + ", and a yes ages")
	}
	return k, nil
}

// options are what must be the same to go on.
func (p *part) options() map[string]string {
	r := p.run
	question, _ := proto.MarshalOptions{Deterministic: true}.Marshal(r.Question) // a message of texts and numbers
	return map[string]string{"question": fmt.Sprintf("%x", question), "default region": r.Region, "column": r.Column, "server": r.Server,
		"--neutralise-formulas": strconv.FormatBool(r.Neutralise), "set of columns": strings.Join(columns, ",")}
}

// begin writes the header.
func (p *part) begin(header *batch) error {
	if err := p.file.Truncate(0); err != nil {
		return err
	}
	if err := p.run.writeHeader(header); err != nil {
		return err
	}
	p.done = positionAfter(header)
	return p.checkpoint()
}

func positionAfter(b *batch) position { return position{b.bytes, b.lines, b.sum} }

// resume goes on behind the last good row, if the list and what was written are
// what they were.
func (p *part) resume(header *batch) error {
	k := p.known
	refuse := func(why error) error {
		return &ListError{Problem: "the scrub into " + p.out + " cannot be gone on with: " + why.Error(), Fix: again}
	}
	if positionAfter(header).Bytes > k.List.Bytes {
		return refuse(errOtherList)
	}
	if err := p.run.list.skip(k.List.Bytes, k.List.Lines, k.List.Sum); errors.Is(err, errOtherList) {
		return refuse(err)
	} else if err != nil {
		return err
	}
	sum := crc32.New(castagnoli)
	if n, err := io.CopyN(sum, p.file, k.Bytes); err != nil && !errors.Is(err, io.EOF) {
		return err
	} else if n != k.Bytes || sum.Sum32() != k.Sum {
		return refuse(fmt.Errorf("%s is not what was written", p.path()))
	}
	if err := p.file.Truncate(k.Bytes); err != nil {
		return err
	}
	p.bytes, p.sum, p.begun, p.done, p.saved = k.Bytes, k.Sum, k.Begun, k.List, time.Now()
	*p.run.sum = *k.Summary
	p.run.sum.ResumedAt, p.kept = k.Summary.Rows, k.Summary.Rows
	p.run.Say(fmt.Sprintf("going on behind row %d, where the scrub of %s broke off", k.Summary.Rows, k.Begun.Format(time.RFC3339)))
	return nil
}

// Write writes rows.
func (p *part) Write(b []byte) (int, error) {
	n, err := p.frames.Write(b)
	if err != nil {
		p.torn = err
	}
	return n, err
}

// raw writes to the file and notes what is there.
func (p *part) raw() io.Writer {
	return pieces{writerFunc(func(b []byte) (int, error) {
		n, err := p.file.WriteAt(b, p.bytes)
		p.bytes, p.sum = p.bytes+int64(n), crc32.Update(p.sum, castagnoli, b[:n])
		return n, err
	})}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// batchWritten notes a batch that is whole in the file.
func (p *part) batchWritten(b *batch) error {
	if p.done = positionAfter(b); time.Since(p.saved) < p.run.checkpoints {
		return nil
	}
	return p.checkpoint()
}

// checkpoint says how much is good. The disk is not waited for: a checksum shows
// what it lost.
func (p *part) checkpoint() error {
	p.run.answers.settle(p.run.sum)
	if !p.keeps {
		return nil
	}
	if err := p.frames.cut(); err != nil {
		p.torn = err
		return err
	}
	raw, err := json.MarshalIndent(checkpoint{partFormat, p.begun, p.options(), p.done, p.bytes, p.sum, p.run.sum}, "", "  ")
	if err != nil {
		return err
	}
	next := p.statePath() + ".new"
	if err := os.WriteFile(next, raw, 0o600); err != nil {
		return err
	}
	p.saved = time.Now()
	if err := os.Rename(next, p.statePath()); err != nil {
		return err
	}
	p.kept = p.run.sum.Rows
	return nil
}

// end makes the part the output, or keeps it to be gone on with.
func (p *part) end(failed error) error {
	if failed == nil {
		if failed = p.finish(); failed == nil {
			return errors.Join(removeAll(p.statePath()), p.file.Close())
		}
		p.torn = failed
	}
	return errors.Join(failed, p.keep(failed), p.file.Close())
}

// finish makes the part the output.
func (p *part) finish() error {
	if err := p.frames.cut(); err != nil {
		return err
	}
	if err := p.file.Sync(); err != nil {
		return err
	}
	return os.Rename(p.path(), p.out)
}

// keep keeps what is done, if there is something and it can be gone on with, and says
// how to go on.
func (p *part) keep(failed error) error {
	var list *ListError
	switch {
	case errors.As(failed, &list) && p.bytes == 0:
		return nil // what is there belongs to an earlier scrub
	case !p.keeps:
		if rows := p.run.sum.Rows; rows > 0 {
			p.run.Say(fmt.Sprintf("%d rows were answered, and none is kept: a list from standard input cannot be read again. Put it into a file first, and "+
				"a scrub that breaks off goes on", rows))
		}
		return removeAll(p.path(), p.statePath())
	case p.run.sum.Rows == 0 && !p.resumed():
		return removeAll(p.path(), p.statePath())
	case p.torn == nil && !p.run.writing:
		if err := p.checkpoint(); err != nil {
			return err
		}
	}
	p.run.Say(fmt.Sprintf("%d rows are kept in %s; the same command goes on behind them for an hour", p.kept, p.path()))
	return nil
}

func removeAll(paths ...string) (err error) {
	for _, path := range paths {
		if gone := os.Remove(path); gone != nil && !errors.Is(gone, fs.ErrNotExist) {
			err = errors.Join(err, gone)
		}
	}
	return err
}
