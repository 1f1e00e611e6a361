package initramfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/BurntSushi/toml"

	"github.com/bootc-go/bootc/internal/format/cmdline"
)

// DefaultConfig is the configuration file. It is the one in the initramfs, so
// it is as trustworthy as that.
const DefaultConfig = "/usr/lib/composefs/setup-root-conf.toml"

// A mode says how a directory with state appears in the new root.
type mode string

const (
	none      mode = "none"      // the image's own
	bind      mode = "bind"      // the deployment's
	overlay   mode = "overlay"   // the image's with the deployment's changes on top
	transient mode = "transient" // the image's with changes that the next boot forgets
)

// UnmarshalText reads a mode, older names included.
func (m *mode) UnmarshalText(text []byte) error {
	switch s := mode(text); s {
	case none, bind, overlay, transient:
		*m = s
	case "root":
		*m = none
	case "volatile":
		*m = transient
	default:
		return fmt.Errorf("mount %q is not one of none, bind, overlay, transient", text)
	}
	return nil
}

// A config is the content of the configuration file. Keys that are not known
// are ignored, as they may be those of a later version.
type config struct {
	Root struct {
		Transient bool
	}
	Etc, Var dirConfig
}

type dirConfig struct {
	Mount     mode
	Transient bool
}

// mode returns what is configured, "" for nothing.
func (c dirConfig) mode() mode {
	if c.Mount == "" && c.Transient {
		return transient
	}
	return c.Mount
}

func readConfig(path string) (*config, error) {
	c := &config{}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return nil, err
	}
	if err := toml.Unmarshal(data, c); err != nil {
		return nil, fmt.Errorf("configuration %s: %w", path, err)
	}
	return c, nil
}

func (c *config) etc() mode {
	if m := c.Etc.mode(); m != "" {
		return m
	}
	return bind
}

// variable returns the mode of /var. With systemd.volatile= systemd provides
// one itself.
func (c *config) variable(line string) mode {
	if m := c.Var.mode(); m != "" {
		return m
	}
	switch v, _ := cmdline.Value(line, "systemd.volatile"); v {
	case "state", "overlay":
		return none
	}
	return bind
}
