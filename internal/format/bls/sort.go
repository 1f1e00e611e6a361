package bls

import (
	"cmp"
	"slices"
	"strings"
)

// Sort brings entries into the order in which systemd-boot lists them. It
// boots the first.
func Sort(entries []Entry) { slices.SortStableFunc(entries, Compare) }

// Compare orders two entries as systemd-boot does: entries without tries left
// last; entries with a sort-key first, by sort-key, machine-id and falling
// version; then by falling name, more tries left, fewer tries done.
//
// Source: systemd-boot(7); UAPI.1, "Sorting".
func Compare(a, b Entry) int {
	if c := falseFirst(a.Name.Exhausted(), b.Name.Exhausted()); c != 0 {
		return c
	}
	x, y := a.Get("sort-key"), b.Get("sort-key")
	if c := falseFirst(x == "", y == ""); c != 0 {
		return c
	}
	if x != "" {
		c := cmp.Or(
			strings.Compare(x, y),
			strings.Compare(a.Get("machine-id"), b.Get("machine-id")),
			-CompareVersions(a.Get("version"), b.Get("version")),
		)
		if c != 0 {
			return c
		}
	}
	// The identity that systemd-boot compares is the name with ".conf".
	if c := -CompareVersions(identity(a), identity(b)); c != 0 {
		return c
	}
	if !a.Name.Counted || !b.Name.Counted {
		return 0
	}
	return cmp.Or(-cmp.Compare(a.Name.Left, b.Name.Left), cmp.Compare(a.Name.Done, b.Name.Done))
}

func identity(e Entry) string { return strings.ToLower(e.Name.Base) + ".conf" }

func falseFirst(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}
