package crash

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/bootc-go/bootc/internal/format/bls"
	"github.com/bootc-go/bootc/internal/format/cmdline"
	"github.com/bootc-go/bootc/internal/format/gpt"
	"github.com/bootc-go/bootc/internal/format/verity"
	"github.com/bootc-go/bootc/internal/machine/deploy"
)

// A View is a computer as its next boot finds it.
type View struct {
	// Outcome is what counts: the versions that have boot entries, in the loader's
	// order and with their counters, and the one that is staged.
	Outcome string
	// Deployments are those of the boot entries in their order, then the staged
	// one.
	Deployments []Deployment
	Var         digest // the shared /var
	// Wrong is what must not be, whatever boots.
	Wrong []string
	// Torn is true if there is no telling: see errTorn.
	Torn bool
	// Given is true if the initramfs program hands over to the second entry.
	Given bool

	found digest // of all names and contents
}

// A Deployment is what belongs to a boot entry.
type Deployment struct {
	Version, ID string
	Staged      bool
	Etc         digest
}

func (v *View) wrong(format string, args ...any) {
	v.Wrong = append(v.Wrong, fmt.Sprintf(format, args...))
}

// nothing is the outcome where no boot entry is found.
const nothing = "nothing"

// A machine is a state of the disk while it is looked at.
type machine struct {
	d      *Disk
	images []Image
	esp    *fatfs
	root   *ext4fs
	view   View
	// repair lets e2fsck at a root that cannot be mounted; nil: that is wrong.
	repair func(*Volume) error
}

// look boots a disk: firmware and loader read the EFI system partition, the
// kernel mounts the root, the initramfs program looks for the deployment.
func look(d *Disk, images []Image, c *cache, repair func(*Volume) error) *View {
	m := &machine{d: d, images: images, repair: repair}
	table, err := gpt.Read(d, sectorSize, d.Size())
	if err != nil {
		return m.none(err)
	}
	esp, err := m.partition(table, gpt.ESP)
	if err != nil {
		return m.none(err)
	}
	if m.esp, err = openFAT(esp, c); err != nil {
		return m.none(err)
	}
	entries, err := m.entries("loader/entries")
	if err != nil {
		return m.none(err)
	}
	if len(entries) == 0 {
		return m.none(errors.New("no boot entries"))
	}
	m.checkLoader()
	if err := m.mountRoot(table, c); errors.Is(err, errTorn) {
		m.view.Torn = true
		return &m.view
	} else if err != nil {
		m.view.wrong("mounting the root: %v", err)
	}
	m.follow(entries)
	m.rest()
	return &m.view
}

// rest reads what nothing that boots needs and the next verb finds: leftovers. On
// ext4 they are whole files and directories; on FAT a name may lead nowhere. An
// object that the next pull would take for good has to be whole.
func (m *machine) rest() {
	found := &m.view.found
	found.addString(m.view.Outcome)
	names, meet, err := m.esp.shared()
	if err != nil {
		meet = []string{err.Error()}
	}
	found.add(uint64(names))
	m.view.Wrong = append(m.view.Wrong, meet...)
	if m.root == nil {
		return
	}
	all, err := m.root.tree(rootInode)
	if err != nil {
		m.view.wrong("reading all of the root: %v", err)
	}
	found.add(uint64(all))
	if err := m.checkStore(); err != nil {
		m.view.wrong("the objects: %v", err)
	}
}

// checkStore looks at all that has the name of an object. It is reused if its
// fs-verity digest, which the kernel has from the descriptor alone, is that of its
// name.
func (m *machine) checkStore() error {
	top, err := m.root.lookup(rootInode, "composefs/objects")
	if err != nil {
		return err
	}
	dirs, err := m.root.dir(top)
	if err != nil {
		return err
	}
	for prefix, n := range dirs {
		in, err := m.root.inode(n)
		if err != nil {
			return err
		}
		names, err := m.root.dir(in)
		if err != nil {
			return err
		}
		for name, n := range names {
			want, err := verity.ParseDigest(prefix + name)
			if err != nil {
				continue
			}
			in, err := m.root.inode(n)
			if err != nil {
				return err
			}
			o, err := m.root.verity(in)
			if err == nil {
				err = o.whole()
			}
			if err != nil && o.claims == want {
				m.view.wrong("object %.12s, which looks whole: %v", want, err)
			}
		}
	}
	return nil
}

func (m *machine) none(err error) *View {
	return &View{Outcome: nothing, Wrong: []string{err.Error()}}
}

func (m *machine) partition(t *gpt.Table, kind gpt.GUID) (*Volume, error) {
	p := t.Find(kind)
	if p == nil {
		return nil, fmt.Errorf("no partition of type %s", kind)
	}
	return &Volume{m.d, int64(p.First), int64(p.Last - p.First + 1)}, nil
}

func (m *machine) mountRoot(t *gpt.Table, c *cache) error {
	kind, err := gpt.Root("amd64")
	if err != nil {
		return err
	}
	v, err := m.partition(t, kind)
	if err != nil {
		return err
	}
	m.root, err = openExt4(v, c)
	if err == nil || errors.Is(err, errTorn) || m.repair == nil {
		return err
	}
	if broken := m.repair(v); broken != nil {
		return errors.Join(err, broken)
	}
	m.root, err = openExt4(v, c)
	return err
}

// entries reads boot entries in the loader's order.
func (m *machine) entries(dir string) ([]bls.Entry, error) {
	d, err := m.esp.find(dir)
	if err != nil {
		return nil, err
	}
	files, err := m.esp.dir(d.first)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	var all []bls.Entry
	for _, file := range files {
		if _, err := bls.ParseName(file.name); err != nil || file.dir {
			continue
		}
		data, err := m.esp.content(file)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", dir, err)
		}
		e, err := bls.Parse(file.name, data)
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	bls.Sort(all)
	return all, nil
}

// follow looks at all that the entries name, and at what is staged.
func (m *machine) follow(entries []bls.Entry) {
	var versions []string
	for i, e := range entries {
		d := m.entry(e)
		versions = append(versions, d.Version+counter(e.Name))
		if m.root != nil {
			usable := m.deployment(&d)
			m.view.Given = m.view.Given || i == 0 && !usable && len(entries) > 1
		}
		m.view.Deployments = append(m.view.Deployments, d)
	}
	m.view.Outcome = strings.Join(versions, " ")
	if m.root == nil {
		return
	}
	if in, err := m.root.lookup(rootInode, deploy.VarPath()); err != nil {
		m.view.wrong("/var: %v", err)
	} else if m.view.Var, err = m.root.tree(in.number); err != nil {
		m.view.wrong("/var: %v", err)
	}
	m.checkLinks("composefs/images")
	m.checkLinks("composefs/streams")
	m.staged()
}

// counter is what the name of an entry says of its tries: "", "+3", "+2-1".
func counter(n bls.Name) string {
	return strings.TrimSuffix(strings.TrimPrefix(n.String(), n.Base), ".conf")
}

// entry checks the files that an entry names.
func (m *machine) entry(e bls.Entry) Deployment {
	d := Deployment{Version: e.Get("version")}
	named, err := cmdline.Composefs(e.Get("options"))
	if err != nil || named.Insecure {
		m.view.wrong("entry %s: options %q", e.Name, e.Get("options"))
	}
	d.ID = string(named.ID)
	i := slices.IndexFunc(m.images, func(i Image) bool { return i.Version == d.Version })
	if i < 0 {
		m.view.wrong("entry %s: no image has version %q", e.Name, d.Version)
		return d
	}
	for _, key := range []string{"linux", "initrd"} {
		want := m.images[i].Kernel
		if key == "initrd" {
			want = m.images[i].Initrd
		}
		file, err := m.esp.find(e.Get(key))
		got := ""
		if err == nil {
			got, err = m.esp.sha256(file)
		}
		if err != nil {
			m.view.wrong("%s of entry %s: %v", key, e.Name, err)
		} else if got != want {
			m.view.wrong("%s of entry %s: its SHA-256 is %s, not %s", key, e.Name, got, want)
		}
	}
	return d
}

func (m *machine) checkLoader() {
	for _, name := range []string{"EFI/BOOT/BOOTX64.EFI", "EFI/systemd/systemd-bootx64.efi"} {
		file, err := m.esp.find(name)
		got := ""
		if err == nil {
			got, err = m.esp.sha256(file)
		}
		if err == nil && got != m.images[0].Loader {
			err = fmt.Errorf("its SHA-256 is %s", got)
		}
		if err != nil {
			m.view.wrong("the loader %s: %v", name, err)
		}
	}
}

// deployment checks image, objects and state. It reports whether the initramfs
// program would make a root of them.
func (m *machine) deployment(d *Deployment) (usable bool) {
	fail := func(what string, err error) {
		m.view.wrong("%s of version %s (%.12s): %v", what, d.Version, d.ID, err)
	}
	image, err := m.image(d.ID)
	if err != nil {
		fail("the image", err)
		return false
	}
	objects, err := m.root.objectsOf(image)
	if err != nil {
		fail("the image", err)
		return false
	}
	for _, o := range objects {
		if err := m.object(o); err != nil {
			fail("object "+o.String()[:12], err)
		}
	}
	dir, err := m.root.lookup(rootInode, "state/deploy/"+d.ID)
	if err != nil {
		fail("the state", err)
		return false
	}
	usable = true
	if in, err := m.root.lookup(dir.number, "etc"); err != nil {
		fail("/etc", err)
		usable = false
	} else if d.Etc, err = m.root.tree(in.number); err != nil {
		fail("/etc", err)
	}
	if in, err := m.root.lookup(dir.number, "var"); err != nil {
		fail("/var", err)
		usable = false
	} else if text, err := m.root.link(in); err != nil || text != "../../os/default/var" {
		fail("/var", fmt.Errorf("link to %q: %w", text, err))
	}
	if in, err := m.root.lookup(dir.number, d.ID+".origin"); err != nil {
		fail("the origin", err)
	} else if data, err := m.root.content(in); err != nil {
		fail("the origin", err)
	} else if _, err := deploy.ParseOrigin(data); err != nil {
		fail("the origin", err)
	}
	return usable
}

// image finds the EROFS image that composefs= names, as the initramfs program
// does.
func (m *machine) image(id string) (*inode, error) {
	link, err := m.root.lookup(rootInode, "composefs/images/"+id)
	if err != nil {
		return nil, err
	}
	text, err := m.root.link(link)
	if err != nil {
		return nil, err
	}
	in, err := m.root.lookup(rootInode, path.Join("composefs/images", text))
	if err != nil {
		return nil, err
	}
	return in, m.root.measures(in, func(got verity.Digest) bool { return got.String() == id })
}

func (m *machine) object(want verity.Digest) error {
	in, err := m.root.lookup(rootInode, "composefs/objects/"+want.ObjectPath())
	if err != nil {
		return err
	}
	return m.root.measures(in, func(got verity.Digest) bool { return got == want })
}

// checkLinks holds the repository to its rule: a link leads to a whole object.
func (m *machine) checkLinks(dir string) {
	in, err := m.root.lookup(rootInode, dir)
	if err != nil {
		m.view.wrong("%s: %v", dir, err)
		return
	}
	names, err := m.root.dir(in)
	if err != nil {
		m.view.wrong("%s: %v", dir, err)
		return
	}
	sorted := make([]string, 0, len(names))
	for name := range names {
		sorted = append(sorted, name)
	}
	slices.Sort(sorted)
	for _, name := range sorted {
		link, err := m.root.inode(names[name])
		if err == nil && link.mode&typeMask == typeDir {
			continue // refs
		}
		var text string
		if err == nil {
			text, err = m.root.link(link)
		}
		var want verity.Digest
		if err == nil {
			want, err = verity.ParseDigest(path.Base(path.Dir(text)) + path.Base(text))
		}
		if err == nil {
			err = m.object(want)
		}
		if err != nil {
			m.view.wrong("%s/%.40s: %v", dir, name, err)
		}
	}
}

// staged finds the update that is staged: staged.json names it, it is not booted
// already, and it has entries and state. Everything else is a leftover.
func (m *machine) staged() {
	in, err := m.root.lookup(rootInode, "state/bootc/staged.json")
	if errors.Is(err, errAbsent) {
		return
	}
	var record struct{ ID string }
	if err == nil {
		var data []byte
		if data, err = m.root.content(in); err == nil {
			err = json.Unmarshal(data, &record)
		}
	}
	if err != nil {
		m.view.wrong("staged.json: %v", err)
		return
	}
	if record.ID == m.view.Deployments[0].ID {
		return
	}
	e, err := m.stagedEntry(record.ID)
	if err != nil {
		m.view.wrong("the staged entries: %v", err)
		return
	}
	if e == nil {
		return
	}
	d := m.entry(*e)
	d.Staged = true
	m.deployment(&d)
	d.Etc = 0 // it is made anew when the update is finalized
	m.view.Deployments = append(m.view.Deployments, d)
	m.view.Outcome += ", " + d.Version + " staged"
}

func (m *machine) stagedEntry(id string) (*bls.Entry, error) {
	loader, err := m.esp.find("loader")
	if err != nil {
		return nil, err
	}
	all, err := m.esp.dir(loader.first)
	if err != nil {
		return nil, err
	}
	for _, dir := range all {
		if tail, ok := strings.CutPrefix(dir.name, "entries.staged"); !ok || tail != "" && tail[0] != '-' {
			continue
		}
		entries, err := m.entries("loader/" + dir.name)
		if err != nil || len(entries) == 0 {
			continue
		}
		if named, err := cmdline.Composefs(entries[0].Get("options")); err == nil && string(named.ID) == id {
			return &entries[0], nil
		}
		return nil, nil
	}
	return nil, nil
}
