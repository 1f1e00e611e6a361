package main

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// debianPackages make a root file system of about 265 MB.
const debianPackages = "linux-image-cloud-amd64,systemd,systemd-sysv,udev,dbus,dracut,kmod,zstd,iproute2,openssh-server," +
	"systemd-boot-efi,systemd-boot,systemd-repart,systemd-resolved,erofs-utils,e2fsprogs,dosfstools,fsverity,ca-certificates"

// input returns the path of something that is made once.
func (b *bench) input(name string, prepare func(path string) error) (string, error) {
	path := filepath.Join(b.cache, name)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	fmt.Printf("making %s (once)\n", path)
	part := path + ".part"
	if err := os.RemoveAll(part); err != nil {
		return "", err
	}
	if err := prepare(part); err != nil {
		return "", fmt.Errorf("making %s: %w", path, err)
	}
	return path, os.Rename(part, path)
}

// debian is a layout of a Debian root file system in one layer.
func (b *bench) debian(name, packages string) (string, error) {
	archive, err := b.input(name+".tar", func(path string) error {
		c := exec.Command("mmdebstrap", "--quiet", "--mode=root", "--skip=output/dev", "--variant=minbase", "--format=tar",
			"--include="+packages, "--customize-hook=mkdir $1/sysroot", "trixie", path)
		c.Stderr = os.Stderr
		return c.Run()
	})
	if err != nil {
		return "", err
	}
	return b.input(name, func(path string) error {
		return writeLayout(path, "", func(w io.Writer) error {
			f, err := os.Open(archive)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = io.Copy(w, f)
			return err
		}, gzip.DefaultCompression)
	})
}

// rootFS writes the directories that every image needs, then what more adds.
func rootFS(more func(*tar.Writer) error) tarball {
	return func(w io.Writer) error {
		b := bufio.NewWriterSize(w, 1<<20)
		t := tar.NewWriter(b)
		for _, d := range []string{"boot/", "etc/", "run/", "sysroot/", "tmp/", "usr/", "usr/lib/", "var/"} {
			if err := directory(t, d); err != nil {
				return err
			}
		}
		if err := more(t); err != nil {
			return err
		}
		if err := t.Close(); err != nil {
			return err
		}
		return b.Flush()
	}
}

func directory(t *tar.Writer, name string) error {
	return t.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755, ModTime: time.Unix(1, 0)})
}

// file writes a file of size bytes, pages of zeros among pages of noise.
func file(t *tar.Writer, name string, size int64, noise *rand.ChaCha8) error {
	if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: size, ModTime: time.Unix(1, 0)}); err != nil {
		return err
	}
	page := make([]byte, 64<<10)
	for left := size; left > 0; left -= int64(len(page)) {
		page = page[:min(left, int64(len(page)))]
		_, _ = noise.Read(page[:min(len(page), 4096)]) // never fails
		if _, err := t.Write(page); err != nil {
			return err
		}
	}
	return nil
}

func noise() *rand.ChaCha8 { return rand.NewChaCha8([32]byte{}) }

// writeDump writes a composefs dump of 500 directories of 1,000 files, each of
// another content.
func writeDump(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriter(f)
	fmt.Fprintln(w, "/ 4096 40755 502 0 0 0 0.0 - - -")
	for i := range 500 {
		fmt.Fprintf(w, "/dir-%03d 4096 40755 2 0 0 0 0.0 - - -\n", i)
		for j := range 1000 {
			d := fmt.Sprintf("%x", sha256.Sum256(fmt.Append(nil, i, j)))
			fmt.Fprintf(w, "/dir-%03d/file-%04d %d 100644 1 0 0 0 0.0 %s/%s - %s\n", i, j, 100+j, d[:2], d[2:], d)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Close()
}
