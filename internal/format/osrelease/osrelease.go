// Package osrelease reads os-release files, in which an operating system tells
// its name and version.
//
// It is lenient, as the file is written by others: a line that is no assignment
// is ignored, and of several assignments to one name the last counts.
//
// Source: os-release(5).
package osrelease

import "strings"

// A Release is what an operating system says about itself.
type Release struct {
	ID         string // "debian"
	VersionID  string // "13"
	Version    string // "13 (trixie)"
	PrettyName string // "Debian GNU/Linux 13 (trixie)"
	BuildID    string // "rolling"
}

// Parse reads an os-release file.
func Parse(data []byte) Release {
	var r Release
	fields := map[string]*string{
		"ID":          &r.ID,
		"VERSION_ID":  &r.VersionID,
		"VERSION":     &r.Version,
		"PRETTY_NAME": &r.PrettyName,
		"BUILD_ID":    &r.BuildID,
	}
	for line := range strings.Lines(string(data)) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if field := fields[key]; ok && field != nil {
			*field = unquote(value)
		}
	}
	return r
}

// unquote undoes the quoting of a shell word: single quotes keep everything,
// elsewhere a backslash protects what follows, in double quotes only a few
// characters. A quote that is not closed reaches to the end of the line.
func unquote(s string) string {
	var b strings.Builder
	quote := byte(0)
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case quote == 0 && (c == '"' || c == '\''), quote != 0 && c == quote:
			quote ^= c
		case quote != '\'' && c == '\\' && i+1 < len(s) && (quote == 0 || strings.IndexByte("\"\\$`", s[i+1]) >= 0):
			i++
			b.WriteByte(s[i])
		case quote == 0 && (c == ' ' || c == '\t'):
			return b.String() // a comment or another word follows
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}
