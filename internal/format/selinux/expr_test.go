package selinux_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/bootc-go/bootc/internal/format/selinux"
)

// expressions, with paths that they match and paths that they do not.
var expressions = []struct {
	expr     string
	yes, not []string
}{
	{"/a", []string{"/a"}, []string{"/", "/A", "/aa", "a", "/a/"}},
	{`/a\.b\+c\-d\/e\_f`, []string{"/a.b+c-d/e_f"}, []string{"/axb+c-d/e_f"}},
	{"/a(/.*)?", []string{"/a", "/a/", "/a/b/c", "/a/\n"}, []string{"/ab"}},
	{"/a/.*", []string{"/a/", "/a/b/c"}, []string{"/a"}},
	{"/a/.+", []string{"/a/b"}, []string{"/a/"}},
	{"/a/[^/]*", []string{"/a/", "/a/b\n"}, []string{"/a", "/a/b/c"}},
	{`/a.*\.so`, []string{"/a.so", "/ab/c.so"}, []string{"/a.s", "/a.so/x", "/aso"}},
	{`/a/[^/]+\.so`, []string{"/a/b.so"}, []string{"/a/.so", "/a/b/c.so"}},
	{`/a/[^/]+(\.so)?`, []string{"/a/b.so", "/a/b"}, []string{"/a/", "/a/b/c"}},
	{"/(usr/)?lib(64)?/x", []string{"/lib/x", "/usr/lib64/x"}, []string{"/usrlib/x", "/lib32/x"}},
	{"/(a|b/c|)d", []string{"/ad", "/b/cd", "/d"}, []string{"/a", "/cd"}},
	{"/a|/b", []string{"/a", "/b"}, []string{"/a|/b", "/ab"}},
	{"/a[0-9]{2,3}", []string{"/a12", "/a123"}, []string{"/a1", "/a1234"}},
	{"/a{2}", []string{"/aa"}, []string{"/a", "/aaa"}},
	{"/a{2,}", []string{"/aa", "/aaaa"}, []string{"/a"}},
	{"/[[:alnum:]_]+", []string{"/aZ0_"}, []string{"/a-"}},
	{"/[[:^alpha:]]", []string{"/1"}, []string{"/a"}},
	{"/[]a]", []string{"/]", "/a"}, []string{"/b"}},
	{"/[^]a]", []string{"/b"}, []string{"/]", "/a"}},
	{"/[a-]", []string{"/a", "/-"}, []string{"/b"}},
	{"/[-a]", []string{"/a", "/-"}, []string{"/b"}},
	{`/[\w-.]`, []string{"/a", "/-", "/."}, []string{"/,"}},
	{`/[.-\w]`, []string{"/a", "/-", "/."}, []string{"/,"}},
	{`/\d\D\w\W`, []string{"/1aa-"}, []string{"/aaa-", "/11a-", "/1a--"}},
	{`/\s\S`, []string{"/\va", "/ a"}, []string{"/aa", "/\xa0a"}},
	{`/\x41\x{42}\t`, []string{"/AB\t"}, []string{"/ABt"}},
	{`/a\z`, nil, []string{"/a"}}, // the letter of the type comes after it
	{`/a$`, nil, []string{"/a"}},
	{`/a\b`, []string{"/a"}, nil},
	{"^/a", []string{"/a"}, []string{"/"}},
	{"(?i)/aB", []string{"/Ab", "/ab"}, []string{"/a"}},
	{"/a(?i:b[c])d", []string{"/abcd", "/aBCd"}, []string{"/Abcd", "/abcD"}},
	{"/(?i)a(?-i)b", []string{"/Ab"}, []string{"/AB"}},
	{"/((?i)a)b", []string{"/Ab"}, []string{"/aB"}},
	{"/a*?b+?", []string{"/b", "/aabb"}, []string{"/aa"}},
	{"/(?P<n>a)(?<m>b)", []string{"/ab"}, []string{"/a"}},
	// Bytes, not characters.
	{"/.", []string{"/a", "/\xff", "/\n"}, []string{"/é"}},
	{"/..", []string{"/é"}, []string{"/a"}},
	{"/é+", []string{"/é", "/éé"}, []string{"/\xc3", "/é\xa9"}},
	{"/[é]x", []string{"/\xc3x", "/\xa9x"}, []string{"/éx"}},
	{"/[^/]", []string{"/\xff"}, []string{"/é"}},
	{"/\xff", []string{"/\xff"}, []string{"/ÿ"}},
	{`/\xff`, []string{"/\xff"}, []string{"/ÿ"}},
	{"(?i)/é", []string{"/é"}, []string{"/É"}},
	// Sets, as the linear grammar has them.
	{"/[a-z&&[^b]]", []string{"/a", "/c"}, []string{"/b", "/&", "/]"}},
	{"/[a-z--b]", []string{"/a"}, []string{"/b", "/-"}},
	{"/[a-c~~b-d]", []string{"/a", "/d"}, []string{"/b", "/~"}},
	{"/[a[bc]d]", []string{"/a", "/b", "/d"}, []string{"/[", "/ad]"}},
	{"/[^a[bc]]", []string{"/d"}, []string{"/a", "/b"}},
	{`/\<a`, []string{"/a"}, []string{"/<a"}},
	{`/a\>`, []string{"/a"}, []string{"/a>"}},
	{"/a*+a", []string{"/a", "/aa"}, []string{"/b"}},
	{"/a**", []string{"/", "/aa"}, []string{"/b"}},
	// What only Perl's grammar has.
	{"/[[]", []string{"/["}, []string{"/a"}},
	{"/[[a]", []string{"/[", "/a"}, []string{"/]"}},
	{"/a{", []string{"/a{"}, []string{"/a"}},
	{"/a{,2}", []string{"/a{,2}"}, []string{"/a"}},
	{"/(?!b).*", []string{"/a", "/"}, []string{"/b", "/bc"}},
	{"/(?=a)..", []string{"/ab"}, []string{"/bb"}},
	{"/.*(?<=a)b", []string{"/ab"}, []string{"/bb"}},
	{"/.*(?<!a)b", []string{"/bb", "/éb"}, []string{"/ab"}},
	{`/(a|b)\2`, []string{"/aa", "/bb"}, []string{"/ab"}},
	{`/(?<n>a|b)(c)\k<n>\g{-1}`, []string{"/acac", "/bcbc"}, []string{"/acbc"}},
	{`/(a)\1`, nil, []string{"/aa", "/a"}}, // the first group is the whole
	{"/(?>a*)a", nil, []string{"/a", "/aa"}},
	{`/(?!x)a\b.*`, []string{"/a", "/a-b", "/aé"}, []string{"/ab"}},
	{`/(?!x)a\B.*`, []string{"/ab"}, []string{"/a-", "/aé"}},
	{`/(?!x)\Qa.b\E.`, []string{"/a.bc"}, []string{"/axbc"}},
	{`/(?!x)\h\v\N\e\010`, []string{"/\t\na\x1b\b"}, []string{"/a\na\x1b\b"}},
	{`/(?!x)[\b[:digit:]\x2d-\x2e]`, []string{"/\b", "/1", "/."}, []string{"/b"}},
	{"/(?!x)a{1001}", []string{"/" + strings.Repeat("a", 1001)}, []string{"/" + strings.Repeat("a", 1002)}},
	{"/a{1001}", []string{"/" + strings.Repeat("a", 1001)}, []string{"/" + strings.Repeat("a", 1002)}},
}

// TestExpressions checks what expressions match, alone and as part of others
// that need one engine or the other.
func TestExpressions(t *testing.T) {
	for _, test := range expressions {
		for _, form := range []string{"%s", "^(?:%s)", "(?:%s|/never.)", "(?!/never)(?:%s)"} {
			if form == "(?!/never)(?:%s)" && !samePerl(test.expr) {
				continue
			}
			expr := fmt.Sprintf(form, test.expr)
			c, err := selinux.Parse(selinux.Files{selinux.FileContexts: []byte(expr + " label")})
			if err != nil {
				t.Errorf("%s: %v", expr, err)
				continue
			}
			for _, path := range test.yes {
				if lookup(t, c, path, '-') != "label" {
					t.Errorf("%s does not match %q", expr, path)
				}
			}
			for _, path := range test.not {
				if lookup(t, c, path, '-') != "" {
					t.Errorf("%s matches %q", expr, path)
				}
			}
		}
	}
}

// samePerl reports whether an expression means the same in Perl's grammar.
func samePerl(expr string) bool {
	for _, s := range []string{"&&", "[a-z--", "~~", "[a[", "[^a[", `\<`, `\>`, "*+", "**", "é+"} {
		if strings.Contains(expr, s) {
			return false
		}
	}
	return true
}

// TestExpressionsRefused checks what is wrong in either grammar.
func TestExpressionsRefused(t *testing.T) {
	for _, expr := range []string{
		"(", ")", "a)", "(?", "(?:a", "(?<n", "(?<1n>a)", "(?<n>a)(?<n>b)", "(?z)a", "(?x:a)", "(*ACCEPT)", "*a", "|*", "(+)", "a{2,1}", "{2}",
		"[", "[a", "[^", "[]", "[z-a]", `[\`, `\`, `\y`, `\K`, `\p{L}`, `\x{100}`, `\xg`, "(?=a)[[:nothing:]]", "(?=a)[[.a.]]", `\g{7}`, `\2`, `\k<no>`, `(?i)(a)\2`, "(?=a", "(?=a)a*+*", `\777`,
	} {
		if _, err := selinux.Parse(selinux.Files{selinux.FileContexts: []byte(expr + " label")}); err == nil {
			t.Errorf("%s is taken for an expression", expr)
		}
	}
}

// TestNeedsNoEngine checks that the usual expressions are compared without one.
func TestNeedsNoEngine(t *testing.T) {
	c := contexts(t, "/ a\n/.* a\n/a(/.*)? a\n/a/[^/]* b\n/a/[^/]+ -- b\n/a/b\\.so.* c\n/a/b.*\\.so c\n/a/c(\\.[0-9]*)? d\n")
	for _, path := range []string{"/", "/a", "/a/b", "/a/b.so.1", "/a/bx.so", "/a/c.1", "/a/c.x"} {
		lookup(t, c, path, '-')
	}
	if n := c.Engines(); n != 0 {
		t.Errorf("%d expressions needed an engine", n)
	}
}

// TestLastMatch compares lookups in a policy of many lines with lookups in
// policies of one line each, for random policies and trees.
func TestLastMatch(t *testing.T) {
	parts := []string{"/a", "/b", "/ab", "/.*", "/[^/]*", "(/.*)?", "/(a|b)", "a", `\.b`, "(/a)?", "/a(/b)*", "/[ab]+", "é"}
	names := []string{"a", "b", "ab", "a.b", "ba", "é"}
	types := []string{"", "-- ", "-d "}
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 7))
		var lines []string
		var single []*selinux.Contexts
		for i := range 60 {
			expr := ""
			for range 1 + r.IntN(4) {
				expr += parts[r.IntN(len(parts))]
			}
			line := fmt.Sprintf("%s %sl%d\n", expr, types[r.IntN(len(types))], i)
			lines = append(lines, line)
			single = append(single, contexts(t, line))
		}
		all := contexts(t, strings.Join(lines, ""))
		for range 300 {
			path := ""
			for range r.IntN(5) {
				path += "/" + names[r.IntN(len(names))]
			}
			if path == "" {
				path = "/"
			}
			typ := selinux.Type("-dl"[r.IntN(3)])
			want := ""
			for _, c := range single {
				if l := lookup(t, c, path, typ); l != "" {
					want = l
				}
			}
			if got := lookup(t, all, path, typ); got != want {
				t.Fatalf("seed %d: Lookup(%q, %c) = %q, want %q in\n%s", seed, path, typ, got, want, strings.Join(lines, ""))
			}
		}
	}
}
