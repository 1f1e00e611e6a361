package objects_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/bootc-go/bootc/internal/content/objects"
	"github.com/bootc-go/bootc/internal/format/verity"
)

// TestAudit finds what is wrong with objects, whether they are read on the way
// or at the end, and gives every byte to who reads.
func TestAudit(t *testing.T) {
	for _, a := range []verity.Algorithm{verity.SHA256, verity.SHA512} {
		s, path := open(t, objects.Options{Insecure: true, Algorithm: a})
		var all []verity.Digest
		// Around the sizes of a block and of the buffer.
		sizes := []int{1, 4096, 4097, 256<<10 - 1, 256 << 10, 256<<10 + 1, 3_000_000}
		for n, size := range sizes {
			d, err := s.Put(bytes.NewReader(content(n, size)), -1)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, d)
		}
		audit := func(read func(a *objects.Audit)) map[verity.Digest]objects.Finding {
			t.Helper()
			audit := s.Audit()
			read(audit)
			if err := audit.All(t.Context(), all); err != nil {
				t.Fatal(err)
			}
			return audit.Findings()
		}
		nothing := func(*objects.Audit) {}
		everything := func(a *objects.Audit) {
			for n, d := range all {
				for range 2 {
					f, err := a.Open(d)
					if err != nil {
						t.Fatal(err)
					}
					if got, err := io.ReadAll(f); err != nil || len(got) != sizes[n] {
						t.Errorf("object %d gives %d bytes, %v; want %d", n, len(got), err, sizes[n])
					}
					f.Close()
				}
			}
		}
		start := func(a *objects.Audit) {
			for _, d := range all {
				f, err := a.Open(d)
				if err != nil {
					t.Fatal(err)
				}
				f.Read(make([]byte, 1))
				f.Close()
			}
		}
		for how, read := range map[string]func(*objects.Audit){"at the end": nothing, "whole": everything, "the first byte": start} {
			if found := audit(read); len(found) > 0 {
				t.Errorf("read %s: %v, want nothing", how, found)
			}
		}
		spoil := all[len(all)-1]
		name := filepath.Join(path, spoil.ObjectPath())
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		data[len(data)-1] ^= 1
		if err := os.WriteFile(name, data, 0o644); err != nil {
			t.Fatal(err)
		}
		for how, read := range map[string]func(*objects.Audit){"at the end": nothing, "whole": everything, "the first byte": start} {
			want := objects.Finding{Fault: objects.WrongBytes, Detail: verity.Sum(a, data).String()}
			if found := audit(read); len(found) != 1 || found[spoil] != want {
				t.Errorf("read %s: %v, want %v", how, found, want)
			}
		}
		x := s.Audit()
		if _, err := x.Open(verity.Sum(a, nil)); !errors.Is(err, objects.ErrNotFound) {
			t.Errorf("an object that is not there: %v", err)
		}
		x.Wait()
	}
}

// TestAuditSecure misses fs-verity in a store that must have it.
func TestAuditSecure(t *testing.T) {
	s, path := open(t, objects.Options{})
	data := content(1, 5000)
	d := verity.Sum(verity.SHA512, data)
	name := filepath.Join(path, d.ObjectPath())
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, data, 0o644)); err != nil {
		t.Fatal(err)
	}
	a := s.Audit()
	if err := a.All(t.Context(), []verity.Digest{d}); err != nil {
		t.Fatal(err)
	}
	if found := a.Findings(); found[d].Fault != objects.NoVerity {
		t.Errorf("found %v", found)
	}
}
