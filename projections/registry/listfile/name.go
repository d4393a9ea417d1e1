package listfile

import (
	"path"
	"strings"
	"time"
)

// FileName is what the name of a file of the FTC says: `YYYY-M-D_NPA_GUID.txt`,
// where month and day need no leading zero, perhaps with `.zip` behind it.
type FileName struct {
	// VersionDate is the day of the list, YYYY-MM-DD; empty: the name has none.
	VersionDate string
	// AreaCode is the one area code the file covers, three digits; empty: the
	// name does not say.
	AreaCode string
}

// ParseFileName reads what it can of a file's name; a path before it is ignored.
func ParseFileName(name string) FileName {
	base := path.Base(strings.ReplaceAll(name, `\`, "/"))
	base = strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(base), ".zip"), ".txt")
	date, rest, _ := strings.Cut(base, "_")
	area, _, _ := strings.Cut(rest, "_")
	var f FileName
	if t, err := time.Parse("2006-1-2", date); err == nil {
		f.VersionDate = t.Format(time.DateOnly)
		if IsAreaCode(area) {
			f.AreaCode = area
		}
	}
	return f
}

// IsAreaCode tells whether a text is an area code of the North American plan.
func IsAreaCode(s string) bool {
	n, ok := Digits([]byte(s))
	return ok && len(s) == 3 && n >= 200
}

// Digits reads a text of digits alone.
func Digits(b []byte) (n uint64, ok bool) {
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, len(b) > 0
}
