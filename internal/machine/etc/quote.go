package etc

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Quote puts a path in double quotes for people and scripts, on one line:
// quotes and backslashes get a backslash, control characters are \t, \n, \r or
// \u{hex}, bytes that are not UTF-8 are \xHH. It is the form that upstream
// prints.
func Quote(path string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(path); {
		r, n := utf8.DecodeRuneInString(path[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02X`, path[i])
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case !unicode.IsPrint(r) || unicode.In(r, unicode.Mn, unicode.Me):
			fmt.Fprintf(&b, `\u{%x}`, r)
		default:
			b.WriteRune(r)
		}
		i += n
	}
	b.WriteByte('"')
	return b.String()
}
