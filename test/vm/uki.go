package vm

import (
	"context"
	"debug/pe"
	"fmt"
	"os"
	"path/filepath"
)

// UKI derives an image whose kernel, initrd and command line are one unified
// kernel image, unsigned, in /boot/EFI/Linux. The command line begins with
// composefs= and the given digest.
func (l *Lab) UKI(ctx context.Context, from *Image, digest, cmdline string) (*Image, error) {
	dir := filepath.Join(l.Out, "uki-"+from.Key(), "uki")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	const containerfile = "ARG BASE\nFROM $BASE\nCOPY linux.efi /boot/EFI/Linux/\n"
	if err := os.WriteFile(filepath.Join(dir, "Containerfile"), []byte(containerfile), 0o644); err != nil {
		return nil, err
	}
	text := filepath.Join(filepath.Dir(dir), "cmdline")
	if err := os.WriteFile(text, []byte("composefs="+digest+" "+cmdline), 0o644); err != nil {
		return nil, err
	}
	err := l.mounted(ctx, from, func(root string) error {
		modules, err := kernelDir(root)
		if err != nil {
			return err
		}
		uname := filepath.Join(filepath.Dir(dir), "uname")
		if err := os.WriteFile(uname, []byte(filepath.Base(modules)), 0o644); err != nil {
			return err
		}
		return l.link(ctx, filepath.Join(root, "usr/lib/systemd/boot/efi/linuxx64.efi.stub"), filepath.Join(dir, "linux.efi"), []section{
			{".osrel", filepath.Join(root, "usr/lib/os-release")},
			{".uname", uname},
			{".cmdline", text},
			{".linux", filepath.Join(modules, "vmlinuz")},
			{".initrd", filepath.Join(modules, "initramfs.img")},
		})
	})
	if err != nil {
		return nil, fmt.Errorf("making a unified kernel image of %s: %w", from.Name, err)
	}
	return l.Derive(ctx, from, dir)
}

// section is a section of a unified kernel image and the file it is made of.
type section struct{ name, file string }

// link adds sections behind those of a stub.
func (l *Lab) link(ctx context.Context, stub, to string, sections []section) error {
	f, err := pe.Open(stub)
	if err != nil {
		return err
	}
	defer f.Close()
	header, ok := f.OptionalHeader.(*pe.OptionalHeader64)
	if !ok {
		return fmt.Errorf("%s is not a 64-bit PE file", stub)
	}
	align := func(n uint64) uint64 {
		a := uint64(header.SectionAlignment)
		return (n + a - 1) / a * a
	}
	next := uint64(0)
	for _, s := range f.Sections {
		next = max(next, align(uint64(s.VirtualAddress)+uint64(s.VirtualSize)))
	}
	var args []string
	for _, s := range sections {
		info, err := os.Stat(s.file)
		if err != nil {
			return err
		}
		args = append(args, "--add-section", s.name+"="+s.file,
			"--change-section-vma", fmt.Sprintf("%s=%#x", s.name, header.ImageBase+next))
		next = align(next + uint64(info.Size()))
	}
	_, err = l.command(ctx, "objcopy", append(args, stub, to)...)
	return err
}
