package mount

import "os"

// The ways that only some kernels need, for tests on all.

func EROFS(image *os.File) (*os.File, error)     { return erofs(image) }
func EROFSLoop(image *os.File) (*os.File, error) { return erofsLoop(image) }

func (o OverlayOptions) ByDescriptor() (*os.File, error) { return o.byDescriptor() }
func (o OverlayOptions) ByPath() (*os.File, error)       { return o.byPath() }
func (o OverlayOptions) ByOnePath() (*os.File, error)    { return o.byOnePath() }

func WithPlace(m *os.File, do func() error) error { return withPlace(m, do) }
