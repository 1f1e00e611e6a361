// Package osrelease reads os-release files.
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
}

// Parse reads an os-release file. Lines that are no assignments are ignored.
func Parse(data []byte) Release {
	var r Release
	fields := map[string]*string{"ID": &r.ID, "VERSION_ID": &r.VersionID, "VERSION": &r.Version, "PRETTY_NAME": &r.PrettyName}
	for line := range strings.Lines(string(data)) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if field := fields[key]; ok && field != nil {
			*field = unquote(value)
		}
	}
	return r
}

// unquote takes away the quotes of a shell word and its backslashes.
func unquote(s string) string {
	if len(s) >= 2 && s[0] == '\'' && s[len(s)-1] == '\'' {
		return s[1 : len(s)-1]
	}
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		s = s[1 : len(s)-1]
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) && strings.IndexByte(`"'\$`+"`", s[i+1]) >= 0 {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
