package iso9660

import (
	"cmp"
	"errors"
	"strings"
)

// nameChars are the characters of names and labels: the standard's d-characters.
const nameChars = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"

// checkName says what is wrong with a name.
func checkName(name string) error {
	base, extension, dot := strings.Cut(name, ".")
	if strings.Trim(base+extension, nameChars) != "" {
		return errors.New("a character other than A-Z, 0-9 and _")
	}
	if n, m := len(base), len(extension); n < 1 || n > 8 || dot && m < 1 || m > 3 {
		return errors.New("want 1 to 8 characters, and at most 3 behind a dot")
	}
	return nil
}

// compareNames compares as directories are sorted: what is shorter is filled up
// with blanks, which are less than any other character.
func compareNames(a, b File) int {
	x, xe, _ := strings.Cut(a.Name, ".")
	y, ye, _ := strings.Cut(b.Name, ".")
	return cmp.Or(strings.Compare(x, y), strings.Compare(xe, ye))
}

// identifier is a name as it stands in the directory.
func identifier(name string) string {
	if !strings.Contains(name, ".") {
		name += "."
	}
	return name + ";1"
}
