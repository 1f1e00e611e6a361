package selinux_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc/internal/format/selinux"
)

// contexts parses a policy that has only file_contexts.
func contexts(t *testing.T, text string) *selinux.Contexts {
	t.Helper()
	c, err := selinux.Parse(selinux.Files{selinux.FileContexts: []byte(text)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func lookup(t *testing.T, c *selinux.Contexts, path string, typ selinux.Type) string {
	t.Helper()
	label, err := c.Lookup(path, typ)
	if err != nil {
		t.Fatalf("Lookup(%q, %c): %v", path, typ, err)
	}
	return label
}

// TestLookup checks which line counts.
func TestLookup(t *testing.T) {
	c, err := selinux.Parse(selinux.Files{
		selinux.FileContexts: []byte("# a comment\n\n  # another\n" +
			"/.*\tdefault\n/usr(/.*)? usr\r\n/usr/bin/[^/]+ -- exec\n/usr/bin/x none-of-these\n/usr/bin/x -d <<none>>\n" +
			"/tmp -d <<none>>\n/dev/.* -c chr\n/dev/.* -b blk\n/run/.* -s sock\n/run/.* -p pipe\n/usr/lib -l link\n" +
			"/home/early early\n/root early\n"),
		selinux.Local:    []byte("/srv/.* srv"),
		selinux.Homedirs: []byte("/home/[^/]* home\n/srv/a later\n/roo. later\n"),
		selinux.Subs:     []byte("/a /usr\n/b /usr/bin\n"),
		selinux.SubsDist: []byte("# comment\n/a /srv\n"),
	})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		path string
		typ  selinux.Type
		want string
	}{
		{"/", 'd', "default"},
		{"/x/y", '-', "default"},
		{"relative", '-', ""},
		{"/usr", 'd', "usr"},
		{"/usrx", 'd', "default"},
		{"/usr/bin/y", '-', "exec"},
		{"/usr/bin/y", 'l', "usr"},
		{"/usr/bin/y/z", '-', "usr"},
		{"/usr/bin/x", '-', "none-of-these"},
		{"/usr/bin/x", 'd', ""},
		{"/tmp", 'd', ""},
		{"/tmp", 'l', "default"},
		{"/dev/a", 'c', "chr"},
		{"/dev/a", 'b', "blk"},
		{"/run/a", 's', "sock"},
		{"/run/a", 'p', "pipe"},
		{"/usr/lib", 'l', "link"},
		{"/srv/a", '-', "later"},
		{"/srv/b", '-', "srv"},
		{"/home/early", 'd', "home"}, // the last line, even if another names the path
		{"/root", 'd', "later"},
	}
	for _, test := range tests {
		if got := lookup(t, c, test.path, test.typ); got != test.want {
			t.Errorf("Lookup(%q, %c) = %q, want %q", test.path, test.typ, got, test.want)
		}
	}
	for path, want := range map[string]string{"/a": "/srv", "/b": "/usr/bin", "/a/b": "/a/b", "/c": "/c"} {
		if got := c.Alias(path); got != want {
			t.Errorf("Alias(%q) = %q, want %q", path, got, want)
		}
	}
}

// TestParseRefuses checks that errors name file and line.
func TestParseRefuses(t *testing.T) {
	const good = "/x y\n"
	nested := strings.Repeat("(", 300) + strings.Repeat(")", 300)
	tests := []struct{ file, text, want string }{
		{selinux.FileContexts, "\n/a", `file_contexts, line 2: no context after "/a"`},
		{selinux.FileContexts, "/a -d", `file_contexts, line 1: no context after "/a"`},
		{selinux.FileContexts, "/a -x c", `file_contexts, line 1: "-x" is not a type; the types are -b, -c, -d, -p, -l, -s and --`},
		{selinux.FileContexts, "/a - c", `file_contexts, line 1: "-" is not a type; the types are -b, -c, -d, -p, -l, -s and --`},
		{selinux.Local, "/a b c d", `file_contexts.local, line 1: 4 words, want an expression, sometimes a type, and a context`},
		{selinux.Homedirs, "/a( b", `file_contexts.homedirs, line 1: the expression "/a(" is wrong at byte 3: a parenthesis is not closed`},
		{selinux.Subs, "/a", `file_contexts.subs, line 1: 1 words, want a path and another path`},
		{selinux.SubsDist, "/a /b /c", `file_contexts.subs_dist, line 1: 3 words, want a path and another path`},
		{selinux.FileContexts, "/" + strings.Repeat("a", 1<<14) + " b", `file_contexts, line 1: an expression of 16385 bytes, at most 16384 are possible`},
		{selinux.FileContexts, "/((a{99}){99}){99} b", `file_contexts, line 1: the expression "/((a{99}){99}){99}" has more than 20000 places with its repetitions written out`},
		{selinux.FileContexts, nested + " b", `file_contexts, line 1: the expression "` + nested[:200] + `"… (600 bytes) is wrong at byte 250: more than 250 things in each other`},
		{selinux.FileContexts, strings.Repeat("#\n", 200_001), "file_contexts has more than 200000 lines"},
	}
	for _, test := range tests {
		files := selinux.Files{selinux.FileContexts: []byte(good)}
		files[test.file] = []byte(test.text)
		_, err := selinux.Parse(files)
		if err == nil {
			t.Errorf("Parse(%.40q): no error, want %s", test.text, test.want)
			continue
		}
		if diff := cmp.Diff(test.want, err.Error()); diff != "" {
			t.Errorf("Parse(%.40q): -want +got:\n%s", test.text, diff)
		}
	}
}

// TestLimits checks that matching ends when it costs too much.
func TestLimits(t *testing.T) {
	path := "/" + strings.Repeat("a", 40)
	c := contexts(t, "/(?=a)(a*)*(a*)*(a*)*[bc] x\n")
	c.Limit(1<<40, time.Nanosecond)
	if _, err := c.Lookup(path, '-'); err == nil || !strings.HasPrefix(err.Error(), "file_contexts, line 1: matching with look-around and back-references takes more than") {
		t.Errorf("an expression that needs long: %v", err)
	}
	c = contexts(t, "/(a*)*(a*)*(a*)*[bc] x\n")
	c.Limit(10, time.Hour)
	if _, err := c.Lookup(path, '-'); err == nil || err.Error() != "matching the file contexts takes too much work" {
		t.Errorf("more work than is allowed: %v", err)
	}
}
