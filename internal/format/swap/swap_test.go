package swap_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bootc-go/bootc/internal/format/swap"
)

func lookPath(name string) (string, error) {
	for _, dir := range []string{"", "/sbin", "/usr/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return exec.LookPath(name)
}

// TestWrite compares with what mkswap writes.
func TestWrite(t *testing.T) {
	program, err := lookPath("mkswap")
	if err != nil {
		t.Skip(err)
	}
	const size = 5<<20 + 1000
	for _, label := range []string{"", "swap", "fifteen letters"} {
		dir := t.TempDir()
		for _, name := range []string{"ours", "theirs"} {
			if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(filepath.Join(dir, name), size); err != nil {
				t.Fatal(err)
			}
		}
		args := []string{"-p", "4096", "-U", "00112233-4455-6677-8899-aabbccddeeff", filepath.Join(dir, "theirs")}
		if label != "" {
			args = append([]string{"-L", label}, args...)
		}
		if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		f, err := os.OpenFile(filepath.Join(dir, "ours"), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		var uuid [16]byte
		for i := range uuid {
			uuid[i] = byte(i * 0x11)
		}
		if err := swap.Write(f, size, uuid, label); err != nil {
			t.Fatal(err)
		}
		ours, _ := os.ReadFile(filepath.Join(dir, "ours"))
		theirs, _ := os.ReadFile(filepath.Join(dir, "theirs"))
		if string(ours) != string(theirs) {
			t.Errorf("label %q: other bytes than mkswap's", label)
		}
	}
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		size        int64
		label, want string
	}{
		{40960, "", ""},
		{40959, "", "at least 40960"},
		{1 << 44, "", ""},
		{1<<44 + 4096, "", "at most 17592186044416"},
		{1 << 20, "sixteen letters.", "16 bytes, it takes 15"},
	} {
		err := swap.Check(c.size, c.label)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%d %q: %v, want %q in it", c.size, c.label, err, c.want)
		}
	}
}
