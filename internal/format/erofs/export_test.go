package erofs

// For the tests of the hash that no image shows by itself.
var (
	SplitName = splitName
	XXH32     = xxh32
)

// FilterSeed is the seed of the name filter.
const FilterSeed = filterSeed
