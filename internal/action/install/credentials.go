package install

import (
	"bytes"
	"context"
	"io"

	"github.com/bootc-go/bootc/internal/format/credential"
	"github.com/bootc-go/bootc/internal/machine"
	"github.com/bootc-go/bootc/internal/machine/boot"
)

// writeCredentials puts the credentials where systemd-stub finds them, and makes
// the archive for a kernel that is started without that stub.
func (p *Plan) writeCredentials(ctx context.Context, m *machine.Machine, archive bool) error {
	all := p.Options.Credentials
	if len(all) == 0 {
		return nil
	}
	var files []boot.Named
	for _, c := range all {
		files = append(files, boot.Named{Name: c.File(), File: inMemory(c.Encoded)})
	}
	if archive {
		files = append(files, boot.Named{Name: boot.CredentialsArchive, File: inMemory(credential.Archive(all))})
	}
	return m.Loader.InstallCredentials(ctx, files)
}

func inMemory(data []byte) boot.File {
	return boot.File{Size: int64(len(data)), Open: func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(data)), nil
	}}
}
