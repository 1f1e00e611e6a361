package cmdline_test

import (
	"bufio"
	"encoding/json"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc/internal/format/cmdline"
)

// An op is a line of testdata/cmdline-ops.jsonl: what upstream's library does.
type op struct {
	Op      string          `json:"op"`
	Cmdline string          `json:"cmdline"`
	Arg     string          `json:"arg"`
	Result  json.RawMessage `json:"result"`
}

func TestOperations(t *testing.T) {
	f, err := os.Open("testdata/cmdline-ops.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n := 0
	for sc := bufio.NewScanner(f); sc.Scan(); n++ {
		var o op
		if err := json.Unmarshal(sc.Bytes(), &o); err != nil {
			t.Fatal(err)
		}
		var want any
		if err := json.Unmarshal(o.Result, &want); err != nil {
			t.Fatal(err)
		}
		if want == "no parameter" {
			continue
		}
		if diff := cmp.Diff(want, run(t, o)); diff != "" {
			t.Errorf("%s %q %q (-want +got):\n%s", o.Op, o.Cmdline, o.Arg, diff)
		}
	}
	if n != 102 {
		t.Errorf("%d operations tested, want 102", n)
	}
}

func run(t *testing.T, o op) any {
	t.Helper()
	var p cmdline.Param
	if params := cmdline.Split(o.Arg); len(params) > 0 {
		p = params[0]
	}
	changed := func(line string) any {
		if line != o.Cmdline {
			return []any{"true", line}
		}
		return []any{"false", line}
	}
	switch o.Op {
	case "split":
		all := []any{}
		for _, p := range cmdline.Split(o.Cmdline) {
			var value any
			if p.HasValue {
				value = p.Value
			}
			all = append(all, []any{p.Text, p.Key, value})
		}
		return all
	case "value":
		if v, ok := cmdline.Value(o.Cmdline, o.Arg); ok {
			return v
		}
		return nil
	case "find":
		for _, q := range cmdline.Split(o.Cmdline) {
			if cmdline.RemoveKey(q.Text, cmdline.Param{Key: o.Arg}) == "" {
				return q.Text
			}
		}
		return nil
	case "equal":
		return cmdline.Split(o.Cmdline)[0].Equal(p)
	case "extend":
		return cmdline.Extend(o.Cmdline, o.Arg)
	case "remove-exact":
		return changed(cmdline.Remove(o.Cmdline, p))
	case "remove":
		return changed(cmdline.RemoveKey(o.Cmdline, p))
	case "add-or-modify":
		line := cmdline.Set(o.Cmdline, p)
		switch {
		case line == o.Cmdline:
			return []any{"Existed", line}
		case len(cmdline.Split(cmdline.RemoveKey(o.Cmdline, p))) == len(cmdline.Split(o.Cmdline)):
			return []any{"Added", line}
		}
		return []any{"Modified", line}
	}
	t.Fatalf("unknown operation %q", o.Op)
	return nil
}

// FuzzSplit checks that splitting loses nothing but white space, and that
// changes give a line that says what was asked for.
func FuzzSplit(f *testing.F) {
	for _, s := range []string{"", "a b=1  c=\t\"x y\" d", `a="x`, `"a=1`, "console=ttyS0 rw", `a="" b`, "=", "\x00\xff \" \""} {
		f.Add(s, "a=1")
	}
	f.Fuzz(func(t *testing.T, line, arg string) {
		params := cmdline.Split(line)
		again := cmdline.Split(cmdline.Join(params))
		if diff := cmp.Diff(params, again); diff != "" {
			t.Fatalf("splitting %q again (-first +second):\n%s", line, diff)
		}
		for _, p := range cmdline.Split(arg) {
			for _, q := range cmdline.Split(cmdline.Remove(line, p)) {
				if q.Equal(p) {
					t.Fatalf("Remove(%q, %q) left %q", line, p.Text, q.Text)
				}
			}
		}
	})
}
