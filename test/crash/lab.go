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

	guest   *vm.Image
	live    *vm.Live
	payload string // the images, in a file system
}

// Record has a guest of the lab play a story and reads what was written. The
// recording is kept by what it depends on: the image that the guest runs, with
// the program in it, the images that are installed, the script and the story.
func Record(ctx context.Context, lab *vm.Lab, story Story) (*Recorded, error) {
	base, err := lab.Base(ctx, vm.Dracut)
	if err != nil {
		return nil, err
	}
	r := &Recorded{}
	if r.guest, err = lab.Derive(ctx, base, filepath.Join(lab.Root, "test/vm/testdata/lab")); err != nil {
		return nil, err
	}
	if r.live, err = lab.Live(ctx, r.guest); err != nil {
		return nil, err
	}
	if err := r.makePayload(ctx, lab); err != nil {
		return nil, fmt.Errorf("making images: %w", err)
	}
	description, err := json.Marshal([]any{r.Images, story})
	if err != nil {
		return nil, err
	}
	key := sha256.Sum256([]byte(r.guest.Key() + guestScript + string(description)))
	dir := filepath.Join(lab.Root, ".cache", "crash", hex.EncodeToString(key[:8]))
	if err := r.recordOnce(ctx, lab, story, dir); err != nil {
		return nil, fmt.Errorf("recording: %w", err)
	}
	if r.Timeline, err = readLogs(dir, len(story)-1); err != nil {
		return nil, fmt.Errorf("reading the recording in %s: %w", dir, err)
	}
	return r, nil
}

// makePayload makes the images, as a file system in a file.
func (r *Recorded) makePayload(ctx context.Context, lab *vm.Lab) error {
	system, err := ReadSystem(ctx, lab, r.live)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(lab.Out, "payload-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if r.Images, err = SaveImages(dir, system); err != nil {
		return err
	}
	r.payload = filepath.Join(lab.Out, "payload.raw")
	if err := os.RemoveAll(r.payload); err != nil {
		return err
	}
	if out, err := exec.CommandContext(ctx, "mkfs.ext4", "-q", "-F", "-d", dir, r.payload, "1G").CombinedOutput(); err != nil {
		return fmt.Errorf("mkfs.ext4: %w: %s", err, out)
	}
	return nil
}

// readLogs reads the log of the guest and those of the boots.
func readLogs(dir string, boots int) (*Timeline, error) {
	main, err := ReadRecording(filepath.Join(dir, "guest.log"))
	if err != nil {
		return nil, err
	}
	defer main.Close()
	var all []*Recording
	for i := range boots {
		r, err := ReadRecording(filepath.Join(dir, bootLog(i+1)))
		if err != nil {
			return nil, err
		}
		defer r.Close()
		all = append(all, r)
	}
	return ReadTimeline(main, all, diskSize)
}

func bootLog(n int) string { return fmt.Sprintf("boot-%d.log", n) }

// recordOnce makes the logs if they are not there, and keeps others from doing so
// at the same time.
func (r *Recorded) recordOnce(ctx context.Context, lab *vm.Lab, story Story, dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	lock, err := os.OpenFile(dir+".lock", os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return err
	}
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	work := dir + ".new"
	if err := errors.Join(os.RemoveAll(work), os.Mkdir(work, 0o755)); err != nil {
		return err
	}
	if err := r.play(ctx, lab, story, work); err != nil {
		return err
	}
	return os.Rename(work, dir)
}

// play boots the guest and lets it play a story on a new disk. Between its boots of
// that disk, a machine of its own really boots from it: firmware, boot loader, kernel,
// initramfs program. The guest has nothing of the disk in its cache then.
func (r *Recorded) play(ctx context.Context, lab *vm.Lab, story Story, dir string) error {
	log := filepath.Join(dir, "guest.log")
	if err := os.WriteFile(log, nil, 0o644); err != nil {
		return err
	}
	g, err := r.startGuest(ctx, lab, "guest", vm.Disk{Record: log})
	if err != nil {
		return err
	}
	defer g.stop()
	for i, scene := range story {
		if i > 0 {
			b := &booting{lab: lab, name: "booted", disk: vm.Disk{Path: g.disk, Format: "raw", Record: filepath.Join(dir, bootLog(i)), Shared: true}}
			if _, err := b.boot(ctx); err != nil {
				return fmt.Errorf("boot %d: %w", i, err)
			}
		}
		if err := g.script(ctx, strings.Join(scene, " ")); err != nil {
			return err
		}
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

func (r *Recorded) startGuest(ctx context.Context, lab *vm.Lab, name string, disk vm.Disk) (_ *guest, err error) {
	g := &guest{}
	defer func() {
		if err != nil {
			g.stop()
		}
	}()
	disk.Path, disk.Format = filepath.Join(lab.Out, name+".raw"), "raw"
	if err := os.WriteFile(disk.Path, nil, 0o644); err != nil {
		return nil, err
	}
	g.end = append(g.end, func() { os.Remove(disk.Path) })
	g.disk = disk.Path
	if err := os.Truncate(disk.Path, diskSize); err != nil {
		return nil, err
	}
	images := vm.Disk{Path: r.payload, Format: "raw", Volatile: true}
	if g.m, err = lab.Machine(name, vm.Hardware{Live: r.live, Key: true, Disks: []vm.Disk{r.live.Disk, disk, images}}); err != nil {
		return nil, err
	}
	g.end = append(g.end, g.m.PowerCut)
	if g.said, err = os.Create(filepath.Join(lab.Out, name, "guest.log")); err != nil {
		return nil, err
	}
	g.end = append(g.end, func() { g.said.Close() })
	if err := g.m.Boot(ctx); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, g.m.SerialTail())
	}
	const script = "mkdir -p /run/crash/images && mount /dev/vdc /run/crash/images && cat > /run/crash/guest.sh"
	result, err := g.m.RunInput(ctx, script, strings.NewReader(guestScript), nil)
	return g, errors.Join(err, result.Failed())
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
