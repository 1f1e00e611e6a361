package install

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bootc-go/bootc/internal/format/installconfig"
)

// A SettingError says that the installation defaults of an image ask for what
// there is not.
type SettingError struct {
	Key, Value string // as they stand in TOML
	Only       string // the value that there is
	// Option is an option that decides in place of the setting, with a value that
	// there is; "" if there is none.
	Option string
}

func (e *SettingError) Error() string {
	return fmt.Sprintf("the installation defaults of the image say %s = %s, and only %s is supported yet", e.Key, e.Value, e.Only)
}

// checkConfig refuses settings that ask for what there is not, unless an option
// decides. The mount specs are for file systems that others have made, bootupd and
// ostree for GRUB and ostree: none of them says anything about this installation.
func (o *Options) checkConfig(c *installconfig.Config) error {
	for _, s := range []struct {
		SettingError
		given string // by the option
	}{
		{SettingError{"filesystem.root.type", text(c.RootFSType), `"ext4"`, "--filesystem ext4"}, o.Storage.Filesystem},
		{SettingError{"bootloader", text(c.Bootloader), `"systemd"`, "--bootloader systemd"}, o.Bootloader},
		{SettingError{"stateroot", text(c.Stateroot), `"default"`, ""}, ""},
		{SettingError{"discoverable-partitions", text(c.DiscoverablePartitions), "true", ""}, ""},
		{SettingError{"enforce-container-sigpolicy", text(c.EnforceContainerSigpolicy), "false", ""}, ""},
	} {
		if s.given == "" && s.Value != "" && s.Value != s.Only {
			return &s.SettingError
		}
	}
	if err := o.checkBlock(c.Block); err != nil {
		return err
	}
	for _, list := range [][]string{c.Kargs, c.KargDeletes} {
		if err := checkKargs(split(list)); err != nil {
			return fmt.Errorf("installation defaults of the image: %w", err)
		}
	}
	return nil
}

// checkBlock refuses a list of block setups that begins with another one than the
// direct one, unless the option decides; what is not on the list, it cannot have.
func (o *Options) checkBlock(list []installconfig.BlockSetup) error {
	at := slices.Index(list, installconfig.Direct)
	if list == nil || at == 0 || at > 0 && o.BlockSetup != "" {
		return nil
	}
	var words []string
	for _, b := range list {
		words = append(words, text(&b))
	}
	e := &SettingError{Key: "block", Value: "[" + strings.Join(words, ", ") + "]", Only: `"direct"`}
	if at > 0 {
		e.Option = "--block-setup direct"
	}
	return e
}

// text writes a setting as it stands in TOML, "" if it is not set.
func text[T ~string | ~bool](v *T) string {
	if v == nil {
		return ""
	}
	return fmt.Sprintf("%#v", *v)
}
