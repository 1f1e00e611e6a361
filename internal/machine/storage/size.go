package storage

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

const mib = 1 << 20

// ParseSize reads the size of a partition as people write it: a whole number
// with the unit M, MiB, G, GiB, T or TiB; without a unit it counts MiB. All are
// powers of 1024. The result is in bytes.
func ParseSize(s string) (uint64, error) {
	digits := strings.TrimRight(s, "MGTiB")
	factor := map[string]uint64{
		"": mib, "M": mib, "MiB": mib, "G": mib << 10, "GiB": mib << 10, "T": mib << 20, "TiB": mib << 20,
	}[s[len(digits):]]
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || factor == 0 || !isDigit(s[0]) {
		return 0, fmt.Errorf("size %q: want a whole number and M, MiB, G, GiB, T or TiB (MiB without a unit)", s)
	}
	if n == 0 {
		return 0, fmt.Errorf("size %q is nothing", s)
	}
	if n > math.MaxInt64/factor {
		return 0, fmt.Errorf("size %q is over %d bytes", s, int64(math.MaxInt64))
	}
	return n * factor, nil
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// formatSize writes a size for people, in the largest unit that leaves a
// number of at least one, with one decimal where it is not whole.
func formatSize(n uint64) string {
	unit, name := uint64(1), "B"
	for _, u := range []struct {
		size uint64
		name string
	}{{1 << 10, "KiB"}, {mib, "MiB"}, {mib << 10, "GiB"}, {mib << 20, "TiB"}} {
		if n >= u.size {
			unit, name = u.size, u.name
		}
	}
	if n%unit == 0 {
		return fmt.Sprintf("%d %s", n/unit, name)
	}
	return fmt.Sprintf("%.1f %s", math.Floor(float64(n)/float64(unit)*10)/10, name)
}
