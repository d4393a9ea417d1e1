package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// stopKinds are recorded whatever their form (promise 10: no stop is lost to a
// formality), unlike the kinds that permit or describe.
var stopKinds = []string{"consent_revoked", "dnc_added", "inbound_message"}

// setStop sets the fields of a stop. A value that cannot be read leaves its field
// empty, which means all, or now, or what the server makes of the words; the text
// is kept in unread. Without a number the server puts it into the inbox.
func setStop(fact *consentv1.Fact, body protoreflect.Message, pairs []string, stderr io.Writer) {
	var odd, widened []string
	for _, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		if err := setField(fact.ProtoReflect(), body, name, value); err != nil {
			odd = append(odd, pair)
			clearField(fact.ProtoReflect(), body, name)
			widened = append(widened, name)
			fmt.Fprintf(stderr, "consent: %s; the stop is recorded without it, and the text is kept\n", masked(err.Error()))
		}
	}
	for _, name := range widened { // a later pair of the same name narrows nothing
		clearField(fact.ProtoReflect(), body, name)
	}
	if fact.GetUnread() != "" {
		odd = slices.Insert(odd, 0, fact.GetUnread())
	}
	fact.Unread = strings.Join(odd, "\n")
}

// clearField empties a field that may hold half of what was said; all but the
// number, whose first word counts.
func clearField(fact, body protoreflect.Message, name string) {
	m, fd := findField(fact, body, name)
	if fd == nil && shortcuts[name] != "" {
		m, fd = findField(fact, body, shortcuts[name])
	}
	if fd != nil && fd.Name() != "number" && fd.Name() != "source" {
		m.Clear(fd)
	}
}
