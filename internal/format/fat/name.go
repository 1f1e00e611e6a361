package fat

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	maxUnits = 255 // UTF-16 units of a name

	// Letters and digits come first.
	shortChars = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789$%'-_@~`!(){}^#&"
	forbidden  = `"*:<>?|\`
)

// checkName says what is wrong with one element of a path.
func checkName(name string) error {
	switch {
	case name == "":
		return errors.New("an element is empty")
	case name == "." || name == "..":
		return fmt.Errorf("element %q", name)
	case !utf8.ValidString(name):
		return errors.New("not UTF-8")
	case strings.HasSuffix(name, ".") || strings.HasSuffix(name, " "):
		return fmt.Errorf("element %q ends with a dot or a blank", name)
	}
	for _, r := range name {
		if unicode.IsControl(r) || strings.ContainsRune(forbidden, r) || r == math.MaxUint16 {
			return fmt.Errorf("character %q", r)
		}
	}
	if n := len(units(name)); n > maxUnits {
		return fmt.Errorf("an element of %d UTF-16 units, at most %d", n, maxUnits)
	}
	return nil
}

func units(name string) []uint16 { return utf16.Encode([]rune(name)) }

// A shortName is a name of 8 and 3 characters, padded with blanks.
type shortName [11]byte

func packShort(base, ext string) shortName {
	s := shortName([]byte("           "))
	copy(s[:8], base)
	copy(s[8:], ext)
	return s
}

// parseShort reads a name that is a short one as it is.
func parseShort(name string) (shortName, bool) {
	base, ext, dot := strings.Cut(name, ".")
	if base == "" || len(base) > 8 || len(ext) > 3 || dot && ext == "" || strings.Trim(base+ext, shortChars) != "" {
		return shortName{}, false
	}
	return packShort(base, ext), true
}

// shorten gives short names to what is in a directory, in its order.
func shorten(entries []*node) {
	taken := map[shortName]bool{}
	var long []*node
	for _, n := range entries {
		var ok bool
		if n.short, ok = parseShort(strings.Map(upper, n.name)); ok {
			taken[n.short] = true // by nobody before, as names differ in more than case
		} else {
			long = append(long, n)
		}
	}
	tails := map[tail]int{}
	for _, n := range long {
		base, ext := basis(n.name)
		n.short = lowest(base, ext, taken, tails)
		taken[n.short] = true
	}
}

// upper knows ASCII only: elsewhere two letters may have one capital.
func upper(r rune) rune {
	if r >= 'a' && r <= 'z' {
		return r - 'a' + 'A'
	}
	return r
}

// basis makes of a name what a numeric tail is put to.
func basis(name string) (base, ext string) {
	s := strings.Map(func(r rune) rune {
		switch r = upper(r); {
		case r == ' ':
			return -1
		case r == '.' || strings.ContainsRune(shortChars, r):
			return r
		}
		return '_'
	}, name)
	s = strings.TrimLeft(s, ".")
	base, _, _ = strings.Cut(s, ".")
	if dot := strings.LastIndexByte(s, '.'); dot >= 0 {
		ext = s[dot+1:]
	}
	return base[:min(len(base), 8)], ext[:min(len(ext), 3)]
}

// A tail stands for all short names with the same beginning and extension and
// as many digits.
type tail struct {
	stem, ext string
	digits    int
}

// lowest returns the name with the lowest tail that is not taken. tails remembers
// below which number all are, so that a large directory is not searched again
// and again.
func lowest(base, ext string, taken map[shortName]bool, tails map[tail]int) shortName {
	for digits, low := 1, 1; ; digits, low = digits+1, low*10 {
		t := tail{base[:min(len(base), 7-digits)], ext, digits}
		for n := max(tails[t], low); n < low*10; n++ {
			tails[t] = n + 1
			if s := packShort(t.stem+"~"+strconv.Itoa(n), ext); !taken[s] {
				return s
			}
		}
	}
}
