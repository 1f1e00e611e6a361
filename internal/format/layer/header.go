package layer

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/bootc-go/bootc/internal/format/tree"
)

// The largest device numbers that Linux has.
const (
	maxMajor = 1<<12 - 1
	maxMinor = 1<<20 - 1
)

// A header is one tar header, with its extensions applied.
type header struct {
	name, linkname string
	typeflag       byte
	mode, uid, gid uint32
	size           int64
	mtime          tree.Time
	major, minor   uint32
	xattrs         []tree.Xattr
}

// parseHeader reads a header block. The name is set as far as it is known,
// also with an error.
//
// Source: tar(5), "POSIX ustar Archives" and "GNU tar archives".
func parseHeader(b *[blockSize]byte) (h header, err error) {
	h.name = text(b[0:100])
	if string(b[257:263]) == "ustar\x00" {
		if prefix := text(b[345:500]); prefix != "" {
			h.name = prefix + "/" + h.name
		}
	}
	h.linkname = text(b[157:257])
	h.typeflag = b[156]
	if err := checkSum(b); err != nil {
		return h, err
	}
	number := func(what string, field []byte) int64 {
		v, e := parseNumber(field)
		if e != nil && err == nil {
			err = fmt.Errorf("%s: %w", what, e)
		}
		return v
	}
	h.mode = uint32(number("mode", b[100:108]))
	h.uid = uint32(number("uid", b[108:116]))
	h.gid = uint32(number("gid", b[116:124]))
	h.size = number("size", b[124:136])
	h.mtime.Sec = number("mtime", b[136:148])
	if h.typeflag == '3' || h.typeflag == '4' {
		major, minor := number("device major", b[329:337]), number("device minor", b[337:345])
		if err == nil && (major > maxMajor || minor > maxMinor) {
			err = fmt.Errorf("device number %d:%d, at most %d:%d is possible", major, minor, maxMajor, maxMinor)
		}
		h.major, h.minor = uint32(major), uint32(minor)
	}
	return h, err
}

func text(field []byte) string {
	if i := bytes.IndexByte(field, 0); i >= 0 {
		field = field[:i]
	}
	return string(field)
}

// checkSum verifies the header's checksum, summed as unsigned or as signed
// bytes.
func checkSum(b *[blockSize]byte) error {
	want, err := parseNumber(b[148:156])
	if err != nil {
		return fmt.Errorf("checksum: %w", err)
	}
	var unsigned, signed int64
	for i, c := range b {
		if i >= 148 && i < 156 {
			c = ' '
		}
		unsigned += int64(c)
		signed += int64(int8(c))
	}
	if want != unsigned && want != signed {
		return fmt.Errorf("header checksum is %d, want %d", want, unsigned)
	}
	return nil
}

// parseNumber reads an octal or a base-256 number, which may not be negative.
// What follows the NUL that ends an octal number must be blank: other readers
// skip leading NULs, and would read another number.
func parseNumber(field []byte) (int64, error) {
	if field[0]&0x80 != 0 {
		if field[0]&0x40 != 0 {
			return 0, errors.New("negative number")
		}
		var v uint64
		for i, c := range field {
			if i == 0 {
				c &= 0x3f
			}
			if v>>55 != 0 {
				return 0, errors.New("number is too large")
			}
			v = v<<8 | uint64(c)
		}
		return int64(v), nil
	}
	s := strings.Trim(text(field), " ")
	if blank := strings.Trim(string(field[len(text(field)):]), " \x00"); blank != "" {
		return 0, fmt.Errorf("%q is not an octal number", field)
	}
	if s == "" {
		return 0, nil
	}
	v, err := strconv.ParseUint(s, 8, 63)
	if err != nil {
		return 0, fmt.Errorf("%q is not an octal number", s)
	}
	return int64(v), nil
}

// An extension is what PAX and GNU headers say about the next entry.
type extension struct {
	seen             bool
	size             int
	gnuName, gnuLink string
	pax              []paxRecord
}

type paxRecord struct{ key, value string }

// parsePAX reads records "LENGTH KEY=VALUE\n".
//
// Source: pax(1), "pax Extended Header".
func (x *extension) parsePAX(data []byte) error {
	for len(data) > 0 {
		digits, _, ok := bytes.Cut(data, []byte(" "))
		n, err := strconv.ParseUint(string(digits), 10, 31)
		if !ok || err != nil || int(n) > len(data) || int(n) < len(digits)+3 || data[n-1] != '\n' {
			return errors.New("malformed PAX header")
		}
		key, value, ok := strings.Cut(string(data[len(digits)+1:n-1]), "=")
		if !ok || key == "" || !utf8.ValidString(key) {
			return errors.New("malformed PAX header")
		}
		x.pax = append(x.pax, paxRecord{key, value})
		data = data[n:]
	}
	return nil
}

// apply overrides the header's fields.
func (x *extension) apply(h *header) error {
	if x.gnuName != "" {
		h.name = x.gnuName
	}
	if x.gnuLink != "" {
		h.linkname = x.gnuLink
	}
	for _, r := range x.pax {
		if err := h.override(r); err != nil {
			return err
		}
	}
	h.xattrs = sortXattrs(h.xattrs)
	return nil
}

// sortXattrs sorts by name; of several with one name the last stays.
func sortXattrs(all []tree.Xattr) []tree.Xattr {
	slices.SortStableFunc(all, func(a, b tree.Xattr) int { return strings.Compare(a.Name, b.Name) })
	kept := all[:0]
	for i, x := range all {
		if i+1 == len(all) || all[i+1].Name != x.Name {
			kept = append(kept, x)
		}
	}
	return kept
}

func (h *header) override(r paxRecord) (err error) {
	switch r.key {
	case "path":
		h.name = r.value
	case "linkpath":
		h.linkname = r.value
	case "size":
		var v uint64
		v, err = paxNumber(r, 63)
		h.size = int64(v)
	case "uid":
		var v uint64
		v, err = paxNumber(r, 64)
		h.uid = uint32(v)
	case "gid":
		var v uint64
		v, err = paxNumber(r, 64)
		h.gid = uint32(v)
	case "mtime":
		h.mtime, err = paxTime(r)
	default:
		if strings.HasPrefix(r.key, "GNU.sparse.") {
			return errors.New("sparse files are not supported")
		}
		if name, ok := strings.CutPrefix(r.key, "SCHILY.xattr."); ok {
			if name == "" || strings.IndexByte(name, 0) >= 0 {
				return fmt.Errorf("extended attribute with the name %q", name)
			}
			h.xattrs = append(h.xattrs, tree.Xattr{Name: name, Value: r.value})
		}
	}
	return err
}

func paxNumber(r paxRecord, bits int) (uint64, error) {
	v, err := strconv.ParseUint(r.value, 10, bits)
	if err != nil {
		return 0, fmt.Errorf("PAX %s is %q, want a decimal number", r.key, r.value)
	}
	return v, nil
}

// paxTime reads seconds with a fraction, of which nine digits count.
func paxTime(r paxRecord) (tree.Time, error) {
	whole, fraction, _ := strings.Cut(r.value, ".")
	sec, err := strconv.ParseUint(whole, 10, 63)
	if err != nil {
		return tree.Time{}, fmt.Errorf("PAX mtime is %q, want seconds since 1970", r.value)
	}
	digits := (fraction + "000000000")[:9]
	nsec, err := strconv.ParseUint(digits, 10, 32)
	if err != nil {
		nsec = 0
	}
	return tree.Time{Sec: int64(sec), Nsec: uint32(nsec)}, nil
}
