package dumpfile

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

const hexDigits = "0123456789abcdef"

// appendEscaped appends s in a form that holds neither blanks nor bytes beyond
// ASCII. In extended attributes the equals sign is escaped too.
func appendEscaped(b []byte, s string, equals bool) []byte {
	for i := range len(s) {
		switch c := s[i]; {
		case c == '\\':
			b = append(b, '\\', '\\')
		case c == '\n':
			b = append(b, '\\', 'n')
		case c == '\r':
			b = append(b, '\\', 'r')
		case c == '\t':
			b = append(b, '\\', 't')
		case c <= ' ' || c > '~' || c == '=' && equals:
			b = append(b, '\\', 'x', hexDigits[c>>4], hexDigits[c&15])
		default:
			b = append(b, c)
		}
	}
	return b
}

// appendOptional appends an optional field.
func appendOptional(b []byte, s string) []byte {
	switch s {
	case "":
		return append(b, none...)
	case none:
		return append(b, `\x2d`...)
	}
	return appendEscaped(b, s, false)
}

// unescape appends what was given to appendEscaped.
func unescape(b, s []byte) ([]byte, error) {
	for {
		i := bytes.IndexByte(s, '\\')
		if i < 0 {
			return append(b, s...), nil
		}
		b = append(b, s[:i]...)
		s = s[i+1:]
		if len(s) == 0 {
			return b, errors.New("backslash at the end of a field")
		}
		switch s[0] {
		case '\\':
			b = append(b, '\\')
		case 'n':
			b = append(b, '\n')
		case 'r':
			b = append(b, '\r')
		case 't':
			b = append(b, '\t')
		case 'x':
			high, low := -1, -1
			if len(s) > 2 {
				high, low = hexValue(s[1]), hexValue(s[2])
			}
			if high < 0 || low < 0 {
				return b, errors.New(`\x without two hex digits`)
			}
			b = append(b, byte(high<<4|low))
			s = s[2:]
		default:
			return b, fmt.Errorf("unknown escape %q", `\`+string(s[:1]))
		}
		s = s[1:]
	}
}

// unescapeOptional is the inverse of appendOptional.
func unescapeOptional(b, s []byte) ([]byte, error) {
	switch string(s) {
	case "":
		return b, fmt.Errorf("empty field, %q stands for no value", none)
	case none:
		return b, nil
	}
	return unescape(b, s)
}

func hexValue(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// AppendText appends s with the escapes of a dump, for people to read. With
// blanks, those are left as they are.
func AppendText(b []byte, s string, blanks bool) []byte {
	for i, part := range strings.Split(s, " ") {
		if i > 0 && blanks {
			b = append(b, ' ')
		} else if i > 0 {
			b = append(b, `\x20`...)
		}
		b = appendEscaped(b, part, false)
	}
	return b
}
