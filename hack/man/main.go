// Command man renders the manual pages, which are written in Markdown:
//
//	man FROM TO
//
// FROM/name.8.md becomes TO/name.8, and so in section 5.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/cpuguy83/go-md2man/v2/md2man"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: man FROM TO")
		os.Exit(2)
	}
	if err := render(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func render(from, to string) error {
	pages, err := filepath.Glob(filepath.Join(from, "*.[58].md"))
	if err != nil {
		return err
	}
	if len(pages) == 0 {
		return fmt.Errorf("no manual pages (*.5.md, *.8.md) in %s", from)
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			return err
		}
		name := strings.TrimSuffix(filepath.Base(page), ".md")
		if err := os.WriteFile(filepath.Join(to, name), []byte(roff(text)), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// roff renders a page. To roff a bare hyphen is not the character that options
// and file names have, and .TH forgets that words are not to be hyphenated.
func roff(page []byte) string {
	bare := regexp.MustCompile(`(\\?)-`)
	lines := strings.Split(string(md2man.Render(page)), "\n")
	for i, line := range lines {
		switch {
		case strings.HasPrefix(line, ".TH "):
			lines[i] = line + "\n.nh"
		case !strings.HasPrefix(line, "."):
			lines[i] = bare.ReplaceAllString(line, `\-`)
		}
	}
	return strings.TrimPrefix(strings.Join(lines, "\n"), ".nh\n")
}
