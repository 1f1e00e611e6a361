package fsck

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"slices"
	"unicode/utf8"

	"github.com/bootc-go/bootc/internal/format/tree"
	"github.com/bootc-go/bootc/internal/format/uki"
	"github.com/bootc-go/bootc/internal/machine/boot"
)

// A loaderCopy is one of the two copies of the boot loader.
type loaderCopy struct {
	name string
	data []byte
	err  error
	// image: it is the one of the image of a deployment.
	image bool
}

// maxLoader bounds the size of a boot loader that is read.
const maxLoader = 16 << 20

// A loaderState is what is known of the boot loader.
type loaderState struct {
	copies []loaderCopy
	node   *tree.Node // of the first image that has it
}

func (s *survey) readLoader() (*loaderState, error) {
	source, targets, err := boot.Binaries(runtime.GOARCH)
	if err != nil {
		return nil, err
	}
	l := &loaderState{}
	var nodes []*tree.Node
	for _, d := range s.bootedFirst() {
		for _, name := range []string{source + ".signed", source} {
			if d.tree == nil {
				continue
			}
			if n := d.tree.Lookup(name); n != nil && n.IsRegular() {
				nodes = append(nodes, n)
			}
		}
	}
	if len(nodes) > 0 {
		l.node = nodes[0]
	}
	for _, name := range targets {
		c := loaderCopy{name: name}
		c.data, c.err = s.readWhole(name)
		c.image = c.err == nil && slices.ContainsFunc(nodes, func(n *tree.Node) bool { return s.compare(name, n) == nil })
		l.copies = append(l.copies, c)
	}
	return l, nil
}

func (s *survey) readWhole(name string) ([]byte, error) {
	f, err := s.m.Loader.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("it is missing")
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxLoader))
	if err == nil && len(data) == 0 {
		err = errors.New("it is empty")
	}
	return data, err
}

// faults says which copies are damaged. Two that agree are right, also if no image has
// them: install has written them from an image that is gone. Of two that differ, the
// one that an image has is right, and the other one, too, if it is a whole program of
// another kind or version, which its owner has put there. What is called systemd-boot
// must be one.
func (l *loaderState) faults() map[string]string {
	bad := map[string]string{}
	for i, c := range l.copies {
		if c.err != nil {
			bad[c.name] = cause(c.err)
		} else if what := notLoader(c.data, i == 0); what != "" && !c.image {
			bad[c.name] = what
		}
	}
	a, b := &l.copies[0], &l.copies[1]
	if len(bad) > 0 || bytes.Equal(a.data, b.data) || !sameProgram(a.data, b.data) {
		return bad
	}
	for _, pair := range [][2]*loaderCopy{{a, b}, {b, a}} {
		c, other := pair[0], pair[1]
		switch {
		case c.image:
		case other.image:
			bad[c.name] = "it is not the boot loader of the image"
		default:
			bad[c.name] = fmt.Sprintf("it differs from %s, and no image tells which one is right", other.name)
		}
	}
	return bad
}

// notLoader says why a file cannot be a boot loader, or systemd-boot, "" if it may be
// one.
func notLoader(data []byte, systemd bool) string {
	if err := uki.CheckProgram(bytes.NewReader(data), int64(len(data)), runtime.GOARCH); err != nil {
		return fmt.Sprintf("firmware would not start it: %v", err)
	}
	linux := len(data) > 0x206 && string(data[0x202:0x206]) == "HdrS" || len(data) > 60 && string(data[56:60]) == "ARM\x64"
	switch {
	case linux || bytes.HasPrefix(version(data), []byte("systemd-stub")):
		return "it is a kernel, not a boot loader"
	case systemd && !bytes.HasPrefix(version(data), []byte("systemd-boot")):
		return "it is not systemd-boot"
	}
	return ""
}

// sameProgram reports whether two files were one version of one program: they say so,
// their headers are the same, which tell sizes and a checksum, or they differ in
// places only.
func sameProgram(a, b []byte) bool {
	if v := version(a); v != nil && bytes.Equal(v, version(b)) {
		return true
	}
	n, same := min(len(a), len(b)), 0
	for i := range n {
		if a[i] == b[i] {
			same++
		}
	}
	const headers = 512
	return same > n-n/8 || n >= headers && bytes.Equal(a[:headers], b[:headers])
}

// version is what a boot loader calls itself: systemd-boot(7), "#### LoaderInfo: … ####".
func version(data []byte) []byte {
	const mark = "#### LoaderInfo: "
	i := bytes.Index(data, []byte(mark))
	if i < 0 {
		return nil
	}
	text, _, _ := bytes.Cut(data[i+len(mark):], []byte(" ####"))
	return text
}

// checkLoader checks the boot loader and the files that configure it.
func (s *survey) checkLoader() {
	if l, err := s.readLoader(); err == nil {
		faults := l.faults()
		for _, c := range l.copies {
			what, ok := faults[c.name]
			if !ok {
				continue
			}
			f := Finding{Where: onESP(c.name), What: what, Means: "firmware that starts this copy may find nothing to boot"}
			if len(faults) < len(l.copies) || l.node != nil {
				f.Repair = "copies it again"
			}
			s.found(f)
		}
		for _, c := range l.copies {
			for _, name := range s.m.Loader.Beside(c.name) {
				s.note(onESP(name), "a power cut has left it; --repair removes it where that is safe")
			}
		}
	}
	for _, name := range []string{boot.EntriesSrel, boot.LoaderConf} {
		if what := s.configFault(name); what != "" {
			s.found(Finding{Where: onESP(name), What: what, Means: "nothing that boots needs it", Repair: "writes it as an installation does"})
		}
	}
}

// configFault says what is wrong with a file that configures the loader. loader.conf
// is its owner's: any text is right.
func (s *survey) configFault(name string) string {
	data, err := s.m.Loader.ReadFile(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "" // upstream's machines may have none
	case err != nil:
		return err.Error()
	case name == boot.EntriesSrel && string(bytes.TrimSpace(data)) != "type1":
		return "it does not say type1"
	case name == boot.LoaderConf && !isText(data):
		return "it is not text"
	}
	return ""
}

func isText(data []byte) bool {
	return utf8.Valid(data) && !bytes.ContainsFunc(data, func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' && r != '\r' || r == 0x7f })
}

// repairLoader copies the loader again: from the other copy, or from an image. One is
// on disk before the next is touched.
func (r *repair) repairLoader(ctx context.Context) {
	s := r.s
	l, err := s.readLoader()
	if err != nil {
		return // not an architecture of ours
	}
	faults := l.faults()
	for i, c := range l.copies {
		if faults[c.name] == "" {
			continue
		}
		other := l.copies[1-i]
		f, from := s.file(l.node), "the image"
		ownersOther := faults[other.name] == "" && !other.image && !bytes.HasPrefix(version(other.data), []byte("systemd-boot"))
		switch {
		case faults[other.name] == "" && (l.node == nil || !ownersOther):
			f, from = bytesFile(other.data), other.name
		case l.node == nil:
			continue
		}
		r.do(onESP(c.name), "copied again from "+from, s.m.Loader.Replace(ctx, c.name, f))
		if r.failed(onESP(c.name)) {
			return // the other one may be all that is left
		}
	}
	for _, name := range []string{boot.EntriesSrel, boot.LoaderConf} {
		if s.configFault(name) != "" {
			r.do(onESP(name), "written as an installation does; what else it said is lost", s.m.Loader.Replace(ctx, name, bytesFile([]byte(boot.Config()[name]))))
		}
	}
}

func bytesFile(data []byte) boot.File {
	return boot.File{Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }, Size: int64(len(data))}
}

// file is a file of an image, nil for none.
func (s *survey) file(n *tree.Node) boot.File {
	if n == nil {
		return boot.File{}
	}
	return boot.File{Open: func() (io.ReadCloser, error) { return s.m.Repo.OpenFile(n) }, Size: int64(n.Size)}
}
