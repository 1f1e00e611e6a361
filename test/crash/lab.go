package crash

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/bootc-go/bootc/test/vm"
)

//go:embed guest.sh
var guestScript string

// diskSize is the least that install takes, and some room.
const diskSize = 1600 << 20

// A Recorded is what [Record] gives, with what it needs to run the guest again.
type Recorded struct {
	Timeline *Timeline
	Images   []Image
	guest    *vm.Image
}

// Record has a guest of the lab run the verbs and reads what they wrote. The
// recording is kept by what it depends on: the image that the guest runs, with
// the program in it, the images that are installed and the script.
func Record(ctx context.Context, lab *vm.Lab) (*Recorded, error) {
	base, err := lab.Base(ctx, vm.Dracut)
	if err != nil {
		return nil, err
	}
	guest, err := lab.Derive(ctx, base, filepath.Join(lab.Root, "test/vm/testdata/lab"))
	if err != nil {
		return nil, err
	}
	payload, err := os.MkdirTemp(lab.Out, "payload-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(payload)
	images, err := SaveImages(payload)
	if err != nil {
		return nil, fmt.Errorf("making images: %w", err)
	}
	description, err := json.Marshal(images)
	if err != nil {
		return nil, err
	}
	key := sha256.Sum256([]byte(guest.Key() + guestScript + string(description)))
	log := filepath.Join(lab.Root, ".cache", "crash", hex.EncodeToString(key[:8])+".log")
	if err := recordOnce(ctx, lab, guest, payload, log); err != nil {
		return nil, fmt.Errorf("recording: %w", err)
	}
	r, err := ReadRecording(log)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	t, err := ReadTimeline(r, diskSize)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", log, err)
	}
	return &Recorded{t, images, guest}, nil
}

// recordOnce makes the log if it is not there, and keeps others from doing so at
// the same time.
func recordOnce(ctx context.Context, lab *vm.Lab, guest *vm.Image, payload, log string) error {
	if err := os.MkdirAll(filepath.Dir(log), 0o755); err != nil {
		return err
	}
	lock, err := os.OpenFile(filepath.Join(filepath.Dir(log), "lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return err
	}
	if _, err := os.Stat(log); err == nil {
		return nil
	}
	work := log + ".new"
	if err := os.WriteFile(work, nil, 0o644); err != nil {
		return err
	}
	if err := runGuest(ctx, lab, guest, payload, work); err != nil {
		return err
	}
	return os.Rename(work, log)
}

// runGuest boots the guest and lets the script work on a new disk.
func runGuest(ctx context.Context, lab *vm.Lab, guest *vm.Image, payload, log string) error {
	g, err := startGuest(ctx, lab, guest, payload, vm.Disk{Record: log})
	if err != nil {
		return err
	}
	defer g.stop()
	if err := g.script(ctx, "record"); err != nil {
		return err
	}
	return g.m.Shutdown(ctx)
}

// A guest is a live system with a disk to work on, /dev/vdb.
type guest struct {
	m    *vm.Machine
	disk string // its file, raw
	said *os.File
	end  []func()
}

func startGuest(ctx context.Context, lab *vm.Lab, image *vm.Image, payload string, disk vm.Disk) (g *guest, err error) {
	g = &guest{}
	defer func() {
		if err != nil {
			g.stop()
		}
	}()
	live, err := lab.Live(ctx, image)
	if err != nil {
		return nil, err
	}
	disk.Path, disk.Format = filepath.Join(lab.Out, "crash.raw"), "raw"
	images := vm.Disk{Path: filepath.Join(lab.Out, "images.raw"), Format: "raw", Volatile: true}
	for _, d := range []vm.Disk{disk, images} {
		if err := os.WriteFile(d.Path, nil, 0o644); err != nil {
			return nil, err
		}
		g.end = append(g.end, func() { os.Remove(d.Path) })
	}
	g.disk = disk.Path
	if err := os.Truncate(disk.Path, diskSize); err != nil {
		return nil, err
	}
	if out, err := exec.CommandContext(ctx, "mkfs.ext4", "-q", "-F", "-d", payload, images.Path, "256M").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("mkfs.ext4: %w: %s", err, out)
	}
	if g.m, err = lab.Machine("guest", vm.Hardware{Live: live, Key: true, Disks: []vm.Disk{live.Disk, disk, images}}); err != nil {
		return nil, err
	}
	g.end = append(g.end, g.m.PowerCut)
	if g.said, err = os.Create(filepath.Join(lab.Out, "guest", "guest.log")); err != nil {
		return nil, err
	}
	g.end = append(g.end, func() { g.said.Close() })
	if err := g.m.Boot(ctx); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, g.m.SerialTail())
	}
	const script = "mkdir -p /run/crash/images && mount -o ro /dev/vdc /mnt && cp -r /mnt/v* /run/crash/images/ && cat > /run/crash/guest.sh"
	r, err := g.m.RunInput(ctx, script, strings.NewReader(guestScript), nil)
	return g, errors.Join(err, r.Failed())
}

// script runs the script in a mount namespace of its own, which ends with it.
func (g *guest) script(ctx context.Context, args string) error {
	r, err := g.m.RunInput(ctx, "unshare --mount sh /run/crash/guest.sh /dev/vdb /run/crash/images "+args+" 2>&1", nil, g.said)
	return errors.Join(err, r.Failed())
}

func (g *guest) stop() {
	for i := len(g.end) - 1; i >= 0; i-- {
		g.end[i]()
	}
	g.end = nil
}
