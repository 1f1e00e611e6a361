package erofs

// For the tests of the hash that no image shows by itself.
var (
	XXH32 = xxh32
)

// SplitName is what versions 0 and 1 store of a name.
func SplitName(name string) (index byte, suffix string) { return splitName(name, 1) }

// FilterSeed is the seed of the name filter.
const FilterSeed = filterSeed
