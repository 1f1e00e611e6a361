package boot

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/format/bls"
	"github.com/bootc-go/bootc/internal/format/osrelease"
)

// NewEntry makes the first entry of a deployment. options is the whole command
// line; it is not used for a unified kernel image, which carries its own.
func NewEntry(id bootc.ID, r osrelease.Release, a Artefacts, options string) bls.Entry {
	os := firstOf(r.ID, "linux")
	version := firstOf(r.VersionID, r.Version, r.BuildID, id.Short())
	title := firstOf(r.PrettyName, "Linux")
	if a.UKI != "" {
		title += " " + version
	}
	var e bls.Entry
	e.Set("title", title)
	e.Set("version", version)
	if a.UKI != "" {
		e.Set(cmp.Or(a.UKIKey, "efi"), a.UKI)
	} else {
		e.Set("linux", a.Linux)
		e.Set("initrd", a.Initrd)
		if a.Credentials != "" {
			e.Add("initrd", a.Credentials)
		}
		e.Set("options", options)
	}
	stem := namePrefix + nameWord(strings.ReplaceAll(os, "-", "_")) + "-" + nameWord(version)
	e.Name = bls.Name{Base: stem + "-1"}
	e.Set("sort-key", sortKey("bootc-"+nameWord(os), 0))
	return e
}

func firstOf(values ...string) string {
	for _, v := range values {
		if strings.TrimSpace(v) != "" {
			return v
		}
	}
	return ""
}

// nameWord makes a word fit for a file name on FAT. A plus would begin a boot
// counter, a blank would end a value.
func nameWord(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("._~^-", r):
			return r
		}
		return '_'
	}, s)
}

func sortKey(stem string, place int) string { return stem + "-" + strconv.Itoa(min(place, 9)) }

// sortStem is the sort-key without its place: "bootc-debian". Upstream writes
// "bootc-bootc" after a rollback.
func sortStem(e bls.Entry) string {
	key := e.Get("sort-key")
	if stem, ok := cutPlace(key); ok && strings.HasPrefix(key, "bootc-") {
		return stem
	}
	return "bootc-linux"
}

// cutPlace cuts the digit that ends a sort-key or the name of an entry.
func cutPlace(s string) (string, bool) {
	n := len(s)
	if n < 3 || s[n-2] != '-' || s[n-1] < '0' || s[n-1] > '9' {
		return s, false
	}
	return s[:n-2], true
}

// arrange makes a set out of our entries: the first is the loader's choice, the
// others follow in their order. All get the sort-key of the first one's system,
// as the order of places must not depend on the names of two systems. Counters
// stay, except that one which the loader has given up on gets its tries again as
// the first.
func arrange(entries []bls.Entry) []bls.Entry {
	if len(entries) == 0 {
		return nil
	}
	stem := sortStem(entries[0])
	taken := map[string]bool{}
	set := slices.Clone(entries)
	for place := range set {
		e := &set[place]
		e.Set("sort-key", sortKey(stem, place))
		base, _ := cutPlace(e.Name.Base)
		priority := max(0, 1-place)
		e.Name.Base = fmt.Sprintf("%s-%d", base, priority)
		for n := 2; taken[strings.ToLower(e.Name.Base)]; n++ {
			e.Name.Base = fmt.Sprintf("%s_%d-%d", base, n, priority)
		}
		taken[strings.ToLower(e.Name.Base)] = true
	}
	if set[0].Name.Exhausted() {
		set[0] = OnTrial(set[0])
	}
	return set
}

// sortEntries sorts as the loader does.
func sortEntries(all []Entry) {
	slices.SortStableFunc(all, func(a, b Entry) int { return bls.Compare(a.Entry, b.Entry) })
}
