package cmdline

import (
	"errors"
	"fmt"
	"strings"

	"github.com/bootc-go/bootc"
)

// ErrNoComposefs means that a command line names no image.
var ErrNoComposefs = errors.New("no composefs= on the kernel command line")

// The parameters that name the image to boot.
const (
	composefsKey = "composefs"
	digestKey    = "composefs.digest"
)

// An Image is what a command line says about the root file system.
type Image struct {
	ID bootc.ID
	// Insecure is true when fs-verity is not required ("?" before the id).
	Insecure bool
}

// Composefs returns the image that a command line names, by composefs=[?]ID or
// composefs.digest=[?]v1-sha512-12:ID. Several such parameters must agree on
// the id, and the result is insecure only if all of them say so. A malformed
// one is an error even beside good ones; none at all is [ErrNoComposefs].
func Composefs(line string) (Image, error) {
	var found *Image
	for _, p := range Split(line) {
		if !isComposefs(p) {
			continue
		}
		img, err := parseComposefs(p)
		switch {
		case err != nil:
			return Image{}, err
		case found == nil:
			found = &img
		case found.ID != img.ID:
			return Image{}, fmt.Errorf("the kernel command line names two images, %s and %s", found.ID.Short(), img.ID.Short())
		default:
			found.Insecure = found.Insecure && img.Insecure
		}
	}
	if found == nil {
		return Image{}, ErrNoComposefs
	}
	return *found, nil
}

func isComposefs(p Param) bool { return p.Key == composefsKey || p.Key == digestKey }

func parseComposefs(p Param) (Image, error) {
	value, insecure := strings.CutPrefix(p.Value, "?")
	hex := value
	if p.Key == digestKey {
		format, digest, ok := strings.Cut(value, ":")
		if !ok || (format != "v1-sha512-12" && format != "v2-sha512-12") {
			return Image{}, fmt.Errorf("kernel argument %q: want %s=[?]v1-sha512-12:DIGEST", p.Text, digestKey)
		}
		hex = digest
	}
	id, err := bootc.ParseID(hex)
	if err != nil {
		return Image{}, fmt.Errorf("kernel argument %q: %w", p.Text, err)
	}
	return Image{ID: id, Insecure: insecure}, nil
}

// SetComposefs makes a command line name another image, in the place of the
// image that it names. insecure says whether that one may lack fs-verity.
func SetComposefs(line, id string, insecure bool) string {
	mark := ""
	if insecure {
		mark = "?"
	}
	line = RemoveKey(line, Param{Key: digestKey})
	p := parse(composefsKey + "=" + mark + id)
	if has(line, p) || !openQuote(line) {
		return Set(line, p)
	}
	return p.Text + " " + line
}

func has(line string, p Param) bool {
	for _, q := range Split(line) {
		if q.sameKey(p) {
			return true
		}
	}
	return false
}

// CheckLocal checks an argument that the owner of a machine adds. It must not
// name an image, and it must not reach into what follows it in a boot entry.
func CheckLocal(arg string) error {
	params := Split(arg)
	if len(params) == 0 {
		return errors.New("kernel argument is empty")
	}
	if openQuote(arg) {
		return fmt.Errorf("kernel argument %q has a quote that is not closed", arg)
	}
	for _, p := range params {
		if err := check(p); err != nil {
			return err
		}
	}
	if strings.ContainsAny(arg, "\n\r") {
		return fmt.Errorf("kernel argument %q has a line break", arg)
	}
	return nil
}

// check refuses what no one may put on a command line: the name of an image,
// and characters that a boot entry cannot hold.
func check(p Param) error {
	if isComposefs(p) {
		return fmt.Errorf("kernel argument %q: %s= is set by bootc alone", p.Text, p.Key)
	}
	for _, r := range p.Text {
		if (r < ' ' && r != '\t') || r == 0x7f {
			return fmt.Errorf("kernel argument %q has the control character %q", p.Text, r)
		}
	}
	return nil
}
