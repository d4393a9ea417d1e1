package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// storedTypes are the messages that are stored or sent, by their names.
func storedTypes() []proto.Message {
	return []proto.Message{
		&consentv1.Entry{}, &consentv1.Commit{}, &consentv1.Fact{}, &consentv1.WrappedKeys{}, &consentv1.SuppressionState{},
		&consentv1.FeedBatch{}, &consentv1.FeedUpdate{}, &consentv1.StoredInboxItem{}, &consentv1.IntakeBatch{},
		&consentv1.RecordRequest{}, &consentv1.Receipt{}, &consentv1.Decision{}, &consentv1.AttemptBatch{},
	}
}

func decodeCommand(g *globals) *cobra.Command {
	var typeName, encoding string
	c := &cobra.Command{
		Use:   "decode",
		Short: "Stored bytes on standard input become JSON; needs no server",
		Long: `Stored bytes on standard input become JSON; needs no server and no key. What is
sealed stays sealed. The entries of a Commit are decoded too.`,
		Example: `  nats stream get CONSENT_LEDGER 17 --json | jq -r .data | consent decode --type Commit --in base64
  consent receipt 4711 -o json | jq -r .entry | consent decode --in base64`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := g.checkOutput(); err != nil {
				return err
			}
			m, err := storedType(typeName)
			if err != nil {
				return err
			}
			raw, err := io.ReadAll(c.InOrStdin())
			if err != nil {
				return err
			}
			if raw, err = decodeText(raw, encoding); err != nil {
				return err
			}
			doc, err := decodeJSON(m, raw)
			if err != nil {
				return err
			}
			return g.document(c.OutOrStdout(), doc)
		},
	}
	var names []string
	for _, m := range storedTypes() {
		names = append(names, string(m.ProtoReflect().Descriptor().Name()))
	}
	c.Flags().StringVar(&typeName, "type", "Entry", strings.Join(names, ", "))
	c.Flags().StringVar(&encoding, "in", "binary", "how the input is written: binary, hex, base64")
	return c
}

func storedType(name string) (proto.Message, error) {
	var names []string
	for _, m := range storedTypes() {
		full := m.ProtoReflect().Descriptor().FullName()
		if strings.EqualFold(name, string(full.Name())) || protoreflect.FullName(name) == full {
			return m, nil
		}
		names = append(names, string(full.Name()))
	}
	return nil, unknownWord("--type", name, names)
}

func decodeText(raw []byte, encoding string) (out []byte, err error) {
	switch encoding {
	case "binary":
		return raw, nil
	case "hex":
		out, err = hex.DecodeString(string(bytes.TrimSpace(raw)))
	case "base64":
		out, err = base64.StdEncoding.DecodeString(string(bytes.TrimSpace(raw)))
	default:
		return nil, usagef("--in %q is not known; it takes binary, hex or base64", encoding)
	}
	if err != nil {
		return nil, fmt.Errorf("the input is not %s: %w", encoding, err)
	}
	return out, nil
}

// decodeJSON decodes a message. Bytes of another type often decode too, into
// fields nobody knows: that is an error.
func decodeJSON(m proto.Message, raw []byte) ([]byte, error) {
	if err := proto.Unmarshal(raw, m); err != nil {
		return nil, fmt.Errorf("the input is no %s: %w", m.ProtoReflect().Descriptor().Name(), err)
	}
	if len(raw) == 0 || len(m.ProtoReflect().GetUnknown()) > 0 {
		return nil, &hinted{fmt.Errorf("the input is no %s of this version", m.ProtoReflect().Descriptor().Name()), "name another type with --type"}
	}
	commit, ok := m.(*consentv1.Commit)
	if !ok {
		return messageJSON(m), nil
	}
	out := struct {
		FirstPosition uint64    `json:"firstPosition"`
		Entries       []rawJSON `json:"entries"`
	}{FirstPosition: commit.GetFirstPosition(), Entries: []rawJSON{}}
	for i, entry := range commit.GetEntries() {
		e := &consentv1.Entry{}
		if err := proto.Unmarshal(entry, e); err != nil {
			return nil, fmt.Errorf("entry %d: %w", i, err)
		}
		out.Entries = append(out.Entries, messageJSON(e))
	}
	return jsonOf(out)
}
