package scripts

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rogpeppe/go-internal/testscript"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// cmdPost is curl: post [-nokey] PATH FILE writes the status and the body.
func cmdPost(ts *testscript.TestScript, neg bool, args []string) {
	keyed := true
	if len(args) > 0 && args[0] == "-nokey" {
		keyed, args = false, args[1:]
	}
	if neg || len(args) != 2 {
		ts.Fatalf("usage: post [-nokey] PATH FILE")
	}
	fetch(ts, http.MethodPost, args[0], expand(ts, args[1]), keyed)
}

// cmdGet is curl: get PATH, without a key.
func cmdGet(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: get PATH")
	}
	fetch(ts, http.MethodGet, args[0], "", false)
}

func fetch(ts *testscript.TestScript, method, path, body string, keyed bool) {
	req, err := http.NewRequest(method, ts.Getenv("CONSENT_SERVER")+path, strings.NewReader(body))
	ts.Check(err)
	req.Header.Set("Content-Type", "application/json")
	if keyed {
		req.Header.Set("Authorization", "Bearer "+adminKey(ts))
	}
	c := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := c.Do(req)
	ts.Check(err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	ts.Check(err)
	fmt.Fprintf(ts.Stdout(), "%d %s\n", res.StatusCode, text)
}

func adminKey(ts *testscript.TestScript) string {
	key, err := os.ReadFile(ts.Getenv("CONSENT_KEY_FILE"))
	ts.Check(err)
	return strings.TrimSpace(string(key))
}

// expand reads a file in which $ANN and the like stand for numbers.
func expand(ts *testscript.TestScript, file string) string {
	text := ts.ReadFile(file)
	for name, number := range numbers {
		text = strings.ReplaceAll(text, "$"+name, number)
	}
	return text
}

// cmdNATS is the nats program, with the admin's password:
//
//	nats pub SUBJECT FILE [HEADER:VALUE]…   publish and wait for JetStream's acknowledgement
//	nats pubproto SUBJECT FILE              the same, an IntakeBatch written as JSON, sent as protobuf
//	nats req SUBJECT FILE                   ask a service or JetStream; FILE - for nothing
//
// Answers go to stdout. With ! it must fail, and stderr says how.
func cmdNATS(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 3 {
		ts.Fatalf("usage: nats pub|pubproto|req SUBJECT FILE")
	}
	answer, err := askNATS(ts, args[0], args[1], args[2], args[3:])
	if neg {
		if err == nil {
			ts.Fatalf("it was not refused: %s", answer)
		}
		fmt.Fprintln(ts.Stderr(), err)
		return
	}
	ts.Check(err)
	fmt.Fprintf(ts.Stdout(), "%s\n", answer)
}

func askNATS(ts *testscript.TestScript, verb, subject, file string, headers []string) ([]byte, error) {
	refused := make(chan error, 8)
	nc, err := nats.Connect("nats://"+ts.Getenv("NATS_LISTEN"), nats.UserInfo("admin", adminKey(ts)), nats.NoReconnect(),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			select {
			case refused <- err:
			default: // the first ones say enough
			}
		}))
	ts.Check(err)
	defer nc.Close()
	m := nats.NewMsg(subject)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ":")
		m.Header.Set(name, value)
	}
	if file != "-" {
		m.Data = []byte(expand(ts, file))
	}
	if verb == "pubproto" {
		batch := &consentv1.IntakeBatch{}
		ts.Check(protojson.Unmarshal(m.Data, batch))
		m.Data, err = proto.Marshal(batch)
		ts.Check(err)
	}
	return request(nc, m, refused)
}

// request asks, and ends at once if the server refuses the subject.
func request(nc *nats.Conn, m *nats.Msg, refused <-chan error) ([]byte, error) {
	answers := make(chan *nats.Msg, 1)
	m.Reply = nc.NewRespInbox()
	sub, err := nc.ChanSubscribe(m.Reply, answers)
	if err != nil {
		return nil, err
	}
	defer sub.Unsubscribe() //nolint:errcheck // the connection ends with it
	if err := nc.PublishMsg(m); err != nil {
		return nil, err
	}
	select {
	case a := <-answers:
		return a.Data, serviceError(a)
	case err := <-refused:
		return nil, err
	case <-time.After(patience):
		return nil, nats.ErrTimeout
	}
}

// serviceError is what a NATS service or JetStream itself refuses with.
func serviceError(m *nats.Msg) error {
	if code := m.Header.Get("Nats-Service-Error-Code"); code != "" {
		return fmt.Errorf("%s %s", code, m.Header.Get("Nats-Service-Error"))
	}
	if m.Header.Get("Status") == "503" {
		return nats.ErrNoResponders
	}
	return nil
}

// cmdOrder says in plain words what a subscriber heard: order FILE writes for each
// line whose state it is and what changed it.
func cmdOrder(ts *testscript.TestScript, _ bool, args []string) {
	names := map[string]string{}
	for name, number := range numbers {
		names[number] = name
	}
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		var e struct {
			Update *struct{ Number, Cause string }
		}
		ts.Check(json.Unmarshal([]byte(line), &e))
		switch {
		case e.Update == nil:
			fmt.Fprintln(ts.Stdout(), "end of the snapshot")
		case e.Update.Cause == "":
			fmt.Fprintln(ts.Stdout(), names[e.Update.Number], "in the snapshot")
		default:
			fmt.Fprintln(ts.Stdout(), names[e.Update.Number], e.Update.Cause)
		}
	}
}
