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
