package main

import (
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

func recordCommand(g *globals) *cobra.Command {
	c := &cobra.Command{
		Use:   "record KIND field=value…",
		Short: "Record any other fact",
		Long: `Record any other fact, by the names of the contract (proto/consent/v1/fact.proto).

A field is sought in the fact itself, then in its kind, then in the kind's scope
and evidence; a.b names one outright. Lists are separated by ; . Times are RFC 3339
or dates, messages JSON. Of a stop (` + strings.Join(stopKinds, ", ") + `) what cannot
be read means everything, is kept as unread, and said. Kinds: ` + strings.Join(kindNames(), ", ") + `.`,
		Example: `  consent record wrong_party_reported number=+12025550143 method=agent
  consent record inbound_message number=+12025550143 body='pls quit texting me' channel=sms
  consent record relationship_recorded number=+12025550143 seller=acme relationship=purchase occurred_at=2026-03-01
  consent record party_number number=+12025550143 party=C-1042
  consent record time_consent number=+12025550143 seller=acme weekdays=7 occurred_at=2026-03-01
  consent record emergency_declared area=US-NY-061 from=2026-11-20T12:00:00Z reporting=true
  consent record preference_set number=+12025550143 seller=acme 'windows=[{"fromMinute":540,"toMinute":1020}]'`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			fact, err := buildFact(args[0], args[1:], c.ErrOrStderr())
			if err != nil {
				return usageError(err)
			}
			return g.recordOne(c, fact, false)
		},
	}
	c.AddCommand(recordAttemptCommand(g))
	return c
}

// kindOneof is the oneof whose fields are the kinds.
func kindOneof() protoreflect.OneofDescriptor {
	return (&consentv1.Fact{}).ProtoReflect().Descriptor().Oneofs().ByName("kind")
}

func kindNames() []string {
	fields := kindOneof().Fields()
	out := make([]string, fields.Len())
	for i := range out {
		out[i] = string(fields.Get(i).Name())
	}
	return out
}

// buildFact makes a fact from field=value pairs. What it had to guess of a stop is
// said on stderr.
func buildFact(kind string, pairs []string, stderr io.Writer) (*consentv1.Fact, error) {
	kd := kindOneof().Fields().ByName(protoreflect.Name(kind))
	if kd == nil {
		return nil, unknownWord("KIND", kind, append(kindNames(), "attempt"))
	}
	fact := &consentv1.Fact{Source: sourceDefault}
	body := fact.ProtoReflect().Mutable(kd).Message()
	if slices.Contains(stopKinds, kind) {
		setStop(fact, body, pairs, stderr)
		return fact, nil
	}
	for i, pair := range pairs {
		name, value, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, fmt.Errorf("argument %d after the kind, %q, is no field=value", i+1, safe(name))
		}
		if err := setField(fact.ProtoReflect(), body, name, value); err != nil {
			return nil, err
		}
	}
	return fact, nil
}

// shortcuts are the names CSV files use for fields that are lists in the contract.
var shortcuts = map[string]string{"seller": "sellers", "channel": "channels", "purpose": "purposes", "programme": "programmes"}

// setField sets one field of a fact. It never repeats the value in an error: it
// could be a phone number.
func setField(fact, body protoreflect.Message, name, value string) error {
	m, fd := findField(fact, body, name)
	if fd == nil && shortcuts[name] != "" {
		m, fd = findField(fact, body, shortcuts[name])
	}
	if fd == nil {
		known := fieldNames(fact, body)
		hint := "the fields are: " + strings.Join(known, ", ")
		if near := nearest(name, known); near != "" {
			hint = "did you mean " + near + "?"
		}
		return &hinted{fmt.Errorf("%s has no field %q", body.Descriptor().Name(), safe(name)), hint}
	}
	if m.Has(fd) && name != "source" {
		return fmt.Errorf("%s is set twice", name)
	}
	if isTime(fd) {
		return setTime(m, fd, value)
	}
	if fd.IsList() && fd.Message() == nil {
		for part := range strings.SplitSeq(value, ";") {
			v, err := scalar(fd, strings.TrimSpace(part))
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			m.Mutable(fd).List().Append(v)
		}
		return nil
	}
	if fd.Message() != nil {
		return setJSON(m, fd, name, value)
	}
	v, err := scalar(fd, value)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	m.Set(fd, v)
	return nil
}

// setTime sets an instant, or the field beside it for dates (occurred_on).
func setTime(m protoreflect.Message, fd protoreflect.FieldDescriptor, value string) error {
	at, on := moment(value)
	if at != nil {
		m.Set(fd, protoreflect.ValueOfMessage(at.ProtoReflect()))
		return nil
	}
	beside := m.Descriptor().Fields().ByName(protoreflect.Name(strings.TrimSuffix(string(fd.Name()), "_at") + "_on"))
	if beside == nil || beside == fd {
		return fmt.Errorf("%s: is no instant; write it like 2026-03-01T09:30:00Z", fd.Name())
	}
	m.Set(beside, protoreflect.ValueOfString(on))
	return nil
}

// setJSON sets a message, or a list of them, from JSON.
func setJSON(m protoreflect.Message, fd protoreflect.FieldDescriptor, name, value string) error {
	holder := m.Type().New()
	doc := fmt.Sprintf(`{%q:%s}`, fd.JSONName(), value)
	if err := protojson.Unmarshal([]byte(doc), holder.Interface()); err != nil {
		return fmt.Errorf("%s: is no JSON of %s", name, fd.Message().Name())
	}
	proto.Merge(m.Interface(), holder.Interface())
	return nil
}

// findField seeks a field where the help says. The message it is in is made only
// if the field exists.
func findField(fact, body protoreflect.Message, name string) (protoreflect.Message, protoreflect.FieldDescriptor) {
	if outer, inner, ok := strings.Cut(name, "."); ok {
		for _, m := range []protoreflect.Message{body, fact} {
			fd := m.Descriptor().Fields().ByName(protoreflect.Name(outer))
			if fd != nil && fd.Message() != nil && !fd.IsList() && fd.Message().Fields().ByName(protoreflect.Name(inner)) != nil {
				in := m.Mutable(fd).Message()
				return in, in.Descriptor().Fields().ByName(protoreflect.Name(inner))
			}
		}
		return nil, nil
	}
	for _, m := range []protoreflect.Message{fact, body} {
		if fd := m.Descriptor().Fields().ByName(protoreflect.Name(name)); fd != nil && fd.ContainingOneof() != kindOneof() {
			return m, fd
		}
	}
	for _, part := range []protoreflect.Name{"scope", "evidence"} {
		if pd := body.Descriptor().Fields().ByName(part); pd != nil {
			if fd := pd.Message().Fields().ByName(protoreflect.Name(name)); fd != nil {
				return body.Mutable(pd).Message(), fd
			}
		}
	}
	return nil, nil
}

// fieldNames lists what findField finds.
func fieldNames(fact, body protoreflect.Message) []string {
	var out []string
	add := func(md protoreflect.MessageDescriptor) {
		for i := range md.Fields().Len() {
			fd := md.Fields().Get(i)
			if fd.ContainingOneof() == kindOneof() || slices.Contains([]protoreflect.Name{"scope", "evidence", "earliest", "latest", "unassigned"}, fd.Name()) {
				continue
			}
			if !slices.Contains(out, string(fd.Name())) {
				out = append(out, string(fd.Name()))
			}
		}
	}
	add(body.Descriptor())
	for _, part := range []protoreflect.Name{"scope", "evidence"} {
		if pd := body.Descriptor().Fields().ByName(part); pd != nil {
			add(pd.Message())
		}
	}
	add(fact.Descriptor())
	return out
}

// scalar reads one value.
func scalar(fd protoreflect.FieldDescriptor, text string) (protoreflect.Value, error) {
	switch fd.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(text), nil
	case protoreflect.BoolKind:
		b, err := strconv.ParseBool(strings.NewReplacer("yes", "true", "no", "false").Replace(strings.ToLower(text)))
		if err != nil {
			return protoreflect.Value{}, fmt.Errorf("is neither true nor false")
		}
		return protoreflect.ValueOfBool(b), nil
	case protoreflect.EnumKind:
		n, ok := numberOf(fd.Enum(), text)
		if !ok {
			return protoreflect.Value{}, fmt.Errorf("is not known; use one of: %s", strings.Join(words(fd.Enum()), ", "))
		}
		return protoreflect.ValueOfEnum(n), nil
	case protoreflect.BytesKind:
		b, err := hex.DecodeString(text)
		if err != nil {
			return protoreflect.Value{}, fmt.Errorf("is not hexadecimal")
		}
		return protoreflect.ValueOfBytes(b), nil
	case protoreflect.Uint32Kind:
		n, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			return protoreflect.Value{}, fmt.Errorf("is no whole number")
		}
		return protoreflect.ValueOfUint32(uint32(n)), nil
	case protoreflect.Uint64Kind:
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return protoreflect.Value{}, fmt.Errorf("is no whole number")
		}
		return protoreflect.ValueOfUint64(n), nil
	}
	return protoreflect.Value{}, fmt.Errorf("cannot be set here")
}
