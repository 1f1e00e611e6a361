package fsck

import (
	"errors"
	"strings"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/format/cmdline"
)

// options works out the kernel arguments of a deployment whose entry is lost, and says
// where they are from. An owner's must not be lost: what the broken entry still has is
// added to what bootc has written.
func (r *repair) options(d *deployment, was *brokenEntry) (line, from string, err error) {
	own := ""
	if was != nil && was.entry != nil && !r.copied(was) {
		own = was.entry.Options()
	}
	switch {
	case d.record != nil && d.record.Options != "":
		return withOwn(d.record.Options, own), "those that bootc has written, and what the damaged entry had beside them", nil
	case d.slot == bootc.Booted && r.m.Booted != nil && r.m.Booted.Cmdline != "":
		return withoutLoaders(r.m.Booted.Cmdline), "those that the kernel was started with", nil
	}
	insecure := r.m.Booted != nil && !r.m.Booted.Verity
	if own != "" && isText([]byte(own)) {
		if i, err := cmdline.Composefs(own); err == nil {
			insecure = i.Insecure
		}
		return cmdline.SetComposefs(own, string(d.id), insecure), "those of the damaged entry, and may be wrong in places", nil
	}
	for _, o := range r.s.bootedFirst() {
		if o.entry == nil || o.entry.Options() == "" || o.system == nil {
			continue
		}
		if i, err := cmdline.Composefs(o.entry.Options()); err == nil {
			insecure = i.Insecure
		}
		line := cmdline.Delta(o.entry.Options(), o.system.Kargs, d.system.Kargs)
		return cmdline.SetComposefs(line, string(d.id), insecure), "those of " + o.String() + ", as its own are not known", nil
	}
	return "", "", errors.New("its kernel arguments are not known")
}

// copied reports whether another entry has been written over a broken one.
func (r *repair) copied(b *brokenEntry) bool { return b.entry.ID != "" && r.s.find(b.entry.ID) != nil }

// withOwn adds to a command line the arguments of a damaged one that it has not and
// that are not damaged ones of it.
func withOwn(line, own string) string {
	have := cmdline.Split(line)
	for _, p := range cmdline.Split(own) {
		if !isText([]byte(p.Text)) || cmdline.CheckLocal(p.Text) != nil || strings.Contains(p.Text, "composefs") {
			continue
		}
		known := false
		for _, h := range have {
			known = known || nearlySame(h.Text, p.Text)
		}
		if !known {
			line = cmdline.Add(line, p)
		}
	}
	return line
}

// nearlySame reports whether two words of one length differ in a few bytes at most.
func nearlySame(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	differ := 0
	for i := range len(a) {
		if a[i] != b[i] {
			differ++
		}
	}
	return differ <= max(1, len(a)/4)
}

// withoutLoaders takes away what boot loaders and the kernel's stub add.
func withoutLoaders(line string) string {
	for _, p := range cmdline.Split(line) {
		if p.Key == "initrd" || p.Key == "BOOT_IMAGE" {
			line = cmdline.Remove(line, p)
		}
	}
	return line
}
