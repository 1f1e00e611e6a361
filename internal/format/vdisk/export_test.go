package vdisk

// For tests.
var (
	VHDGeometry = vhdGeometry
	QCOW2Refs   = qcow2Refs
)

// QCOW2Place places compressed clusters of some lengths, and one that is not
// compressed where the length is 0. It returns where, and the reference counts.
func QCOW2Place(lengths []int64) (offsets []int64, refs []uint16) {
	var q qcow2
	for _, n := range lengths {
		if n == 0 {
			offsets = append(offsets, q.allocate(1))
		} else {
			offsets = append(offsets, q.place(n))
		}
	}
	return offsets, q.refs
}

// OVAHead makes what stands in an archive before a disk's file of some bytes.
func OVAHead(o Options, size int64) ([]byte, error) {
	a, err := newOVA(nowhere{}, o)
	if err != nil {
		return nil, err
	}
	return a.head(size, size)
}

type nowhere struct{}

func (nowhere) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }
func (nowhere) Truncate(int64) error                   { return nil }
