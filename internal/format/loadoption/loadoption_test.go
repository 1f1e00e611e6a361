package loadoption_test

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc/internal/format/gpt"
	"github.com/bootc-go/bootc/internal/format/loadoption"
)

func sample(t testing.TB) loadoption.Option {
	t.Helper()
	guid, err := gpt.ParseGUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
	if err != nil {
		t.Fatal(err)
	}
	return loadoption.Option{
		Description: "Linux",
		Partition:   loadoption.Partition{Number: 2, Start: 4096, Size: 2097152, GUID: guid},
		File:        "EFI/B.EFI",
	}
}

// TestBytes is written out by hand after the specification.
func TestBytes(t *testing.T) {
	want := strings.Join([]string{
		"01000000",                             // active
		"4800",                                 // the device path has 72 bytes
		"4c0069006e0075007800" + "0000",        // Linux
		"04012a00" + "02000000",                // hard drive, partition 2
		"0010000000000000", "0000200000000000", // start, size
		"28732ac11ff8d211ba4b00a0c93ec93b", "02", "02",
		"04041a00", "5c004500460049005c0042002e0045004600490" + "00000", // \EFI\B.EFI
		"7fff0400",
	}, "")
	if got := hex.EncodeToString(sample(t).Bytes()); got != want {
		t.Errorf("Bytes = %s, want %s", got, want)
	}
}

func TestParse(t *testing.T) {
	want := sample(t)
	got, err := loadoption.Parse(append(want.Bytes(), "optional data"...))
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("Parse: %v (-want +got):\n%s", err, diff)
	}
	// A network card: PciRoot(0)/Pci(3,0)/MAC, shortened.
	card, _ := hex.DecodeString("01000000" + "1600" + "4e0065007400" + "0000" + "02010c00d041030a00000000" + "01010600" + "0003" + "7fff0400")
	got, err = loadoption.Parse(card)
	if diff := cmp.Diff(loadoption.Option{Description: "Net"}, got); err != nil || diff != "" {
		t.Errorf("a network card: %v (-want +got):\n%s", err, diff)
	}
}

// TestParseCut refuses every beginning that has not all of the device path.
func TestParseCut(t *testing.T) {
	data := sample(t).Bytes()
	for n := range data {
		if o, err := loadoption.Parse(data[:n]); err == nil {
			t.Errorf("the first %d of %d bytes are %+v", n, len(data), o)
		}
	}
	data[6+12+2] = 3 // the size of the first node
	if _, err := loadoption.Parse(data); err == nil || !strings.Contains(err.Error(), "a node of 3 bytes") {
		t.Errorf("a node that is too small: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(sample(f).Bytes())
	f.Add([]byte{1, 0, 0, 0, 4, 0, 0, 0, 0x7f, 0xff, 4, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := loadoption.Parse(data)
		if err != nil || strings.ContainsRune(o.Description+o.File, '�') || strings.HasPrefix(o.File, "/") {
			return
		}
		back, err := loadoption.Parse(o.Bytes())
		if diff := cmp.Diff(o, back); err != nil || diff != "" {
			t.Errorf("%v (-first +again):\n%s", err, diff)
		}
	})
}
