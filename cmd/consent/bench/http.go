package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	"github.com/consent-ledger/consent-ledger/node"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
	"github.com/consent-ledger/consent-ledger/proto/gen/consent/v1/consentv1connect"
)

// httpRate is the bar's load: the checks a second that all of India's telemarketing needs.
const httpRate = 15_400

// httpQuestions is how many questions a client has at hand; httpLook is at how many of
// its answers it looks more closely: one of so many.
const (
	httpQuestions = 1 << 14
	httpLook      = 64
)

// httpLoad is what a client in a process of its own is to do. It comes and its result
// goes as JSON, over standard input and output, because it holds the key.
type httpLoad struct {
	Server, Key string
	Persons     int
	At          time.Time
	Connections int
	Seconds     float64
	// Rate is how many checks are due a second, whether or not those before are
	// answered; 0: each connection asks again as soon as it is answered.
	Rate float64
}

// httpResult is what became of it.
type httpResult struct {
	Rate float64
	// P50, P99 and Max are from when a check was due to the end of its answer: what
	// waits for a connection waits within it, so nothing is left out. At rate 0 it is due
	// when it is sent.
	P50, P99, Max time.Duration
	// Late is the p99 of how long after it was due a check was sent: the client's own
	// clock, and checks that waited for a connection.
	Late    time.Duration
	Checks  int
	Allowed float64 // of the answers looked at
}

// overHTTP measures checks over HTTP/1.1, a connection for each caller, from a client
// in a process of its own: paced at the bar's rate, and as fast as it goes.
func (b *checkBench) overHTTP(ctx context.Context, n *node.Node) error {
	for _, side := range []struct {
		name string
		rate float64
	}{{fmt.Sprintf("over HTTP, paced at %d/s (bar: p99 5 ms)", httpRate), httpRate}, {"over HTTP, as fast as it goes", 0}} {
		l := httpLoad{Server: n.URL(), Key: n.AdminKey(), Persons: b.persons.n, At: openHours(time.Now()), Connections: b.connections,
			Seconds: b.flags.seconds, Rate: side.rate}
		var last httpResult
		m, err := rounds(b.flags, func(int) (m measured, err error) {
			used := processorTime()
			if last, err = l.inProcess(ctx, b.stderr); err != nil {
				return m, err
			}
			return measured{Rate: last.Rate, P50: last.P50, P99: last.P99, Cost: (processorTime() - used) / time.Duration(max(1, last.Checks))}, nil
		})
		if err != nil {
			return err
		}
		report(b.out, fmt.Sprintf("%s, %d connections", side.name, l.Connections), m)
		b.say("  processor is the server's alone; of the last round: slowest %s, sent late by at most %s (p99), %.1f%% ALLOW", last.Max.Round(time.Microsecond),
			last.Late.Round(time.Microsecond), 100*last.Allowed)
	}
	return nil
}

// inProcess lets this program's own client do it, in a process of its own.
func (l *httpLoad) inProcess(ctx context.Context, stderr io.Writer) (out httpResult, err error) {
	self, err := os.Executable()
	if err != nil {
		return out, err
	}
	spec, err := json.Marshal(l)
	if err != nil {
		return out, err
	}
	var result bytes.Buffer
	c := exec.CommandContext(ctx, self, "bench", "check-client")
	c.Stdin, c.Stdout, c.Stderr = bytes.NewReader(spec), &result, stderr
	if err := c.Run(); err != nil {
		return out, fmt.Errorf("the client: %w", err)
	}
	return out, json.Unmarshal(result.Bytes(), &out)
}

// benchCheckClientCommand is the client's end of it, which nobody calls by hand.
func benchCheckClientCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "check-client",
		Short:  "The client of bench check, in a process of its own",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var l httpLoad
			if err := json.NewDecoder(c.InOrStdin()).Decode(&l); err != nil {
				return err
			}
			out, err := l.run()
			if err != nil {
				return err
			}
			return json.NewEncoder(c.OutOrStdout()).Encode(out)
		},
	}
}

// requests are the questions as they go over the wire. A client of a few lines costs
// little of the processor that it shares with the server it measures.
func (l *httpLoad) requests() ([][]byte, error) {
	u, err := url.Parse(l.Server)
	if err != nil {
		return nil, err
	}
	b := checkBench{persons: newMadePersons(l.Persons)}
	ask, out := b.asker(), make([][]byte, httpQuestions)
	for i := range out {
		body, err := proto.Marshal(ask(rand.IntN(2*l.Persons), l.At))
		if err != nil {
			return nil, err
		}
		out[i] = fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/proto\r\nConnect-Protocol-Version: 1\r\nAuthorization: "+
			"Bearer %s\r\nContent-Length: %d\r\n\r\n%s",
			consentv1connect.DecisionServiceCheckProcedure, u.Host, l.Key, len(body), body)
	}
	return out, nil
}

// run does it.
func (l *httpLoad) run() (httpResult, error) {
	requests, err := l.requests()
	if err != nil {
		return httpResult{}, err
	}
	callers := make([]*httpCaller, l.Connections)
	for i := range callers {
		if callers[i], err = dialCaller(l.Server); err != nil {
			return httpResult{}, err
		}
		defer callers[i].conn.Close()
		if err := callers[i].check(requests[i%len(requests)]); err != nil { // the server knows the connection and the key
			return httpResult{}, err
		}
		callers[i].looked, callers[i].allowed = 0, 0
	}
	all := int64(l.Rate * l.Seconds)
	length := time.Duration(l.Seconds * float64(time.Second))
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, len(callers))
	begin := time.Now()
	for c, caller := range callers {
		wg.Go(func() {
			for errs[c] == nil {
				i, due := next.Add(1)-1, time.Now()
				if l.Rate > 0 {
					if i >= all {
						return
					}
					due = begin.Add(time.Duration(float64(i) / l.Rate * float64(time.Second)))
					time.Sleep(time.Until(due))
				} else if due.Sub(begin) >= length {
					return
				}
				sent := time.Now()
				errs[c] = caller.check(requests[int(i)%len(requests)])
				caller.took, caller.late = append(caller.took, time.Since(due)), append(caller.late, sent.Sub(due))
			}
		})
	}
	wg.Wait()
	return resultOf(callers, time.Since(begin)), errors.Join(errs...)
}

func resultOf(callers []*httpCaller, elapsed time.Duration) httpResult {
	var took, late []time.Duration
	looked, allowed := 0, 0
	for _, c := range callers {
		took, late = append(took, c.took...), append(late, c.late...)
		looked, allowed = looked+c.looked, allowed+c.allowed
	}
	m, l := measure(took, elapsed), measure(late, elapsed)
	out := httpResult{Rate: m.Rate, P50: m.P50, P99: m.P99, Late: l.P99, Checks: len(took), Allowed: float64(allowed) / float64(max(1, looked))}
	if len(took) > 0 {
		out.Max = slices.Max(took)
	}
	return out
}

// httpCaller asks one check after another over one connection.
type httpCaller struct {
	conn net.Conn
	in   *bufio.Reader
	body []byte

	took, late      []time.Duration
	asked           int
	looked, allowed int
}

func dialCaller(server string) (*httpCaller, error) {
	u, err := url.Parse(server)
	if err != nil {
		return nil, err
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		return nil, err
	}
	return &httpCaller{conn: conn, in: bufio.NewReaderSize(conn, 8<<10)}, nil
}

// check asks and reads the whole answer. Anything but an answer is an error.
func (c *httpCaller) check(request []byte) error {
	if _, err := c.conn.Write(request); err != nil {
		return err
	}
	status, err := c.in.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(status, []byte("HTTP/1.1 200 ")) {
		return fmt.Errorf("the server answers %q", bytes.TrimSpace(status))
	}
	length, chunked := -1, false
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if line = bytes.TrimSpace(line); len(line) == 0 {
			break
		}
		switch name, value, _ := bytes.Cut(line, []byte(": ")); {
		case bytes.EqualFold(name, []byte("content-length")):
			if length, err = strconv.Atoi(string(value)); err != nil {
				return err
			}
		case bytes.EqualFold(name, []byte("transfer-encoding")):
			chunked = string(value) == "chunked"
		}
	}
	if err := c.read(length, chunked); err != nil {
		return err
	}
	return c.look()
}

// read reads the body, into memory that is there: a collector in the client would be
// measured as the server's.
func (c *httpCaller) read(length int, chunked bool) error {
	c.body = c.body[:0]
	if !chunked {
		if length < 0 {
			return errors.New("the server does not say how long its answer is")
		}
		return c.append(length)
	}
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		n, err := strconv.ParseUint(string(bytes.TrimSpace(line)), 16, 24)
		if err != nil {
			return err
		}
		if err := c.append(int(n)); err != nil {
			return err
		}
		if _, err := c.in.ReadSlice('\n'); err != nil || n == 0 {
			return err
		}
	}
}

func (c *httpCaller) append(n int) error {
	begin := len(c.body)
	c.body = slices.Grow(c.body, n)[:begin+n]
	_, err := io.ReadFull(c.in, c.body[begin:])
	return err
}

// look reads an answer now and then: a fast refusal is no decision.
func (c *httpCaller) look() error {
	if c.asked++; c.asked%httpLook != 0 {
		return nil
	}
	var res consentv1.CheckResponse
	if err := proto.Unmarshal(c.body, &res); err != nil {
		return err
	}
	c.looked++
	switch v := res.GetDecision().GetVerdict(); v {
	case consentv1.Verdict_VERDICT_ALLOW:
		c.allowed++
	case consentv1.Verdict_VERDICT_BLOCK:
	default:
		return fmt.Errorf("the server answers with the verdict %v", v)
	}
	return nil
}
