package deploy_test

import (
	"os"
	"testing"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/machine/deploy"
)

// TestOriginOfUpstream reads an origin that upstream wrote and writes the same
// bytes again.
func TestOriginOfUpstream(t *testing.T) {
	data, err := os.ReadFile("testdata/upstream.origin")
	if err != nil {
		t.Fatal(err)
	}
	got, err := deploy.ParseOrigin(data)
	if err != nil {
		t.Fatal(err)
	}
	want := deploy.Origin{
		Ref:        bootc.Ref{Transport: bootc.Registry, Name: "10.0.2.2:5000/lab/os:stable"},
		BootType:   deploy.BLS,
		BootDigest: "0aa164772ca16646e9b1f910000ce8481c37b7c8f50b60f816dcbd9cb1125704",
		Manifest:   "sha256:306930d5a4945d87bd3b4187e4a8d5b0f0d672d451c03991a51cb1d812b4514f",
	}
	if got != want {
		t.Errorf("ParseOrigin = %+v, want %+v", got, want)
	}
	if string(got.Bytes()) != string(data) {
		t.Errorf("Bytes =\n%s\nwant\n%s", got.Bytes(), data)
	}
}

func TestParseOriginErrors(t *testing.T) {
	for name, text := range map[string]string{
		"empty":        "",
		"no reference": "[boot]\nboot_type = bls\n",
		"boot type":    "[origin]\ncontainer-image-reference = docker://x/y\n[boot]\nboot_type = floppy\n",
		"digest":       "[origin]\ncontainer-image-reference = docker://x/y\n[image]\nmanifest_digest = sha256:12\n",
	} {
		if o, err := deploy.ParseOrigin([]byte(text)); err == nil {
			t.Errorf("%s: ParseOrigin = %+v, want an error", name, o)
		}
	}
}
