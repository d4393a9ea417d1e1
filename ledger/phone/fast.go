package phone

// fast reads the plain North American forms: digits with blanks, '-', '.', '('
// and ')' among them, ten of them, or eleven beginning with 1, the latter also
// after a '+'. ok is false for everything it is not certain about. The
// differential test in fast_test.go is the licence for this function.
func (p *parser) fast(raw, region string) (Number, bool) {
	n, ok := plain(p.nanp, raw, p.nanp.members[region])
	if !ok {
		return Number{}, false
	}
	e164 := raw
	if raw != string(n.E164[:]) { // compared without a copy
		e164 = string(n.E164[:])
	}
	return Number{E164: e164, Unassigned: n.Unassigned, CountryCode: nanpCode, Region: n.region}, true
}

// PlainNumber is a North American number in a form that needs no memory of its own. Like
// Number, it is never printed.
type PlainNumber struct {
	// E164 is '+', '1' and ten digits.
	E164 [plainBytes]byte
	// Unassigned is as in Number.
	Unassigned bool
	region     string
}

const plainBytes = 12

// Plain reads what Parse reads of the forms that nearly all of a calling list has. ok
// is false for everything else: ask Parse. region is as in Parse. Safe for concurrent use.
func Plain(region string) func(raw []byte) (n PlainNumber, ok bool) {
	p := shared()
	member := p.nanp.members[canonicalRegion(region)]
	return func(raw []byte) (PlainNumber, bool) { return plain(p.nanp, raw, member) }
}

// plain is fast for texts and bytes; member tells whether the default region belongs to the plan.
func plain[T string | []byte](nanp *nanpTable, raw T, member bool) (n PlainNumber, ok bool) {
	buf := &n.E164
	buf[0] = '+'
	count, plus, begun := 1, false, false
	for i := range len(raw) {
		switch c := raw[i]; {
		case c >= '0' && c <= '9':
			if count == len(buf) {
				return PlainNumber{}, false
			}
			if !begun && !plus && c != '1' {
				buf[1] = '1'
				count = 2
			}
			begun = true
			buf[count] = c
			count++
		case c == ' ' || c == '-' || c == '(' || c == ')' || c == '.':
		case c == '+' && !begun && !plus:
			plus = true
		default:
			return PlainNumber{}, false
		}
	}
	if count != len(buf) || buf[1] != '1' || buf[2] < '2' || buf[5] < '2' {
		return PlainNumber{}, false
	}
	if !plus && !member {
		return PlainNumber{}, false
	}
	a := &nanp.areas[int(buf[2]-'0')*100+int(buf[3]-'0')*10+int(buf[4]-'0')]
	if !a.known || (!a.valid && string(raw[max(0, len(raw)-2):]) == ".0") {
		return PlainNumber{}, false
	}
	n.Unassigned, n.region = !a.valid, a.region
	return n, true
}
