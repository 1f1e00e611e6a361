package crash

import (
	"os"
)

// A drive is the disk of a machine that really runs, in a file. It gets one state
// after the other, as far as that differs from what is there.
type drive struct {
	r     *Recorded
	seed  uint64
	f     *os.File
	d     *Disk // what the file has
	cache *cache
}

// openDrive takes a file, which is made if it is not there.
func (r *Recorded) openDrive(name string, seed uint64) (*drive, error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	v := &drive{r: r, seed: seed, f: f, d: NewDisk(r.Timeline.Store, r.Timeline.Sectors), cache: newCache()}
	err = f.Truncate(v.d.Size())
	if err == nil {
		err = v.take()
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return v, nil
}

func (v *drive) close() error { return v.f.Close() }

// hand writes a state to the file and returns what a boot finds on it.
func (v *drive) hand(s State) (*View, error) {
	state, err := v.r.Timeline.Disk(s, v.seed)
	if err != nil {
		return nil, err
	}
	var run []byte
	for at := int64(0); at <= int64(len(state.at)); at++ {
		if at < int64(len(state.at)) && state.at[at] != v.d.at[at] {
			run = append(run, state.store.Sector(state.at[at])...)
			continue
		}
		if len(run) > 0 {
			if _, err := v.f.WriteAt(run, at*sectorSize-int64(len(run))); err != nil {
				return nil, err
			}
			run = run[:0]
		}
	}
	v.d = state
	return v.look(repairExt4), nil
}

// take reads what the machine has made of the disk.
func (v *drive) take() error {
	all := &Volume{v.d, 0, int64(len(v.d.at))}
	return all.readBack(v.f)
}

// look is what the next boot finds.
func (v *drive) look(repair func(*Volume) error) *View {
	v.d.hold()
	defer v.d.release()
	return look(v.d, v.r.Images, v.cache, repair)
}

// kept says what a machine has lost of /etc and /var, which had no reason to change.
func kept(before, after *View) (why []string) {
	if after.Var != before.Var {
		why = append(why, "/var has changed")
	}
	for _, d := range after.Deployments {
		for _, was := range before.Deployments {
			if d.ID == was.ID && !d.Staged && !was.Staged && d.Etc != was.Etc {
				why = append(why, "/etc of version "+d.Version+" has changed")
			}
		}
	}
	return why
}
