package uki_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/bootc-go/bootc/internal/format/uki"
)

// program is an EFI application for x86-64.
func program() []byte {
	b := make([]byte, 1024)
	copy(b, "MZ")
	b[0x3c] = 0x40
	copy(b[0x40:], "PE\x00\x00\x64\x86\x01\x00")
	b[0x40+20] = 112
	optional := b[0x40+24:]
	binary.LittleEndian.PutUint16(optional, 0x20b)
	optional[68] = 10
	row := optional[112:]
	copy(row, ".text")
	binary.LittleEndian.PutUint32(row[16:], 512)
	binary.LittleEndian.PutUint32(row[20:], 512)
	return b
}

func TestCheckProgram(t *testing.T) {
	change := func(at int, to byte) func([]byte) []byte {
		return func(b []byte) []byte { b[at] = to; return b }
	}
	for _, test := range []struct {
		name, arch string
		change     func([]byte) []byte
		want       string
	}{
		{name: "whole", arch: "amd64"},
		{name: "an architecture that is not known", arch: "vax"},
		{name: "another architecture", arch: "arm64", want: "it is for machine 0x8664, and arm64 is 0xaa64"},
		{name: "empty", arch: "amd64", change: func([]byte) []byte { return nil }, want: "it ends before its headers do, at offset 0"},
		{name: "compressed", arch: "amd64", change: change(0, 0x1f), want: "it does not begin with MZ"},
		{name: "for DOS", arch: "amd64", change: change(0x40, 0), want: "it has no PE signature"},
		{name: "no sections", arch: "amd64", change: change(0x46, 0), want: "it has no sections"},
		{name: "no optional header", arch: "amd64", change: change(0x40+20, 2), want: "its optional header has 2 bytes"},
		{name: "a ROM image", arch: "amd64", change: change(0x40+24, 7), want: "its optional header begins with 0x207"},
		{name: "a program for Windows", arch: "amd64", change: change(0x40+24+68, 3), want: "its subsystem is 3, and that of an EFI application is 10"},
		{name: "cut off", arch: "amd64", change: func(b []byte) []byte { return b[:1023] }, want: "it has 1023 bytes, and its section .text ends at 1024"},
	} {
		b := program()
		if test.change != nil {
			b = test.change(b)
		}
		var got string
		if err := uki.CheckProgram(bytes.NewReader(b), int64(len(b)), test.arch); err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%s: CheckProgram = %q, want %q", test.name, got, test.want)
		}
	}
}
