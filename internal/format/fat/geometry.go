package fat

import (
	"fmt"
	"math"
)

const (
	mebi = 1 << 20

	minReserved  = 32 // sectors
	infoSector   = 1  // FSInfo
	backupSector = 6  // copy of the boot sector
	track        = 32 // sectors
	heads        = 64
	tables       = 2
	linkSize     = 4 // bytes of a table's entry
	rootCluster  = 2 // the first one
	dataGrain    = 4096

	// One less is FAT16; 16 more keep away from drivers that count wrongly.
	minClusters = 65525 + 16
	// So that no cluster has the number that marks bad ones, 0x0ffffff7.
	maxClusters = 0x0ffffff7 - rootCluster
)

// A geometry says where the parts of a volume are.
type geometry struct {
	sectorSize  int64 // bytes
	clusterSize int64 // bytes
	sectors     int64
	reserved    int64 // sectors before the first table
	tableSize   int64 // sectors of one table
	clusters    int64
}

// newGeometry divides a volume of size bytes. It may be one that check refuses.
func newGeometry(size, sectorSize int64) geometry {
	g := geometry{
		sectorSize:  sectorSize,
		clusterSize: max(clusterSize(size), sectorSize),
		sectors:     size / sectorSize / track * track,
	}
	room := (g.sectors - minReserved) * sectorSize
	most := max(room, 0) / (g.clusterSize + tables*linkSize)
	g.tableSize = ceil((rootCluster+most)*linkSize, sectorSize)
	grain := max(g.clusterSize, dataGrain) / sectorSize
	data := ceil(minReserved+tables*g.tableSize, grain) * grain
	g.reserved = data - tables*g.tableSize
	g.clusters = max(g.sectors-data, 0) * sectorSize / g.clusterSize
	return g
}

// clusterSize is the standard's choice for a volume of size bytes.
func clusterSize(size int64) int64 {
	switch {
	case size <= 260*mebi:
		return 512
	case size <= 8<<30:
		return 4 << 10
	case size <= 16<<30:
		return 8 << 10
	case size <= 32<<30:
		return 16 << 10
	}
	return 32 << 10
}

// check says why a volume cannot be FAT32.
func (g geometry) check() error {
	size := g.sectors * g.sectorSize / mebi
	switch {
	case g.sectors > math.MaxUint32:
		return fmt.Errorf("a volume of %d MiB has %d sectors, at most %d", size, g.sectors, uint32(math.MaxUint32))
	case g.clusters < minClusters:
		return fmt.Errorf("a volume of %d MiB has %d clusters of %d bytes, FAT32 has at least %d", size, g.clusters, g.clusterSize, minClusters)
	case g.clusters > maxClusters:
		return fmt.Errorf("a volume of %d MiB has %d clusters of %d bytes, at most %d", size, g.clusters, g.clusterSize, maxClusters)
	}
	return nil
}

// table returns where a table begins, 0 or 1, in bytes.
func (g geometry) table(i int64) int64 { return (g.reserved + i*g.tableSize) * g.sectorSize }

// cluster returns where a cluster begins, in bytes.
func (g geometry) cluster(n uint32) int64 {
	return g.table(tables) + int64(n-rootCluster)*g.clusterSize
}

func ceil(n, unit int64) int64 { return (n + unit - 1) / unit }
