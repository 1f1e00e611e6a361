package vdisk_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc/internal/format/vdisk"
)

// writeOVA makes an archive of a disk, named web.
func writeOVA(t *testing.T, size int64, list []piece) string {
	t.Helper()
	return write(t, format{create: func(f *os.File, o vdisk.Options) (vdisk.Disk, error) {
		o.Name = "web.ova"
		return vdisk.NewOVA(f, o)
	}}, size, list)
}

// TestOVA lets tar take an archive apart and QEMU look at the disk, which is what
// NewVMDK writes.
func TestOVA(t *testing.T) {
	for _, tool := range []string{"tar", "qemu-img"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip("no " + tool)
		}
	}
	for _, c := range []struct {
		name  string
		size  int64
		count int
	}{{"empty", 5 << 20, 0}, {"small", 41<<20 + 512, 100}, {"large", 20 << 30, 40}} {
		t.Run(c.name, func(t *testing.T) {
			var list []piece
			if c.count > 0 {
				list = pieces(17, c.size, c.count)
			}
			image := writeOVA(t, c.size, list)
			if got := strings.Fields(run(t, "tar", "-tf", image)); !cmp.Equal(got, []string{"web.ovf", "web.mf", "web.vmdk"}) {
				t.Errorf("files %q", got)
			}
			if out := run(t, "tar", "-tvf", image); strings.Count(out, "-rw-r--r-- 0/0 ") != 3 {
				t.Errorf("tar:\n%s", out)
			}
			dir := t.TempDir()
			run(t, "tar", "-xf", image, "-C", dir)
			length := int64(2 * 512) // of the end, which tar does not miss
			for _, name := range []string{"web.ovf", "web.mf", "web.vmdk"} {
				length += 512 + round(fileSize(t, filepath.Join(dir, name)), 512)
			}
			if got := fileSize(t, image); got != length {
				t.Errorf("an archive of %d bytes, want %d", got, length)
			}
			checkManifest(t, dir)
			vmdk := filepath.Join(dir, "web.vmdk")
			alone := write(t, format{create: func(f *os.File, o vdisk.Options) (vdisk.Disk, error) {
				o.Name = "web.vmdk"
				return vdisk.NewVMDK(f, o)
			}}, c.size, list)
			if sum(t, vmdk) != sum(t, alone) {
				t.Error("the disk is not what NewVMDK writes")
			}
			judge(t, format{name: "ova", qemu: "vmdk"}, vmdk, reference(t, c.size, list))
			checkDescriptor(t, filepath.Join(dir, "web.ovf"), vmdk, c.size)
		})
	}
}

func fileSize(t *testing.T, path string) int64 {
	t.Helper()
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return st.Size()
}

// checkManifest computes the sums of the manifest again.
func checkManifest(t *testing.T, dir string) {
	t.Helper()
	got, err := os.ReadFile(filepath.Join(dir, "web.mf"))
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("SHA256(web.ovf)= %x\nSHA256(web.vmdk)= %x\n", sum(t, filepath.Join(dir, "web.ovf")), sum(t, filepath.Join(dir, "web.vmdk")))
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("manifest (-want +got):\n%s", diff)
	}
}

// An envelope is what we look at in a descriptor.
type envelope struct {
	File struct {
		Href string `xml:"http://schemas.dmtf.org/ovf/envelope/1 href,attr"`
		Size int64  `xml:"http://schemas.dmtf.org/ovf/envelope/1 size,attr"`
	} `xml:"References>File"`
	Disk struct {
		Capacity  int64  `xml:"http://schemas.dmtf.org/ovf/envelope/1 capacity,attr"`
		Units     string `xml:"http://schemas.dmtf.org/ovf/envelope/1 capacityAllocationUnits,attr"`
		Populated int64  `xml:"http://schemas.dmtf.org/ovf/envelope/1 populatedSize,attr"`
		Format    string `xml:"http://schemas.dmtf.org/ovf/envelope/1 format,attr"`
	} `xml:"DiskSection>Disk"`
	Name     string `xml:"VirtualSystem>Name"`
	Hardware struct {
		Items []struct {
			ID       int    `xml:"InstanceID"`
			Parent   int    `xml:"Parent"`
			Type     int    `xml:"ResourceType"`
			Subtype  string `xml:"ResourceSubType"`
			Quantity int    `xml:"VirtualQuantity"`
			Host     string `xml:"HostResource"`
		} `xml:"Item"`
		Config []struct {
			Key   string `xml:"http://www.vmware.com/schema/ovf key,attr"`
			Value string `xml:"http://www.vmware.com/schema/ovf value,attr"`
		} `xml:"http://www.vmware.com/schema/ovf Config"`
	} `xml:"VirtualSystem>VirtualHardwareSection"`
}

func parseDescriptor(t *testing.T, data []byte) (e envelope) {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(&e); err != nil {
		t.Fatalf("%v in\n%s", err, data)
	}
	if rest := strings.TrimSpace(string(data[d.InputOffset():])); rest != "" {
		t.Errorf("behind the descriptor: %q", rest)
	}
	return e
}

func checkDescriptor(t *testing.T, ovf, vmdk string, size int64) {
	t.Helper()
	data, err := os.ReadFile(ovf)
	if err != nil {
		t.Fatal(err)
	}
	e := parseDescriptor(t, data)
	if want := fileSize(t, vmdk); e.File.Href != "web.vmdk" || e.File.Size != want || e.Name != "web" {
		t.Errorf("file %+v of %q, want web.vmdk with %d bytes", e.File, e.Name, want)
	}
	if e.Disk.Capacity != size || e.Disk.Units != "byte" || !strings.HasSuffix(e.Disk.Format, "#streamOptimized") {
		t.Errorf("disk %+v, want a capacity of %d", e.Disk, size)
	}
	if grains := grainsOf(t, vmdk); e.Disk.Populated != grains*64<<10 {
		t.Errorf("%d bytes populated, want %d grains", e.Disk.Populated, grains)
	}
	var got []string
	for _, i := range e.Hardware.Items {
		got = append(got, fmt.Sprintf("%d: %d in %d, %s%s%s", i.ID, i.Type, i.Parent, i.Subtype, i.Host, strings.TrimPrefix(strconv.Itoa(i.Quantity), "0")))
	}
	want := []string{"1: 3 in 0, 2", "2: 4 in 0, 4096", "3: 6 in 0, VirtualSCSI", "4: 17 in 3, ovf:/disk/disk1", "5: 10 in 0, VmxNet3"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("hardware (-want +got):\n%s", diff)
	}
	if len(e.Hardware.Config) != 1 || e.Hardware.Config[0].Key != "firmware" || e.Hardware.Config[0].Value != "efi" {
		t.Errorf("configuration %+v", e.Hardware.Config)
	}
}

// grainsOf counts what QEMU finds allocated in a disk, in grains.
func grainsOf(t *testing.T, vmdk string) (n int64) {
	t.Helper()
	var extents []struct {
		Length int64
		Data   bool
	}
	if err := json.Unmarshal([]byte(run(t, "qemu-img", "map", "-f", "vmdk", "--output=json", vmdk)), &extents); err != nil {
		t.Fatal(err)
	}
	for _, e := range extents {
		if e.Data {
			n += (e.Length + 64<<10 - 1) / (64 << 10)
		}
	}
	return n
}

// TestOVAHead has disks' files of sizes that are written in other ways, before
// which there is always as much.
func TestOVAHead(t *testing.T) {
	o := options(1 << 40)
	o.Name = "a&b<c'.ova"
	length := 0
	for _, size := range []int64{512, 1<<33 - 512, 1 << 33, 1 << 41} {
		head, err := vdisk.OVAHead(o, size)
		if err != nil {
			t.Fatal(err)
		}
		if length == 0 {
			length = len(head)
		}
		if len(head) != length {
			t.Errorf("%d bytes before a file of %d, want %d", len(head), size, length)
		}
		r := tar.NewReader(bytes.NewReader(head))
		h, err := r.Next()
		if err != nil || h.Name != "a&b<c'.ovf" || h.Format != tar.FormatUSTAR || !h.ModTime.Equal(o.Time) {
			t.Fatalf("first file %+v, %v", h, err)
		}
		data := make([]byte, h.Size)
		if _, err := io.ReadFull(r, data); err != nil {
			t.Fatal(err)
		}
		if e := parseDescriptor(t, data); e.File.Size != size || e.Name != "a&b<c'" {
			t.Errorf("descriptor of a file %+v, named %q, want %d bytes", e.File, e.Name, size)
		}
		ovf := sha256.Sum256(data)
		if h, err = r.Next(); err != nil || h.Name != "a&b<c'.mf" {
			t.Fatalf("second file %+v, %v", h, err)
		}
		data = make([]byte, h.Size)
		if _, err := io.ReadFull(r, data); err != nil || !strings.HasPrefix(string(data), fmt.Sprintf("SHA256(a&b<c'.ovf)= %x\n", ovf)) {
			t.Errorf("manifest %q, %v", data, err)
		}
		want := tar.FormatUSTAR
		if size > 1<<33-1 {
			want = tar.FormatGNU
		}
		if h, err = r.Next(); err != nil || h.Name != "a&b<c'.vmdk" || h.Size != size || h.Format != want {
			t.Errorf("third file %+v, %v, want %d bytes", h, err, size)
		}
	}
}

// TestOVANames has names that an archive cannot hold.
func TestOVANames(t *testing.T) {
	for _, name := range []string{"a/b.ova", `a".ova`, "ä.ova", "a\n.ova", strings.Repeat("x", 96) + ".ova"} {
		if _, err := vdisk.OVAHead(vdisk.Options{Size: 1 << 20, Name: name}, 512); err == nil {
			t.Errorf("name %q", name)
		}
	}
	for _, name := range []string{"", strings.Repeat("x", 95) + ".ova"} {
		if _, err := vdisk.OVAHead(vdisk.Options{Size: 1 << 20, Name: name}, 512); err != nil {
			t.Errorf("name %q: %v", name, err)
		}
	}
}
