package images

import (
	"context"
	"fmt"
	"io"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Need is what an image takes on the file system of the repository.
type Need struct {
	Layers     int   // that are missing
	Compressed int64 // their size as they come
	// Estimate is what they take when they are here. That is not known before:
	// it is taken to be three times as much, as layers of operating systems
	// shrink to between a half and a third. What they have in common with images
	// that are here takes nothing.
	Estimate int64
	// Free is what may be used: a part of the file system is left to the
	// running system.
	Free int64
}

const expansion = 3

// Fits is an error if not even the layers as they come would fit, a
// [*RoomError].
func (n Need) Fits() error {
	if n.Compressed <= n.Free {
		return nil
	}
	return &RoomError{Free: n.Free, Needed: n.Compressed}
}

// A RoomError means that the file system of the repository is too small. It is
// also syscall.ENOSPC.
type RoomError struct {
	Free   int64
	Needed int64 // 0 if that is not known
}

func (e *RoomError) Error() string {
	if e.Needed == 0 {
		return "no room for the image: what is left of the file system is kept for the running system"
	}
	return fmt.Sprintf("no room for the image: %d MiB free, %d MiB needed at least", e.Free>>20, (e.Needed+1<<20-1)>>20)
}

// Is makes the error one of a full file system.
func (e *RoomError) Is(target error) bool { return target == syscall.ENOSPC }

// Need works out what [Repository.Pull] of an image would need. It only reads.
func (r *Repository) Need(ctx context.Context, src Source) (Need, error) {
	i, err := describe(ctx, src)
	if err != nil {
		return Need{}, err
	}
	n := Need{}
	if n.Free, err = r.free(); err != nil {
		return n, err
	}
	blobs := src.Layers()
	_, cached := r.plan(i, blobs)
	for k, b := range blobs {
		if !cached[k] {
			n.Layers++
			n.Compressed += max(b.Size, 0)
		}
	}
	n.Estimate = expansion * n.Compressed
	return n, nil
}

// maxReserve is the most that is left to the running system, which has /var on
// the same file system; on a small one it is a fiftieth.
const maxReserve = 64 << 20

// free tells how many bytes the repository may still take, below 0 where it has
// taken too many.
func (r *Repository) free() (int64, error) {
	f, err := r.root.Open(".")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil {
		return 0, fmt.Errorf("asking for free space: %w", err)
	}
	reserve := min(maxReserve, int64(st.Blocks)*int64(st.Bsize)/50)
	return int64(st.Bavail)*int64(st.Bsize) - reserve, nil
}

// A frugal reader ends with an error when the file system fills up with what is
// made of it.
type frugal struct {
	r    io.Reader
	free func() (int64, error)
	n    int64 // bytes since free was asked
}

// askEvery is after how many bytes of a layer free space is asked for.
const askEvery = 4 << 20

func (f *frugal) Read(p []byte) (int, error) {
	if f.n >= askEvery {
		f.n = 0
		if free, err := f.free(); err != nil || free < 0 {
			if err == nil {
				err = &RoomError{}
			}
			return 0, err
		}
	}
	n, err := f.r.Read(p)
	f.n += int64(n)
	return n, err
}
