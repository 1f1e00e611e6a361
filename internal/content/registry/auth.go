package registry

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"go.podman.io/image/v5/types"
)

// AuthFiles lists the places of registry credentials, in the format of
// containers-auth.json(5). The first that exists is the only one used.
func AuthFiles() []string {
	return []string{"/run/ostree/auth.json", "/etc/ostree/auth.json", "/usr/lib/ostree/auth.json"}
}

// authenticate makes the library use the first auth.json that exists, or
// nothing at all: the credentials of root and of the calling user are never
// looked at. It returns a clause for people about what was used.
func (o Options) authenticate(sys *types.SystemContext) (string, error) {
	files := o.AuthFiles
	if files == nil {
		for _, f := range AuthFiles() {
			files = append(files, filepath.Join(o.Root, f))
		}
	}
	for _, f := range files {
		_, err := os.Stat(f)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("reading registry credentials: %w", err)
		}
		sys.AuthFilePath = f
		return "credentials from " + f, nil
	}
	// The empty credentials hold for the registry itself. For mirrors the
	// library drops them and reads the file, so that must be one which is
	// not there.
	sys.DockerAuthConfig = &types.DockerAuthConfig{}
	sys.AuthFilePath = "/nonexistent/auth.json"
	if len(files) == 0 {
		return "no credentials", nil
	}
	return "no credentials: none of " + strings.Join(files, ", ") + " exists", nil
}
