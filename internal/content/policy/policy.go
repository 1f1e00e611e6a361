// Package policy decides whether an image may be used, by the machine's
// containers-policy.json(5), and says why not.
//
// The file is the first that exists of the places skopeo and podman search
// (see [Places]); which requirement applies to an image follows from its
// transport and name. There is no built-in policy: a machine without a file
// refuses every image, so that a lost file never means "accept anything".
//
// The package does not fetch: it judges an image that a source of
// go.podman.io/image makes available, and that source fetches signatures when
// a requirement asks for them. It knows nothing of what the image contains.
//
// Invariants:
//   - an image is judged by its own manifest; of a multi-architecture index,
//     by the manifest of the chosen platform, as skopeo does;
//   - judging leaves no state behind, and a [Policy] may be used by several
//     goroutines.
//
// Source: containers-policy.json(5) of go.podman.io/image.
package policy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"go.podman.io/image/v5/signature"
	"go.podman.io/image/v5/transports"
	"go.podman.io/image/v5/types"
	"go.podman.io/storage/pkg/configfile"
)

// ErrMissing is in the error of [Load] when no policy file exists.
var ErrMissing = errors.New("no signature policy")

// Options say where the policy is. The zero value is the running system's.
type Options struct {
	// File is the policy file; "" searches the system's places.
	File string
	// Root is put in front of the absolute places that are searched (not of
	// File, nor of the user's own configuration).
	Root string
	// RequireSignature refuses an image for which the policy asks no
	// signature, even if it accepts it.
	RequireSignature bool
}

// A Policy is a parsed policy file.
type Policy struct {
	file    string
	policy  *signature.Policy
	require bool
}

// A Refusal is the error for an image that the policy does not allow.
type Refusal struct {
	Image  string // as "docker://quay.io/x/y:tag"
	File   string // the policy file
	Reason string
}

func (r *Refusal) Error() string {
	return fmt.Sprintf("image %s is refused by %s: %s", r.Image, r.File, r.Reason)
}

// Places lists the files that [Load] tries, in order: only Options.File or
// only the one that CONTAINERS_POLICY_JSON names, if given; else the user's,
// the administrator's in /etc, the vendor's in /usr/share.
func Places(o Options) ([]string, error) {
	if o.File != "" {
		return []string{o.File}, nil
	}
	paths, err := configfile.GetSearchPaths(&configfile.File{
		Name:                         "policy",
		Extension:                    "json",
		DoNotLoadDropInFiles:         true,
		EnvironmentName:              "CONTAINERS_POLICY_JSON",
		RootForImplicitAbsolutePaths: o.Root,
	})
	if err != nil {
		return nil, fmt.Errorf("finding the signature policy: %w", err)
	}
	return paths.MainFiles, nil
}

// Load reads the policy. If there is none, the error is [ErrMissing] and names
// the places searched.
func Load(o Options) (*Policy, error) {
	places, err := Places(o)
	if err != nil {
		return nil, err
	}
	for _, file := range places {
		data, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading signature policy: %w", err)
		}
		p, err := signature.NewPolicyFromBytes(data)
		if err != nil {
			return nil, fmt.Errorf("signature policy %s: %s", file, sentence(err))
		}
		return &Policy{file: file, policy: p, require: o.RequireSignature}, nil
	}
	if len(places) == 1 {
		return nil, fmt.Errorf("%w: %s does not exist", ErrMissing, places[0])
	}
	return nil, fmt.Errorf("%w: none of %s exists", ErrMissing, strings.Join(places, ", "))
}

// File tells which file the policy came from.
func (p *Policy) File() string { return p.file }

// Check judges an image. The error is a *[Refusal] if the policy was applied
// and does not allow it; any other error means that it could not be applied.
func (p *Policy) Check(ctx context.Context, image types.UnparsedImage) error {
	pc, err := signature.NewPolicyContext(p.policy)
	if err != nil {
		return fmt.Errorf("preparing signature policy: %w", err)
	}
	pc.RequireSignatureVerification(p.require)
	allowed, err := pc.IsRunningImageAllowed(ctx, image)
	if derr := pc.Destroy(); derr != nil && err == nil {
		return fmt.Errorf("closing signature policy: %w", derr)
	}
	if allowed && err == nil {
		return nil
	}
	name := transports.ImageName(image.Reference())
	if err == nil {
		return &Refusal{Image: name, File: p.file, Reason: "not allowed"}
	}
	if reason, refused := reason(err); refused {
		return &Refusal{Image: name, File: p.file, Reason: reason}
	}
	return fmt.Errorf("checking image %s against %s: %w", name, p.file, err)
}

// reason tells a refusal from an error on the way to a verdict, such as a
// registry that does not answer when asked for signatures.
func reason(err error) (string, bool) {
	var (
		unmet   signature.PolicyRequirementError
		invalid signature.InvalidSignatureError
	)
	switch text := err.Error(); {
	case strings.HasPrefix(text, "Running image ") && strings.HasSuffix(text, " is rejected by policy."):
		return `the policy says "reject" for it`, true
	case strings.HasPrefix(text, "No signature verification policy found for image "):
		return "the policy accepts it without a signature, but this machine requires one", true
	case errors.As(err, &unmet) || errors.As(err, &invalid):
		return sentence(err), true
	}
	return "", false
}

// sentence makes a library's message fit the middle of one of ours.
func sentence(err error) string {
	s := strings.TrimRight(strings.Join(strings.Fields(err.Error()), " "), ".")
	if len(s) > 1 && s[0] >= 'A' && s[0] <= 'Z' && (s[1] >= 'a' && s[1] <= 'z' || s[1] == ' ') {
		s = strings.ToLower(s[:1]) + s[1:]
	}
	return s
}
