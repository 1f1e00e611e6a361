// Package installconfig reads what an image says about its own installation, the
// files bootc/install/*.toml, and prints it as bootc install print-configuration
// does.
//
// It does not know which of the settings can be had.
//
// Invariants:
//   - every file is checked, also one for other architectures: a key that is not
//     known, or a value that is not, is an error that names the file;
//   - both spellings of the root's file system say the same.
//
// Source: bootc-install-config(5) of upstream bootc 1.16, except that the root's
// file system is that of the last file, whichever spelling it has.
package installconfig

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// A Config is the table [install] of all files together. What is nil is not set.
// The fields stand in the order in which they are printed; the manual page
// bootc-install-config(5) says what they mean.
type Config struct {
	// Block lists the ways in which the root may be kept on a disk, the first
	// is the default. It is set where any file applies.
	Block                     []BlockSetup `toml:"block" json:"block"`
	BootMountSpec             *string      `toml:"boot-mount-spec" json:"boot-mount-spec"`
	Bootloader                *Bootloader  `toml:"bootloader" json:"bootloader"`
	Bootupd                   *Bootupd     `toml:"bootupd" json:"bootupd"`
	DiscoverablePartitions    *bool        `toml:"discoverable-partitions" json:"discoverable-partitions"`
	EnforceContainerSigpolicy *bool        `toml:"enforce-container-sigpolicy" json:"enforce-container-sigpolicy"`
	Filesystem                *Filesystems `toml:"filesystem" json:"filesystem"`
	// KargDeletes are kernel arguments that the image does without.
	KargDeletes []string `toml:"karg-deletes" json:"karg-deletes,omitzero"`
	// Kargs are kernel arguments that only an installation adds.
	Kargs []string `toml:"kargs" json:"kargs,omitzero"`
	// MatchArchitectures is that of the first file that applies.
	MatchArchitectures []string    `toml:"match-architectures" json:"match-architectures"`
	Ostree             *Ostree     `toml:"ostree" json:"ostree"`
	RootFSType         *Filesystem `toml:"root-fs-type" json:"root-fs-type"` // as Filesystem.Root.Type
	RootMountSpec      *string     `toml:"root-mount-spec" json:"root-mount-spec"`
	Stateroot          *string     `toml:"stateroot" json:"stateroot"`

	// Unknown are keys that were passed over, with their files.
	Unknown []string `toml:"-" json:"-"`
}

// Filesystems is the table [install.filesystem].
type Filesystems struct {
	Root *RootFilesystem `toml:"root" json:"root"`
}

// RootFilesystem is the table [install.filesystem.root].
type RootFilesystem struct {
	Type *Filesystem `toml:"type" json:"type"`
}

// Bootupd is the table [install.bootupd], for the program of that name.
type Bootupd struct {
	SkipBootUUID *bool `toml:"skip-boot-uuid" json:"skip-boot-uuid"`
}

// Ostree is the table [install.ostree], for the ostree backend. Keys of it that
// are not known are passed over.
type Ostree struct {
	BLSAppendExceptDefault *string `toml:"bls-append-except-default" json:"bls-append-except-default,omitempty"`
}

// known reports whether a key may stand in a file.
func known(key string) bool {
	switch key {
	case "install",
		"install.block", "install.boot-mount-spec", "install.bootloader",
		"install.bootupd", "install.bootupd.skip-boot-uuid",
		"install.discoverable-partitions", "install.enforce-container-sigpolicy",
		"install.filesystem", "install.filesystem.root", "install.filesystem.root.type",
		"install.karg-deletes", "install.kargs", "install.match-architectures",
		"install.ostree", "install.ostree.bls-append-except-default",
		"install.root-fs-type", "install.root-mount-spec", "install.stateroot":
		return true
	}
	return false
}

// A Filesystem is a type of file system.
type Filesystem string

// UnmarshalText takes a type that is known.
func (f *Filesystem) UnmarshalText(text []byte) error {
	return word(f, text, "xfs", "ext4", "btrfs")
}

// A BlockSetup is a way to keep the root on a disk.
type BlockSetup string

// The block setups.
const (
	Direct   BlockSetup = "direct"
	TPM2LUKS BlockSetup = "tpm2-luks"
)

// UnmarshalText takes a block setup that is known.
func (b *BlockSetup) UnmarshalText(text []byte) error {
	return word(b, text, string(Direct), string(TPM2LUKS))
}

// A Bootloader is a kind of boot loader.
type Bootloader string

// UnmarshalText takes a boot loader that is known.
func (b *Bootloader) UnmarshalText(text []byte) error {
	return word(b, text, "grub", "grub-cc", "systemd", "none")
}

// word takes one of a few words.
func word[T ~string](to *T, text []byte, of ...string) error {
	if !slices.Contains(of, string(text)) {
		return fmt.Errorf("%q is not one of %s", text, strings.Join(of, ", "))
	}
	*to = T(text)
	return nil
}

// Print writes the configuration as one line of JSON with sorted keys. all says
// whether it has the kernel arguments, which an installer that leaves them to
// bootc does not want.
func (c *Config) Print(w io.Writer, all bool) error {
	shown := *c
	if !all {
		shown.Kargs, shown.KargDeletes = nil, nil
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(shown)
}
