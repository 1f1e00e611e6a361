package action_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/machine/boot"
)

// view is all of a machine that something needs: what the loader does, what each
// deployment has, what verbs read. ids are the deployments that there must be. It does
// not use what fsck uses to find damage.
func (l *lab) view(ids []bootc.ID) map[string]string {
	l.Helper()
	v := map[string]string{}
	entries, err := l.m.Loader.Entries()
	l.viewEntries(v, "entry", entries, err)
	staged, err := l.m.Loader.StagedEntries()
	l.viewEntries(v, "next", staged, err)
	_, targets, err := boot.Binaries("amd64")
	must(l, err)
	for _, name := range targets {
		v["loader "+name] = l.digest("esp/" + name)
	}
	v["conf"] = l.loaderConf()
	for _, id := range ids {
		l.viewDeployment(v, id)
	}
	v["var"] = l.treeDigest("sysroot/state/os/default/var")
	st, err := l.m.State.Staged()
	v["staged"] = fmt.Sprint(err)
	if st != nil {
		v["staged"] = fmt.Sprint(st.ID, st.Locked, st.Manifest)
	}
	rejected, err := l.m.State.Rejections()
	v["history"] = fmt.Sprint(err)
	for _, r := range rejected {
		v["history"] += fmt.Sprint(r.Manifest, r.Reason)
	}
	trial, err := l.m.State.Trial()
	v["trial"] = fmt.Sprint(err)
	if trial != nil {
		v["trial"] = fmt.Sprint(trial.ID, trial.Manifest, trial.Refills, len(trial.Boots))
	}
	return v
}

func (l *lab) viewEntries(v map[string]string, what string, all []boot.Entry, err error) {
	if err != nil {
		v[what] = err.Error()
	}
	for i, e := range all {
		text := fmt.Sprint(e.ID, e.Cmdline, e.Name.Counted, e.Name.Left, e.Name.Done)
		for _, p := range e.Files() {
			text += " " + l.digest("esp/"+p)
		}
		v[fmt.Sprint(what, i)] = text
	}
}

func (l *lab) viewDeployment(v map[string]string, id bootc.ID) {
	name := string(id[:8])
	o, err := l.m.State.Origin(id)
	v["origin "+name] = fmt.Sprint(o, err)
	top := "sysroot/state/deploy/" + string(id)
	v["etc "+name] = l.treeDigest(top + "/etc")
	v["varlink "+name], _ = os.Readlink(filepath.Join(l.dir, top, "var"))
	t, err := l.m.Repo.ReadImage(id)
	if err != nil {
		v["image "+name] = err.Error()
		return
	}
	v["image "+name] = fmt.Sprint(t.Walk(func(path string, n *tree.Node) error {
		if !n.IsRegular() {
			return nil
		}
		_, err := l.m.Repo.ReadFile(n)
		return err
	}))
	// What an update of it would be compared with.
	_, err = l.m.Repo.Image(o.Manifest)
	v["layers "+name] = fmt.Sprint(err)
	v["tag "+name] = fmt.Sprint(l.m.Repo.Tags())
}

func (l *lab) digest(name string) string {
	f, err := os.Open(filepath.Join(l.dir, name))
	if err != nil {
		return "missing"
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "unreadable"
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:8])
}

// treeDigest is the digest of a directory.
func (l *lab) treeDigest(name string) string {
	var all []string
	top := filepath.Join(l.dir, name)
	err := filepath.WalkDir(top, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(l.dir, p)
		text := rel + d.Type().String()
		if d.Type().IsRegular() {
			text += l.digest(rel)
		}
		all = append(all, text)
		return nil
	})
	if err != nil {
		return "missing"
	}
	return fmt.Sprintf("%x", sha256.Sum256([]byte(strings.Join(all, "\n"))))[:16]
}

// loaderConf is what the loader takes from its configuration.
func (l *lab) loaderConf() string {
	data, _ := os.ReadFile(filepath.Join(l.dir, "esp/loader/loader.conf"))
	var all []string
	for line := range strings.SplitSeq(string(data), "\n") {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && slices.Contains([]string{"default", "preferred", "timeout", "editor"}, key) {
			all = append(all, key+"="+value)
		}
	}
	return strings.Join(all, " ")
}
