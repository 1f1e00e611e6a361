package boot

import "fmt"

// A RoomError means that the EFI system partition is too small.
type RoomError struct{ Free, Needed int64 }

func (e *RoomError) Error() string {
	return fmt.Sprintf("no room on the ESP: %d MiB free, %d MiB needed", e.Free>>20, (e.Needed+1<<20-1)>>20)
}

// slack is left free on the partition, for directories and entries, in units in
// which space is given out.
const slack = 64

func (l *SystemdBoot) checkRoom(files []Named) error {
	free, unit, err := l.v.Room()
	if err != nil {
		return err
	}
	needed := slack * unit
	for _, f := range files {
		needed += (f.Size + unit - 1) / unit * unit
	}
	if free < needed {
		return &RoomError{free, needed}
	}
	return nil
}
