package phone

// fast reads the plain North American forms: digits with blanks, '-', '.', '('
// and ')' among them, ten of them, or eleven beginning with 1, the latter also
// after a '+'. ok is false for everything it is not certain about. The
// differential test in fast_test.go is the licence for this function.
func (p *parser) fast(raw, region string) (n Number, ok bool) {
	var buf [12]byte // '+', '1', ten digits
	buf[0] = '+'
	count, plus, begun := 1, false, false
	for i := range len(raw) {
		switch c := raw[i]; {
		case c >= '0' && c <= '9':
			if count == len(buf) {
				return Number{}, false
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
			return Number{}, false
		}
	}
	if count != len(buf) || buf[1] != '1' || buf[2] < '2' || buf[5] < '2' {
		return Number{}, false
	}
	if !plus && !p.nanp.members[region] {
		return Number{}, false
	}
	a := &p.nanp.areas[int(buf[2]-'0')*100+int(buf[3]-'0')*10+int(buf[4]-'0')]
	if !a.known || (!a.valid && raw[max(0, len(raw)-2):] == ".0") {
		return Number{}, false
	}
	e164 := raw
	if raw != string(buf[:]) { // compared without a copy
		e164 = string(buf[:])
	}
	return Number{E164: e164, Unassigned: !a.valid, CountryCode: nanpCode, Region: a.region}, true
}
