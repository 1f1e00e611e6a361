// Bootc-initramfs sets up the root file system in the initramfs, where it is
// installed as /usr/lib/bootc/initramfs-setup.
package main

import (
	"os"

	"github.com/bootc-go/bootc/internal/front/initramfs"
)

func main() { os.Exit(initramfs.Main(os.Args[1:], os.Stdout, os.Stderr)) }
