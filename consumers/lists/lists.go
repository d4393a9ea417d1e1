// Package lists hands a registry's files, such as the national Do-Not-Call list, to
// a ledger's server: `consent import registry` and the benchmarks do it by this.
package lists

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"connectrpc.com/connect"

	"github.com/consent-ledger/consent-ledger/consumers/client"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// List is one version of a registry's list, in files.
type List struct {
	Registry    string
	VersionDate string                  // YYYY-MM-DD; empty: from the first file's name
	Licensees   []string                // sellers; empty: all
	Plan        *consentv1.RegistryPlan // how it is to be read; nil: as the registry writes its lists
	Paths       []string
	Submitted   []string // what was sent to a washing service whose answer Paths are
}

// Show begins to show how far a stage is: what is a past participle, total is in
// bytes. Both functions are called by one goroutine.
type Show func(what string, total int64) (to func(done int64), finish func())

// chunkBytes is how much of a file travels in a message.
const chunkBytes = 1 << 20

// readingEvery is how often the server is asked how far it is.
const readingEvery = 500 * time.Millisecond

// file is one to be sent.
type file struct {
	path  string
	about *consentv1.RegistryFile
	size  int64
}

// Send hands a list over and waits until checks use it. What the server has from a
// try that broke off is not sent again: files are known by their content. After an
// error the version of before serves on; sending again is always safe.
func Send(ctx context.Context, cl *client.Client, list *List, show Show) (*consentv1.LoadRegistryResponse, error) {
	files, total, err := list.files()
	if err != nil {
		return nil, err
	}
	if err := hash(files, total, show); err != nil {
		return nil, err
	}
	if err := resume(ctx, cl, list.Registry, files); err != nil {
		return nil, err
	}
	return send(ctx, cl, files, total, show)
}

func (l *List) files() (files []*file, total int64, err error) {
	add := func(path string, submitted bool) error {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		about := &consentv1.RegistryFile{Registry: l.Registry, VersionDate: l.VersionDate, Licensees: l.Licensees,
			Name: filepath.Base(path), Submitted: submitted}
		if len(files) == 0 {
			about.Plan = cmp.Or(l.Plan, new(consentv1.RegistryPlan))
		}
		files, total = append(files, &file{path, about, info.Size()}), total+info.Size()
		return nil
	}
	for _, path := range l.Paths {
		if err := add(path, false); err != nil {
			return nil, 0, err
		}
	}
	for _, path := range l.Submitted {
		if err := add(path, true); err != nil {
			return nil, 0, err
		}
	}
	return files, total, nil
}

// hash names the files by their content: what arrives must be what was there when
// the import began.
func hash(files []*file, total int64, show Show) error {
	to, finish := show("examined", total)
	defer finish()
	done := int64(0)
	for _, f := range files {
		r, err := os.Open(f.path)
		if err != nil {
			return err
		}
		sum := sha256.New()
		n, err := io.Copy(sum, &tellingReader{r, func(n int) { done += int64(n); to(done) }})
		if err := errors.Join(err, r.Close()); err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(f.path), err)
		}
		f.size, f.about.Sha256 = n, sum.Sum(nil)
	}
	return nil
}

type tellingReader struct {
	io.Reader
	tell func(n int)
}

func (r *tellingReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.tell(n)
	return n, err
}

// resume asks what of the files the server has from an import that broke off.
func resume(ctx context.Context, cl *client.Client, registry string, files []*file) error {
	req := &consentv1.GetRegistryLoadRequest{Registry: registry}
	for _, f := range files {
		req.Sha256 = append(req.Sha256, f.about.GetSha256())
	}
	res, err := cl.Ledger.GetRegistryLoad(ctx, connect.NewRequest(req))
	if err != nil {
		return err
	}
	for i, f := range files {
		if i < len(res.Msg.GetStaged()) && int64(res.Msg.GetStaged()[i]) <= f.size {
			f.about.Offset = res.Msg.GetStaged()[i]
		}
	}
	return nil
}

// send hands the files over and waits until they are loaded.
func send(ctx context.Context, cl *client.Client, files []*file, total int64, show Show) (*consentv1.LoadRegistryResponse, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream := cl.Ledger.LoadRegistry(ctx)
	to, finish := show("sent", total)
	sent := int64(0)
	for _, f := range files {
		sent += int64(f.about.GetOffset())
		err := sendFile(f, func(req *consentv1.LoadRegistryRequest) error {
			sent += int64(len(req.GetChunk()))
			to(sent)
			return stream.Send(req)
		})
		if errors.Is(err, io.EOF) {
			break // the answer says why
		}
		if err != nil {
			return nil, err
		}
	}
	finish()
	var res *connect.Response[consentv1.LoadRegistryResponse]
	ended := make(chan error, 1)
	go func() {
		var err error
		res, err = stream.CloseAndReceive()
		ended <- err
	}()
	if err := showReading(ctx, cl, files[0].about.GetRegistry(), total, ended, show); err != nil {
		return nil, err
	}
	return res.Msg, nil
}

// showReading shows how far the server is with the files until it has ended.
func showReading(ctx context.Context, cl *client.Client, registry string, total int64, ended <-chan error, show Show) error {
	to, finish := show("read", total)
	defer finish()
	tick := time.NewTicker(readingEvery)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			return err
		case <-tick.C:
			res, err := cl.Ledger.GetRegistryLoad(ctx, connect.NewRequest(&consentv1.GetRegistryLoadRequest{Registry: registry}))
			if err == nil && res.Msg.GetLoading() { // that nobody knows how far it is stops nothing
				to(int64(res.Msg.GetBytesRead()))
			}
		}
	}
}

// sendFile sends a file from its offset on; an empty one still sends its description.
func sendFile(f *file, send func(*consentv1.LoadRegistryRequest) error) error {
	r, err := os.Open(f.path)
	if err != nil {
		return err
	}
	defer r.Close()
	if _, err := r.Seek(int64(f.about.GetOffset()), io.SeekStart); err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(f.path), err)
	}
	about, buf := f.about, make([]byte, chunkBytes)
	for {
		n, err := io.ReadFull(r, buf)
		if n > 0 || about != nil {
			if serr := send(&consentv1.LoadRegistryRequest{File: about, Chunk: buf[:n]}); serr != nil {
				return serr
			}
			about = nil
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(f.path), err)
		}
	}
}
