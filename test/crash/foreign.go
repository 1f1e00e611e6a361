package crash

import (
	"bytes"
	"fmt"
	"os/exec"

	"github.com/bootc-go/bootc/internal/format/gpt"
)

// foreign has e2fsck and fsck.fat repair the disk as a boot does, and judges it
// again: it still has to be whole. It returns what is wrong. The journal as
// e2fsck replays it has to give what our own replay gives.
func (w *worker) foreign(s State, after bool) ([]string, error) {
	table, err := gpt.Read(w.d, sectorSize, w.d.Size())
	if err != nil {
		return nil, err
	}
	kind, err := gpt.Root("amd64")
	if err != nil {
		return nil, err
	}
	m := machine{d: w.d}
	root, err := m.partition(table, kind)
	if err != nil {
		return nil, err
	}
	esp, err := m.partition(table, gpt.ESP)
	if err != nil {
		return nil, err
	}
	if err := repairExt4(root); err != nil {
		return []string{err.Error()}, nil
	}
	err = esp.by(func(path string) error {
		out, err := exec.Command("fsck.fat", "-a", path).CombinedOutput()
		if code := exitCode(err); code != 0 && code != 1 {
			return fmt.Errorf("fsck.fat -a: %w: %s", err, bytes.TrimSpace(out))
		}
		return nil
	})
	if err != nil {
		return []string{err.Error()}, nil
	}
	v := look(w.d, w.c.images, w.cache, nil)
	verdict := w.c.judges[s.Window].judge(v, after)
	w.c.mu.Lock()
	defer w.c.mu.Unlock()
	w.c.report.Foreign++
	if len(verdict.Bad) > 0 {
		verdict.Bad = append([]string{"after e2fsck and fsck.fat"}, verdict.Bad...)
	}
	return verdict.Bad, nil
}
