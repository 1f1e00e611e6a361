package bls

import (
	"cmp"
	"strings"
)

// CompareVersions compares two version strings: negative if a is older than b,
// zero if neither is newer, positive if a is newer.
//
// Source: UAPI.10 Version Format Specification, as systemd-boot implements it.
func CompareVersions(a, b string) int {
	for {
		a, b = trimInvalid(a), trimInvalid(b)
		if c := separator(&a, &b, '~'); c != 0 {
			return c
		}
		// Only after the tilde: "1~rc1" is older than "1", "1.1" is newer.
		if a == "" || b == "" {
			return cmp.Compare(min(len(a), 1), min(len(b), 1))
		}
		for _, mark := range []byte("-^.") {
			if c := separator(&a, &b, mark); c != 0 {
				return c
			}
		}
		if startsWithDigit(a) || startsWithDigit(b) {
			x, y := segment(&a, isDigit), segment(&b, isDigit)
			if c := compareNumbers(x, y); c != 0 {
				return c
			}
			continue
		}
		x, y := segment(&a, isLetter), segment(&b, isLetter)
		if c := strings.Compare(x, y); c != 0 {
			return c
		}
	}
}

// separator consumes a mark that both strings begin with. If only one does,
// that one is older.
func separator(a, b *string, mark byte) int {
	x := *a != "" && (*a)[0] == mark
	y := *b != "" && (*b)[0] == mark
	switch {
	case x && y:
		*a, *b = (*a)[1:], (*b)[1:]
		return 0
	case x:
		return -1
	case y:
		return 1
	}
	return 0
}

// segment takes the longest prefix of bytes that satisfy ok.
func segment(s *string, ok func(byte) bool) string {
	i := 0
	for i < len(*s) && ok((*s)[i]) {
		i++
	}
	prefix := (*s)[:i]
	*s = (*s)[i:]
	return prefix
}

// compareNumbers compares runs of digits of any length. A run that is empty
// when its leading zeros are gone is older than one that is not.
func compareNumbers(a, b string) int {
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}

func trimInvalid(s string) string {
	i := 0
	for i < len(s) && !isDigit(s[i]) && !isLetter(s[i]) && strings.IndexByte("~-^.", s[i]) < 0 {
		i++
	}
	return s[i:]
}

func startsWithDigit(s string) bool { return s != "" && isDigit(s[0]) }
func isDigit(c byte) bool           { return c >= '0' && c <= '9' }
func isLetter(c byte) bool          { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
