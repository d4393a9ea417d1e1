package bundle

import (
	"bytes"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/consent-ledger/consent-ledger/ledger"
	consentv1 "github.com/consent-ledger/consent-ledger/proto/gen/consent/v1"
)

// rows compares the tables with the entries, a part at a time. The first difference is
// kept: it is told when all that the entries themselves must show is checked.
type rows struct {
	table []byte // what is left of the part's table
	name  string // of the table; empty: there is none

	missing int // entries without a table
	later   int // rows of entries that this version cannot read
	err     error
}

// begin takes the table of a part; nil: there is none.
func (t *rows) begin(name string, table []byte) {
	t.name, t.table = name, table
	if head := table[:rowEnd(table)]; name != "" && !bytes.Equal(head, rowOf(Columns)) {
		t.fail("%s begins with other columns", name)
	} else {
		t.table = table[len(head):]
	}
}

// end tells that the part has no more entries.
func (t *rows) end() {
	if len(t.table) > 0 {
		t.fail("%s has rows of no entry", t.name)
	}
}

func (t *rows) fail(format string, args ...any) {
	if t.err == nil {
		t.err = refuted(format, args...)
	}
}

// entry compares the next row with the entry it must be of.
func (t *rows) entry(r Record) {
	if t.name == "" {
		t.missing++
		return
	}
	row := t.table[:rowEnd(t.table)]
	t.table = t.table[len(row):]
	switch same, readable := isRowOf(row, r); {
	case same:
	case readable:
		t.fail("the row of position %d in %s is not what the entry shows", r.Position, t.name)
	default:
		t.later++
	}
}

// rowEnd finds the end of the first row: a newline that is not between quotes.
func rowEnd(table []byte) int {
	quoted := false
	for i, c := range table {
		quoted = quoted != (c == '"')
		if c == '\n' && !quoted {
			return i + 1
		}
	}
	return len(table)
}

func rowOf(cells []string) []byte {
	var b bytes.Buffer
	writeRow(&b, cells)
	return b.Bytes()
}

// isRowOf tells whether a row is one that an entry may have: with its opened parts or
// without, of an erased person or not, which only the operator knows. readable is false
// if the entry holds what a later version wrote, which this one cannot put into words.
func isRowOf(row []byte, r Record) (same, readable bool) {
	var e consentv1.Entry
	if proto.Unmarshal(r.Entry, &e) != nil {
		return false, false
	}
	opened, whole := personalOf(r.Opened)
	for _, personal := range []map[string]string{opened, nil} {
		for _, erased := range []bool{false, true} {
			shown := Shown{Entry: &e, Leaf: ledger.LeafHash(r.Entry), Personal: personal, Erased: erased}
			if bytes.Equal(row, rowOf(shown.Row())) {
				return true, true
			}
		}
	}
	return false, whole && !unknown(e.GetFact().ProtoReflect())
}

// personalOf gives opened parts by the path of their names. whole is false if one is of
// a field that this version does not know.
func personalOf(opened []Opened) (out map[string]string, whole bool) {
	out, whole = map[string]string{}, true
	for _, o := range opened {
		fd, names := fieldAt(o.Field)
		switch {
		case fd == nil:
			whole = false
		case len(o.Value) == 0 && !fd.HasPresence(): // protobuf does not tell it from none
		case fd.Kind() == protoreflect.StringKind:
			out[names] = string(o.Value)
		default:
			out[names] = protoreflect.ValueOfBytes(o.Value).String()
		}
	}
	return out, whole
}

// fieldAt finds a field of Fact by a path of numbers, with the path of its names.
func fieldAt(path string) (fd protoreflect.FieldDescriptor, names string) {
	in := (&consentv1.Fact{}).ProtoReflect().Descriptor()
	for step := range strings.SplitSeq(path, ".") {
		n, err := strconv.ParseInt(step, 10, 32)
		if err != nil || in == nil {
			return nil, ""
		}
		if fd = in.Fields().ByNumber(protoreflect.FieldNumber(n)); fd == nil {
			return nil, ""
		}
		names, in = names+"."+string(fd.Name()), fd.Message()
	}
	return fd, strings.TrimPrefix(names, ".")
}

// unknown tells whether a message holds what this version has no name for.
func unknown(m protoreflect.Message) (found bool) {
	if len(m.GetUnknown()) > 0 {
		return true
	}
	value := func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.Message() != nil:
			return unknown(v.Message())
		case fd.Enum() != nil:
			return fd.Enum().Values().ByNumber(v.Enum()) == nil
		}
		return false
	}
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.IsList():
			for i := range v.List().Len() {
				found = found || value(fd, v.List().Get(i))
			}
		case fd.IsMap(): // the contract has none in a fact
			found = true
		default:
			found = value(fd, v)
		}
		return !found
	})
	return found
}

// tables says whether the tables are what the entries show.
func (v *verifier) tables() ([]Claim, error) {
	for name := range v.sums {
		part, is := strings.CutSuffix(name, ".csv")
		if _, of := v.sums[part+".jsonl"]; is && strings.HasPrefix(name, entriesFolder) && !of {
			return nil, refuted("%s is the table of no entries", name)
		}
	}
	switch n := v.events; {
	case v.rows.err != nil:
		return nil, v.rows.err
	case v.rows.missing > 0:
		return unproven("tables", "%s no row in a table", count(v.rows.missing, "entry has", "entries have")), nil
	case v.rows.later > 0:
		return unproven("tables", "%s not compared: a later version of the program recorded what this one cannot read",
			count(v.rows.later, "row was", "rows were")), nil
	default:
		return []Claim{{"tables", true, say(n, "there is no entry, and no row",
			"the row shows what the entry does, but for the column erased, which is the operator's word",
			"each of the %d rows shows what its entry does, but for the column erased, which is the operator's word")}}, nil
	}
}
