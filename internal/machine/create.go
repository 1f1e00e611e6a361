package machine

import (
	"errors"
	"fmt"
	"os"

	"github.com/bootc-go/bootc/internal/content/images"
	"github.com/bootc-go/bootc/internal/linux/mount"
	"github.com/bootc-go/bootc/internal/machine/boot"
	"github.com/bootc-go/bootc/internal/machine/deploy"
)

// Create makes a machine on two new file systems, given by their block
// devices. insecure allows a root without fs-verity. The mounts are seen by
// nobody else and disappear with Close.
func Create(rootDevice, espDevice string, insecure bool) (*Machine, error) {
	m := &Machine{}
	if err := m.createIn(rootDevice, espDevice, insecure); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

func (m *Machine) createIn(rootDevice, espDevice string, insecure bool) error {
	sysroot, err := m.mountRoot("ext4", rootDevice)
	if err != nil {
		return err
	}
	esp, err := m.mountRoot("vfat", espDevice, espOptions()...)
	if err != nil {
		return err
	}
	return m.create(sysroot, esp, insecure)
}

// CreateOn makes a machine on two new file systems that are mounted already.
// The handles stay the caller's.
func CreateOn(sysroot, esp *os.Root, insecure bool) (*Machine, error) {
	m := &Machine{}
	if err := m.create(sysroot, esp, insecure); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// Describe makes a machine of which only a description is kept: sysroot is an
// empty directory of an ordinary user, the repository is one that has its images
// already or gets them, esp is not written. What it describes is a machine as
// Create makes it, once [deploy.Grafts] and the contents of the repository are
// added. The handles stay the caller's.
func Describe(sysroot *os.Root, repo *images.Repository, esp *boot.Described) (*Machine, error) {
	if err := makeSkeleton(sysroot, func(*os.Root) error { return nil }); err != nil {
		return nil, err
	}
	m := &Machine{Sysroot: sysroot, Repo: repo, State: deploy.NewBare(sysroot), Loader: boot.On(esp)}
	return m, m.State.Init()
}

func (m *Machine) create(sysroot, esp *os.Root, insecure bool) error {
	err := makeSkeleton(sysroot, func(root *os.Root) error {
		repo, err := images.Init(root, images.InitOptions{Insecure: insecure})
		if err != nil {
			return err
		}
		return repo.Close()
	})
	if err != nil {
		return err
	}
	if err := m.useSysroot(sysroot, images.Open); err != nil {
		return err
	}
	m.Loader = boot.New(esp)
	return m.State.Init()
}

func (m *Machine) mountRoot(fstype, device string, options ...string) (*os.Root, error) {
	mnt, err := mount.Device(fstype, device, options...)
	if err != nil {
		return nil, fmt.Errorf("mounting %s: %w", device, err)
	}
	m.onClose(mnt.Close)
	root, err := rootOf(mnt)
	if err != nil {
		return nil, err
	}
	m.onClose(root.Close)
	return root, nil
}

// makeSkeleton makes the directories of a physical root that upstream's tools
// expect. repository fills the one for images.
func makeSkeleton(root *os.Root, repository func(*os.Root) error) error {
	for _, d := range []string{"boot/efi", "ostree"} {
		if err := root.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	if err := root.Mkdir("composefs", 0o700); err != nil {
		return err
	}
	repo, err := root.OpenRoot("composefs")
	if err != nil {
		return err
	}
	defer repo.Close()
	if err := repository(repo); err != nil {
		return fmt.Errorf("making the image repository: %w", err)
	}
	if err := repo.Mkdir("bootc", 0o755); err != nil {
		return err
	}
	return root.Symlink("../composefs/bootc", "ostree/bootc")
}
