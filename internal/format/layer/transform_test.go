package layer_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc/internal/format/layer"
	"github.com/bootc-go/bootc/internal/format/tree"
)

// TestTime checks what PAX records say of seconds and nanoseconds.
func TestTime(t *testing.T) {
	tests := map[string]tree.Time{
		"0":              {},
		"1":              {Sec: 1},
		"1.":             {Sec: 1},
		"1.5":            {Sec: 1, Nsec: 500_000_000},
		"1.000000001":    {Sec: 1, Nsec: 1},
		"1.1234567899":   {Sec: 1, Nsec: 123_456_789},
		"1.12x":          {Sec: 1},
		"1.-5":           {Sec: 1},
		"34359738368.25": {Sec: 34359738368, Nsec: 250_000_000},
	}
	for value, want := range tests {
		record := fmt.Sprintf("mtime=%s\n", value)
		length := len(record) + 3
		if length < 10 || length > 99 {
			t.Fatalf("a record of %d bytes", length)
		}
		l, err := read(rawPAX(t, fmt.Sprintf("%d %s", length, record)), layer.Limits{})
		if err != nil {
			t.Errorf("mtime %s: %v", value, err)
			continue
		}
		if got := l.Entries[0].Node.Mtime; got != want {
			t.Errorf("mtime %s is %v, want %v", value, got, want)
		}
	}
}

// system is an image that can boot.
func system(more ...file) []file {
	return append([]file{dir("usr"), dir("boot"), dir("sysroot"), dir("run"), reg("run/x", ""), reg("boot/x", "")}, more...)
}

// TestPlainRefuses checks that the error says what to do.
func TestPlainRefuses(t *testing.T) {
	tests := []struct {
		files []file
		error string
	}{
		{nil, "the image has no directory /usr: add `RUN mkdir /usr` to its Containerfile"},
		{[]file{reg("usr", "")}, "/usr of the image is not a directory: add `RUN rm /usr && mkdir /usr` to its Containerfile"},
		{[]file{dir("usr"), symlink("run", "var/run")}, "/run of the image is a symbolic link to \"var/run\", not a directory: add `RUN rm /run && mkdir /run` to its Containerfile"},
	}
	for _, test := range tests {
		tr, err := apply(pack(t, test.files...))
		if err != nil {
			t.Fatal(err)
		}
		if err := layer.Plain(tr); err == nil || err.Error() != test.error {
			t.Errorf("Plain: %v, want %s", err, test.error)
		}
	}
}

// TestBoot checks which images can boot, and that an error leaves the tree as
// it was.
func TestBoot(t *testing.T) {
	config := func(text string) []file {
		return system(dir("etc"), dir("etc/selinux"), reg("etc/selinux/config", text))
	}
	policy := func(text string) []file {
		return system(reg("etc/selinux/config", "SELINUXTYPE=t"), reg("etc/selinux/t/contexts/files/file_contexts", text))
	}
	entry := func(text string) []file {
		return system(reg("boot/vmlinuz", "k"), dir("boot/loader"), dir("boot/loader/entries"), reg("boot/loader/entries/a.conf", text))
	}
	tests := []struct {
		name  string
		files []file
		error string
	}{
		{"a system", system(), ""},
		{"no /boot", []file{dir("usr"), dir("sysroot")}, "the image has no directory /boot: add `RUN mkdir /boot` to its Containerfile"},
		{"no /sysroot", []file{dir("usr"), dir("boot")}, "the image has no directory /sysroot: add `RUN mkdir /sysroot` to its Containerfile"},
		{"/boot is a link", []file{dir("usr"), dir("sysroot"), symlink("boot", "efi")}, "/boot of the image is a symbolic link to \"efi\""},

		{"no policy", config("SELINUX=disabled\n# SELINUXTYPE=x\nSELINUXTYPE\nXSELINUXTYPE=y\nſELINUXTYPE=z\n"), ""},
		{"a policy that is not there", config("SELINUX=disabled\n  selinuxType = targeted \nSELINUXTYPE=other\n"), `SELinux policy "targeted" of the image: the image has no file "/etc/selinux/targeted/contexts/files/file_contexts": install the policy`},
		{"policy named in a large file", config(strings.Repeat("#", 100) + "\nSELINUXTYPE=t"), `SELinux policy "t" of the image: the image has no file`},
		{"empty policy", config("SELINUXTYPE=\n"), `SELinux policy "" of the image: the image has no file`},
		{"policy with a bad line", policy("# x\n/a\n"), `SELinux policy "t" of the image: file_contexts, line 2: no context after "/a"`},
		{"policy with a bad expression", policy("/a( x\n"), `file_contexts, line 1: the expression "/a(" is wrong at byte 3: a parenthesis is not closed`},
		{"policy is a directory", system(reg("etc/selinux/config", "SELINUXTYPE=t"), dir("etc/selinux/t/contexts/files/file_contexts")), "\"/etc/selinux/t/contexts/files/file_contexts\" of the image is not a regular file"},
		{"config is a link", system(dir("etc"), dir("etc/selinux"), symlink("etc/selinux/config", "x")), `"/etc/selinux/config" of the image is not a regular file`},
		{"policy behind a link", system(dir("etc"), symlink("etc/selinux", "../usr/selinux")), "goes through something that is not a directory"},
		{"all of /etc behind a link", system(symlink("etc", "usr/etc")), "goes through something that is not a directory"},

		{"entry", entry("title x\nlinux /boot/vmlinuz\ninitrd\t/boot/x\n"), ""},
		{"entry without its kernel", entry("linux  /vmlinuz \n"), `/boot/loader/entries/a.conf of the image names "/vmlinuz", which is not a regular file in the image`},
		{"entry without its program", entry("efi /boot\n"), `names "/boot"`},
		{"entry is a directory", system(dir("boot/loader"), dir("boot/loader/entries"), dir("boot/loader/entries/a.conf")), "/boot/loader/entries/a.conf of the image is not a regular file"},
		{"entries are a file", system(dir("boot/loader"), reg("boot/loader/entries", "")), "/boot/loader/entries of the image is not a directory"},
		{"UKI", system(dir("boot/EFI"), dir("boot/EFI/Linux"), reg("boot/EFI/Linux/a.efi", "")), ""},
		{"UKI is a link", system(reg("boot/EFI/Linux/x/b", ""), symlink("boot/EFI/Linux/x/a.efi", "b")), "\"/boot/EFI/Linux/x/a.efi\" of the image is not a regular file"},
		{"UKI of modules is a link", system(symlink("usr/lib/modules/6/a.efi", "b")), "\"/usr/lib/modules/6/a.efi\" of the image is not a regular file"},
		{"modules are a link", system(dir("usr/lib"), symlink("usr/lib/modules", "x")), "/usr/lib/modules of the image is not a directory"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newSink()
			tr := tree.New()
			l, err := layer.Read(strings.NewReader(string(pack(t, test.files...))), s, nil, layer.Limits{})
			if err == nil {
				err = layer.Apply(tr, l)
			}
			if err == nil {
				err = layer.Plain(tr)
			}
			if err != nil {
				t.Fatal(err)
			}
			before := names(tr)
			err = layer.Boot(tr, s.read)
			if test.error == "" {
				if err != nil || tr.Lookup("boot").Len() != 0 || tr.Lookup("sysroot").Len() != 0 {
					t.Errorf("Boot: %v, the tree is %s", err, names(tr))
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), test.error) {
				t.Errorf("Boot: %v, want %s", err, test.error)
			}
			if diff := cmp.Diff(before, names(tr)); diff != "" {
				t.Errorf("Boot has changed the tree: %s", diff)
			}
		})
	}
}
