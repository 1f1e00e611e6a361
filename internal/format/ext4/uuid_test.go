package ext4_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"

	"github.com/bootc-go/bootc/internal/format/ext4"
)

func TestReadUUID(t *testing.T) {
	o := options(16*mib, nil)
	o.UUID = [16]byte{0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff}
	f, err := os.Open(newFixture().write(t, o))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const want = "00112233-4455-6677-8899-aabbccddeeff"
	if got, err := ext4.ReadUUID(f); err != nil || got != want {
		t.Errorf("ReadUUID = %q, %v, want %q", got, err, want)
	}
	for name, r := range map[string]io.ReaderAt{"zeros": bytes.NewReader(make([]byte, 4096)), "short": bytes.NewReader(make([]byte, 1030))} {
		if got, err := ext4.ReadUUID(r); !errors.Is(err, ext4.ErrNone) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	closed, err := os.Open(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	if _, err := ext4.ReadUUID(closed); err == nil || errors.Is(err, ext4.ErrNone) {
		t.Errorf("what cannot be read: %v", err)
	}
}
