package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"unicode"
)

// A node is a JSON value whose object keys keep their order.
type node struct {
	keys   []string // of an object
	values []node   // of an object or array
	object bool
	array  bool
	scalar json.Token
}

// yamlOf writes a JSON document as YAML.
func yamlOf(b *bytes.Buffer, text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	n, err := readNode(d)
	if err != nil {
		return fmt.Errorf("internal error: reading the document back: %w", err)
	}
	n.write(b, "")
	return nil
}

func readNode(d *json.Decoder) (node, error) {
	t, err := d.Token()
	if err != nil {
		return node{}, err
	}
	delim, ok := t.(json.Delim)
	if !ok {
		return node{scalar: t}, nil
	}
	n := node{object: delim == '{', array: delim == '['}
	for d.More() {
		if n.object {
			key, err := d.Token()
			if err != nil {
				return node{}, err
			}
			n.keys = append(n.keys, key.(string))
		}
		v, err := readNode(d)
		if err != nil {
			return node{}, err
		}
		n.values = append(n.values, v)
	}
	_, err = d.Token()
	return n, err
}

// write prints the lines of a value that stands on lines of its own, each but
// the first after indent, which the caller has printed before the first.
func (n node) write(b *bytes.Buffer, indent string) {
	switch {
	case n.inline() != "":
		b.WriteString(n.inline() + "\n")
	case n.array:
		for i, v := range n.values {
			if i > 0 {
				b.WriteString(indent)
			}
			b.WriteString("- ")
			v.write(b, indent+"  ")
		}
	default:
		for i, v := range n.values {
			if i > 0 {
				b.WriteString(indent)
			}
			b.WriteString(quoteYAML(n.keys[i]) + ":")
			switch {
			case v.inline() != "":
				b.WriteString(" " + v.inline() + "\n")
			case v.array:
				b.WriteString("\n" + indent)
				v.write(b, indent)
			default:
				b.WriteString("\n" + indent + "  ")
				v.write(b, indent+"  ")
			}
		}
	}
}

// inline is the text of a value that fits behind its key, else empty.
func (n node) inline() string {
	switch {
	case n.object && len(n.values) == 0:
		return "{}"
	case n.array && len(n.values) == 0:
		return "[]"
	case n.object, n.array:
		return ""
	}
	switch v := n.scalar.(type) {
	case nil:
		return "null"
	case string:
		return quoteYAML(v)
	default:
		return fmt.Sprint(v)
	}
}

// looksTyped matches plain text that a YAML reader may take for null, a
// boolean or a number. Underscores in it mean nothing.
var looksTyped = regexp.MustCompile(`^(?i:~|null|true|false|yes|no|on|off|y|n|[-+]?\.(inf|nan)|[-+]?[0-9]+|[-+]?0[xob][0-9a-f]+|[-+]?[0-9]*\.[0-9]*(e[-+]?[0-9]+)?|[-+]?[0-9]+(\.[0-9]*)?e[-+]?[0-9]+|[-+]?[0-9]+(:[0-5]?[0-9])+(\.[0-9]*)?)$`)

// quoteYAML writes a string plain where it stays a string, else in single
// quotes, or in double quotes when it has characters that need escapes. A
// timestamp stays plain, as upstream writes it.
func quoteYAML(s string) string {
	if strings.ContainsFunc(s, needsEscape) {
		return escapeYAML(s)
	}
	plain := s != "" && !looksTyped.MatchString(strings.ReplaceAll(s, "_", "")) &&
		strings.TrimSpace(s) == s &&
		!strings.ContainsAny(s[:1], "!&*#|>@`\"'%,[]{}") &&
		!(strings.ContainsAny(s[:1], "-?:") && (len(s) == 1 || s[1] == ' ')) &&
		!strings.Contains(s, ": ") && !strings.Contains(s, " #") &&
		!strings.HasSuffix(s, ":") && !strings.HasPrefix(s, "---") && !strings.HasPrefix(s, "...")
	if plain {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", "''") + "'"
}

func needsEscape(r rune) bool { return r != ' ' && !unicode.IsPrint(r) }

// escapeYAML writes a string in double quotes, with escapes.
func escapeYAML(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case needsEscape(r) && r > 0xffff:
			fmt.Fprintf(&b, `\U%08X`, r)
		case needsEscape(r):
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
