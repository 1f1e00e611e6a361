package cmdline

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// A File is a file of /usr/lib/bootc/kargs.d.
type File struct {
	Name string // without directory
	Data []byte
}

// ParseKargsD returns the kernel arguments that an image asks for on an
// architecture, which is named as Go does ("amd64"). Files whose name does not
// end in .toml are left out, the others are taken in byte order of their
// names. An argument that is there already, in the same or an earlier file,
// keeps its first place and spelling.
func ParseKargsD(files []File, goarch string) ([]string, error) {
	arch, err := ArchName(goarch)
	if err != nil {
		return nil, err
	}
	files = slices.Clone(files)
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	line := ""
	for _, f := range files {
		if !strings.HasSuffix(f.Name, ".toml") || f.Name == ".toml" {
			continue
		}
		kargs, err := parseFile(f.Data, arch)
		if err != nil {
			return nil, fmt.Errorf("kargs.d file %q: %w", f.Name, err)
		}
		line = Extend(line, kargs)
	}
	var all []string
	for _, p := range Split(line) {
		if err := check(p); err != nil {
			return nil, fmt.Errorf("kargs.d: %w", err)
		}
		all = append(all, p.Text)
	}
	return all, nil
}

// parseFile returns the arguments of one file joined by blanks, "" if it is
// for other architectures.
func parseFile(data []byte, arch string) (string, error) {
	var file struct {
		Kargs []string  `toml:"kargs"`
		Arch  *[]string `toml:"match-architectures"`
	}
	meta, err := toml.Decode(string(data), &file)
	if err != nil {
		return "", err
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return "", fmt.Errorf("unknown key %q", unknown[0].String())
	}
	if !meta.IsDefined("kargs") {
		return "", errors.New("key \"kargs\" is missing")
	}
	if file.Arch != nil && !slices.Contains(*file.Arch, arch) {
		return "", nil
	}
	for _, k := range file.Kargs {
		for _, p := range Split(k) {
			if isComposefs(p) {
				return "", check(p)
			}
		}
	}
	return strings.Join(file.Kargs, " "), nil
}

// ArchName translates Go's name of an architecture to the one used in
// match-architectures.
func ArchName(goarch string) (string, error) {
	names := map[string]string{
		"386": "x86", "amd64": "x86_64", "arm": "arm", "arm64": "aarch64", "loong64": "loongarch64",
		"ppc64": "powerpc64", "ppc64le": "powerpc64", "riscv64": "riscv64", "s390x": "s390x",
	}
	if name := names[goarch]; name != "" {
		return name, nil
	}
	return "", fmt.Errorf("unknown architecture %q", goarch)
}

// Delta changes the command line of a booted system as the kernel arguments of
// its image change: those that only the old image asked for go, all copies of
// them, those that only the new one asks for are appended. Others, of the
// owner and of the installer, stay where they are.
func Delta(line string, old, next []string) string {
	was, will := parseAll(old), parseAll(next)
	for _, p := range was {
		if !isComposefs(p) && !contains(will, p) {
			line = Remove(line, p)
		}
	}
	for _, p := range will {
		if !isComposefs(p) && !contains(was, p) {
			line = Add(line, p)
		}
	}
	return line
}

func parseAll(texts []string) []Param {
	params := make([]Param, len(texts))
	for i, t := range texts {
		params[i] = parse(t)
	}
	return params
}

func contains(params []Param, p Param) bool { return slices.ContainsFunc(params, p.Equal) }
