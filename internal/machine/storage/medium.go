package storage

import "github.com/bootc-go/bootc/internal/format/gpt"

// LayoutMedium divides a medium that is not written: the EFI system partition and the
// root of an architecture, for file systems of so many bytes. size is that of the
// medium; both partitions begin at multiples of 1 MiB.
func LayoutMedium(esp, root uint64, arch string) (size uint64, parts []Partition, err error) {
	rootType, err := gpt.Root(arch)
	if err != nil {
		return 0, nil, err
	}
	at := uint64(grain)
	for _, p := range []Partition{
		{Name: roleESP, Type: gpt.ESP, Size: esp, Filesystem: "vfat"},
		{Name: roleRoot, Type: rootType, Size: root, Filesystem: "ext4", Attributes: gpt.ReadOnly},
	} {
		p.Start = at
		at = (at + p.Size + grain - 1) / grain * grain
		parts = append(parts, p)
	}
	return at + grain, parts, nil
}
