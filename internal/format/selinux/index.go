package selinux

import (
	"slices"
	"strings"
)

// An index finds the lines that may match a path. A line whose expression
// begins with /usr/lib/x is filed under /usr/lib/, and is looked at for the
// names in that directory and below it.
type index struct {
	exact map[string][]int32 // by the whole path, ascending
	stems map[string][]int32 // by directory with its slash, ascending
}

func newIndex(specs []spec) index {
	x := index{map[string][]int32{}, map[string][]int32{}}
	for i := range specs {
		s := &specs[i]
		if s.kind == kindExact {
			x.exact[s.prefix] = append(x.exact[s.prefix], int32(i))
			continue
		}
		stem := directory(s.prefix)
		x.stems[stem] = append(x.stems[stem], int32(i))
	}
	return x
}

// directory returns a path up to its last slash, with it.
func directory(path string) string { return path[:strings.LastIndexByte(path, '/')+1] }

// A level is a directory whose candidates are known: the lines that may match a
// name in it, last line first.
type level struct {
	dir  string // with its slash
	list []int32
}

// maxLevels bounds what is remembered of a deep tree.
const maxLevels = 32

// candidates returns the lines that may match a name in dir, last line first.
// They are found among those of the directories above it, which are remembered
// as long as the paths that are asked for stay below them.
func (c *Contexts) candidates(dir string) []int32 {
	levels := c.matcher.levels
	for len(levels) > 0 && !strings.HasPrefix(dir, levels[len(levels)-1].dir) {
		levels = levels[:len(levels)-1]
	}
	above := level{list: c.index.stems[""]}
	if n := len(levels); n > 0 {
		if above = levels[n-1]; above.dir == dir {
			c.matcher.levels = levels
			return above.list
		}
	}
	all := c.compatible(nil, above.list, dir)
	for end := len(above.dir) + 1; end <= len(dir); end++ {
		if dir[end-1] == '/' {
			all = c.compatible(all, c.index.stems[dir[:end]], dir)
		}
	}
	slices.SortFunc(all, func(a, b int32) int { return int(b) - int(a) })
	if len(levels) == maxLevels {
		levels = levels[:maxLevels-1]
	}
	c.matcher.levels = append(levels, level{dir, all})
	return all
}

// compatible appends those lines of list that may match a name in dir.
func (c *Contexts) compatible(all, list []int32, dir string) []int32 {
	c.matcher.work -= int64(len(list))
	for _, i := range list {
		if p := c.specs[i].prefix; strings.HasPrefix(dir, p) || strings.HasPrefix(p, dir) {
			all = append(all, i)
		}
	}
	return all
}
