// Command driver imports an image as "bootc internals cfs oci pull" does, and
// takes the arguments of that. It goes when that verb is there.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"go.podman.io/storage/pkg/reexec"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/content/images"
	"github.com/bootc-go/bootc/internal/content/registry"
	"github.com/bootc-go/bootc/internal/front/cli"
)

func main() {
	if reexec.Init() {
		return
	}
	cli.BoundGarbage()
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "driver:", err)
		os.Exit(1)
	}
}

// run knows "--repo DIR init --insecure" and "--repo DIR oci pull IMAGE NAME".
func run(ctx context.Context, args []string) error {
	if len(args) < 3 || args[0] != "--repo" {
		return errors.New("--repo DIR is needed")
	}
	root, err := os.OpenRoot(args[1])
	if err != nil {
		return err
	}
	defer root.Close()
	if args[2] == "init" {
		r, err := images.Init(root, images.InitOptions{Insecure: true})
		if err != nil {
			return err
		}
		return r.Close()
	}
	if len(args) != 6 {
		return errors.New("usage: --repo DIR oci pull IMAGE NAME")
	}
	r, err := images.Open(root)
	if err != nil {
		return err
	}
	defer r.Close()
	ref, err := bootc.ParseRef(args[4])
	if err != nil {
		return err
	}
	src, err := registry.Open(ctx, ref, registry.Options{Version: "bench"})
	if err != nil {
		return err
	}
	defer src.Close()
	img, err := r.Pull(ctx, src, nil)
	if err != nil {
		return err
	}
	if _, err := r.Compose(ctx, img); err != nil {
		return err
	}
	return r.Tag(img.Manifest)
}
