package bootc

import (
	"fmt"
	"slices"
	"strings"
)

// A Transport says where an image is kept, by the name that upstream's
// interfaces use.
type Transport string

// The transports. Registry is written "docker://" in references of the
// containers tools.
const (
	Registry          Transport = "registry"
	OCI               Transport = "oci"
	OCIArchive        Transport = "oci-archive"
	DockerArchive     Transport = "docker-archive"
	ContainersStorage Transport = "containers-storage"
	Dir               Transport = "dir"
)

// Transports lists the known transports in the order people meet them.
func Transports() []Transport {
	return []Transport{Registry, OCI, OCIArchive, DockerArchive, ContainersStorage, Dir}
}

// ParseTransport checks the name of a transport ("docker" is Registry).
func ParseTransport(s string) (Transport, error) {
	if s == "docker" {
		return Registry, nil
	}
	if t := Transport(s); slices.Contains(Transports(), t) {
		return t, nil
	}
	return "", fmt.Errorf("unknown transport %q (known: registry, oci, oci-archive, docker-archive, containers-storage, dir)", s)
}

// A Ref names an image where it is kept.
type Ref struct {
	Transport Transport `json:"transport"`
	// Name is what follows the transport: "quay.io/x/y:tag" in a registry,
	// "/path:tag" in an OCI layout.
	Name string `json:"image"`
}

// ParseRef reads a reference as people type it: "docker://quay.io/x/y:tag",
// "registry:quay.io/x/y", "oci:/path:tag", or a bare "quay.io/x/y:tag", which
// means a registry. It also reads the spellings of .origin files with one of
// the "ostree-" prefixes.
func ParseRef(s string) (Ref, error) {
	rest := s
	for _, prefix := range []string{"ostree-unverified-image:", "ostree-image-signed:"} {
		if after, ok := strings.CutPrefix(rest, prefix); ok {
			rest = after
		}
	}
	if after, ok := strings.CutPrefix(rest, "ostree-unverified-registry:"); ok {
		rest = "registry:" + after
	}
	if strings.HasPrefix(rest, "ostree-remote-") {
		return Ref{}, fmt.Errorf("image reference %q: ostree remotes are not supported", s)
	}
	for _, t := range Transports() {
		if after, ok := strings.CutPrefix(rest, string(t)+":"); ok {
			return newRef(s, t, after)
		}
	}
	if after, ok := strings.CutPrefix(rest, "docker://"); ok {
		return newRef(s, Registry, after)
	}
	return newRef(s, Registry, rest)
}

func newRef(text string, t Transport, name string) (Ref, error) {
	if t == Registry {
		name = strings.TrimPrefix(name, "//")
		if strings.Contains(name, "://") {
			return Ref{}, fmt.Errorf("image reference %q: unknown transport %q", text, name[:strings.Index(name, "://")])
		}
	}
	if name == "" || strings.ContainsAny(name, "\x00\n") {
		return Ref{}, fmt.Errorf("image reference %q has no name", text)
	}
	return Ref{Transport: t, Name: name}, nil
}

// String gives the form that people see: a bare name for a registry, else
// "transport:name".
func (r Ref) String() string {
	if r.Transport == Registry {
		return r.Name
	}
	return string(r.Transport) + ":" + r.Name
}

// Containers gives the form of containers-transports(5), "docker://name".
func (r Ref) Containers() string {
	if r.Transport == Registry {
		return "docker://" + r.Name
	}
	return string(r.Transport) + ":" + r.Name
}
