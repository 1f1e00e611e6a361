package vdisk

// VHDGeometry is vhdGeometry for tests.
var VHDGeometry = vhdGeometry
