// Package registry opens images where they are kept: in a registry, an OCI or
// Docker layout or archive, a directory, or the containers storage.
//
// It is a thin layer over go.podman.io/image, the library of podman and
// skopeo, so that registries.conf (mirrors, insecure and blocked registries),
// registries.d, certs.d and proxies mean here what they mean there. Three
// things are ours: every image is judged by [policy] before anything of it is
// used; credentials come from bootc's own files only, never from those of a
// logged-in user; and a source that fails, lies about a size or falls silent
// is asked again, from where a blob broke off, and is an error in bounded time,
// said in one sentence.
//
// The package knows nothing of what is in a layer and keeps nothing on disk
// (archives and the containers storage are unpacked below Options.TempDir
// until Close).
//
// Invariants:
//   - the manifest's bytes are the original ones, and its digest was checked
//     against the reference and the index it came from;
//   - the config's bytes match the manifest's digest of it;
//   - a layer's stream is as long as the manifest says or ends with an error;
//     its digest is for the reader to check;
//   - URLs that a manifest names for its layers are not followed.
//
// Sources: OCI distribution and image specifications, containers-transports(5),
// containers-registries.conf(5), containers-auth.json(5).
package registry

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"go.podman.io/image/v5/image"
	"go.podman.io/image/v5/manifest"
	"go.podman.io/image/v5/pkg/sysregistriesv2"
	"go.podman.io/image/v5/types"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/content/policy"
)

// Options say how to open an image. The zero value is the running system's
// configuration and platform.
type Options struct {
	// Version goes into the user agent, "bootc/<Version>".
	Version string
	// Architecture and Variant choose from a multi-architecture index, by
	// Go's names ("amd64", "arm" and "v7"); "" is the running program's.
	Architecture string
	Variant      string
	// Known is the digest of a manifest that the caller already has. If the
	// reference leads to it, nothing more is fetched: see [Image.Unchanged].
	Known bootc.Digest
	// RequireSignature refuses images for which the policy asks no signature.
	RequireSignature bool
	// Progress receives a notice before a failed request is tried again, from
	// the goroutine that made it.
	Progress bootc.Progress

	// Root is put in front of all default places below (not of those given
	// here, nor of the user's own configuration).
	Root string
	// PolicyFile is the policy.json to use.
	PolicyFile string
	// RegistriesConf and RegistriesConfDir replace registries.conf and
	// registries.conf.d.
	RegistriesConf    string
	RegistriesConfDir string
	// RegistriesDir replaces registries.d, where signatures are looked up.
	RegistriesDir string
	// CertsDir replaces certs.d, with a directory for each host:port.
	CertsDir string
	// AuthFiles replaces the list of places of auth.json. The first that
	// exists is used; none means anonymous.
	AuthFiles []string
	// TempDir is for archives that must be unpacked; "" is /var/tmp.
	TempDir string

	// Stall is how long a registry may give no byte before that is an error;
	// 0 is a minute.
	Stall time.Duration
	// Attempts is how often a request is tried when it fails for a passing
	// reason; 0 is 4.
	Attempts int
	// Resumes is how often in a row a blob that broke off is gone on with,
	// without getting further; 0 is 8, in about two minutes.
	Resumes int
	// Wait pauses between attempts; nil sleeps.
	Wait func(ctx context.Context, d time.Duration) error
}

const (
	defaultStall    = time.Minute
	defaultAttempts = 4
	defaultResumes  = 8
	// A manifest, its index, a login and the pings before them may take this
	// many stall limits in one attempt, the pauses that a registry wants
	// included.
	stallsPerOpen = 5
)

// Open finds an image, judges it by the policy and chooses the platform. Only
// manifests (and signatures, if the policy asks for them) are fetched.
//
// The error is [ErrNotFound] if there is no such image, [ErrDenied] if the
// registry wants other credentials, a [*policy.Refusal] if the policy does not
// allow it.
func Open(ctx context.Context, ref bootc.Ref, o Options) (*Image, error) {
	o = o.withDefaults()
	verdicts, err := policy.Load(policy.Options{File: o.PolicyFile, Root: o.Root, RequireSignature: o.RequireSignature})
	if err != nil {
		return nil, err
	}
	source, err := parse(ref, o.Root)
	if err != nil {
		return nil, err
	}
	sys, auth, err := o.system()
	if err != nil {
		return nil, err
	}
	// The library caches registries.conf for the life of the process.
	sysregistriesv2.InvalidateCache()

	var img *Image
	e := explainer{ref: ref, what: "image " + ref.String(), auth: auth, stall: o.Stall}
	r := retry{options: o, explainer: e, limit: 1}
	remote := ref.Transport == bootc.Registry
	if remote {
		r.limit = o.Attempts
	}
	err = r.do(ctx, func(ctx context.Context) error {
		a := r.attempt(ctx)
		defer a.close()
		i, err := open(a.ctx, source, sys, verdicts, o.Known)
		if err == nil {
			img = i
		}
		return a.cause(err)
	})
	if err != nil {
		return nil, e.explain(err)
	}
	img.ref, img.options, img.explainer, img.remote = ref, o, e, remote
	return img, nil
}

func open(ctx context.Context, ref types.ImageReference, sys *types.SystemContext, verdicts *policy.Policy, known bootc.Digest) (*Image, error) {
	src, err := ref.NewImageSource(ctx, sys)
	if err != nil {
		return nil, err
	}
	img, err := load(ctx, src, sys, verdicts, known)
	if err != nil {
		_ = src.Close()
		return nil, err
	}
	return img, nil
}

// load reads the manifests of an opened source. The policy's verdict comes
// before anything of the platform's manifest is looked at.
func load(ctx context.Context, src types.ImageSource, sys *types.SystemContext, verdicts *policy.Policy, known bootc.Digest) (*Image, error) {
	unparsed := image.UnparsedInstance(src, nil)
	raw, mime, err := readManifest(ctx, unparsed)
	if err != nil {
		return nil, err
	}
	img := &Image{src: src}
	if manifest.MIMETypeIsMultiImage(mime) {
		list, err := manifest.ListFromBlob(raw, mime)
		if err != nil {
			return nil, fmt.Errorf("reading index: %w", err)
		}
		instance, err := list.ChooseInstance(sys)
		if err != nil {
			return nil, err
		}
		unparsed, raw = image.UnparsedInstance(src, &instance), nil
		img.instance, img.digest = &instance, bootc.Digest(instance)
	} else {
		img.digest = bootc.Digest(digest.FromBytes(raw))
	}
	if err := verdicts.Check(ctx, unparsed); err != nil {
		return nil, &judging{err}
	}
	img.manifest = raw
	if known != "" && img.digest == known {
		img.unchanged = true
		return img, nil
	}
	if raw == nil {
		if raw, mime, err = readManifest(ctx, unparsed); err != nil {
			return nil, err
		}
		if manifest.MIMETypeIsMultiImage(mime) {
			return nil, errors.New("an index of indexes is not supported")
		}
		img.manifest, img.digest = raw, bootc.Digest(digest.FromBytes(raw))
	}
	return img, img.parse(ctx, mime)
}

// readManifest returns a manifest and its media type, guessed from the bytes
// unless the source knows one that is a manifest's.
func readManifest(ctx context.Context, u *image.UnparsedImage) ([]byte, string, error) {
	raw, mime, err := u.Manifest(ctx)
	if err != nil {
		return nil, "", err
	}
	switch mime {
	case manifest.DockerV2Schema2MediaType, manifest.DockerV2ListMediaType, mediaTypeOCIManifest, mediaTypeOCIIndex:
	default:
		mime = manifest.GuessMIMEType(raw)
	}
	return raw, mime, nil
}

func (o Options) withDefaults() Options {
	if o.Stall <= 0 {
		o.Stall = defaultStall
	}
	if o.Attempts <= 0 {
		o.Attempts = defaultAttempts
	}
	if o.Resumes <= 0 {
		o.Resumes = defaultResumes
	}
	if o.Wait == nil {
		o.Wait = sleep
	}
	return o
}

// system puts the options into the library's form. It returns what to say
// about credentials, too.
func (o Options) system() (*types.SystemContext, string, error) {
	sys := &types.SystemContext{
		RootForImplicitAbsolutePaths: o.Root,
		SignaturePolicyPath:          o.PolicyFile,
		RegistriesDirPath:            o.RegistriesDir,
		SystemRegistriesConfPath:     o.RegistriesConf,
		SystemRegistriesConfDirPath:  o.RegistriesConfDir,
		DockerPerHostCertDirPath:     o.CertsDir,
		BigFilesTemporaryDir:         o.TempDir,
		ArchitectureChoice:           o.Architecture,
		VariantChoice:                o.Variant,
		OSChoice:                     "linux",
		DockerRegistryUserAgent:      strings.TrimSuffix("bootc/"+o.Version, "/"),
	}
	auth, err := o.authenticate(sys)
	return sys, auth, err
}
