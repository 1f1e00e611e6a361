package bls

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

const suffix = ".conf"

// A Name is the file name of an entry, "NAME[+LEFT[-DONE]].conf". Its identity
// is Base: the counters change with every boot.
//
// Source: UAPI.1, "Boot counting".
type Name struct {
	Base    string
	Counted bool // the name has a counter
	Left    int  // tries left
	Done    int  // tries done
}

// ParseName reads a file name. What systemd-boot does not take for an entry (no
// suffix ".conf", a leading dot or "auto-") is an error. A counter that is not
// well formed is part of the base.
func ParseName(file string) (Name, error) {
	if len(file) <= len(suffix) || !strings.EqualFold(file[len(file)-len(suffix):], suffix) {
		return Name{}, fmt.Errorf("%q is not the name of a boot loader entry", file)
	}
	base := file[:len(file)-len(suffix)]
	if base[0] == '.' || strings.HasPrefix(strings.ToLower(base), "auto-") || strings.ContainsAny(base, "/\\\x00") {
		return Name{}, fmt.Errorf("%q is not the name of a boot loader entry", file)
	}
	i := strings.LastIndexByte(base, '+')
	if i <= 0 {
		return Name{Base: base}, nil
	}
	left, done, hasDone := strings.Cut(base[i+1:], "-")
	l, ok := counter(left)
	d := 0
	if ok && hasDone {
		d, ok = counter(done)
	}
	if !ok {
		return Name{Base: base}, nil
	}
	return Name{Base: base[:i], Counted: true, Left: l, Done: d}, nil
}

func counter(s string) (int, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return int(n), err == nil && n <= math.MaxInt32
}

// String returns the file name.
func (n Name) String() string {
	switch {
	case !n.Counted:
		return n.Base + suffix
	case n.Done == 0:
		return fmt.Sprintf("%s+%d%s", n.Base, n.Left, suffix)
	}
	return fmt.Sprintf("%s+%d-%d%s", n.Base, n.Left, n.Done, suffix)
}

// Exhausted reports whether no tries are left: the loader boots every other
// entry first.
func (n Name) Exhausted() bool { return n.Counted && n.Left == 0 }
