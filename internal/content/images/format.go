package images

import (
	"fmt"

	"github.com/bootc-go/bootc/internal/format/erofs"
)

// A Format is the composefs version of an EROFS image, by its number in
// meta.json and in the header of the image.
type Format int

// The formats. V1 is what new repositories have; V2 is what other
// implementations wrote before.
const (
	V0 Format = 0
	V1 Format = 1
	V2 Format = 2
)

// String returns "V1".
func (f Format) String() string { return fmt.Sprintf("V%d", int(f)) }

// options are those of a writer of the format.
func (f Format) options() (erofs.Options, error) {
	switch f {
	case V0:
		return erofs.Options{Version: erofs.V0}, nil
	case V1:
		return erofs.Options{Version: erofs.V1}, nil
	case V2:
		return erofs.Options{Version: erofs.V2}, nil
	}
	return erofs.Options{}, fmt.Errorf("EROFS format %v cannot be written", f)
}

// The names of EROFS images in a config's stream begin with this.
const imageNames = "composefs.image"

// keepsUserXattrs ends the name of an image in which user.* attributes were
// kept.
const keepsUserXattrs = ".xattrs=keep-user-xattrs"

// imageName is the name that the stream of a config has for the plain image or
// the one that boots.
func (f Format) imageName(boot bool) string {
	name := imageNames
	if boot {
		name += ".boot"
	}
	if f != V2 {
		name += ".v1"
	}
	return name
}
