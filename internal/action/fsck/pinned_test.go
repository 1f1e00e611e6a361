package fsck

import (
	"testing"

	"github.com/bootc-go/bootc"
)

func TestPinned(t *testing.T) {
	const d = "sha256:0123"
	for _, c := range []struct{ in, want bootc.Ref }{
		{bootc.Ref{Transport: bootc.Registry, Name: "quay.io/a/b:tag"}, bootc.Ref{Transport: bootc.Registry, Name: "quay.io/a/b@" + d}},
		{bootc.Ref{Transport: bootc.Registry, Name: "localhost:5000/a"}, bootc.Ref{Transport: bootc.Registry, Name: "localhost:5000/a@" + d}},
		{bootc.Ref{Transport: bootc.Registry, Name: "localhost:5000/a:t@sha256:9"}, bootc.Ref{Transport: bootc.Registry, Name: "localhost:5000/a@" + d}},
		{bootc.Ref{Transport: bootc.OCI, Name: "/dir:tag"}, bootc.Ref{Transport: bootc.OCI, Name: "/dir:tag"}},
	} {
		if got := pinned(c.in, d); got != c.want {
			t.Errorf("pinned(%v) = %v, want %v", c.in, got, c.want)
		}
	}
}
