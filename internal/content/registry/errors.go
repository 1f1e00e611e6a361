package registry

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/docker/distribution/registry/api/errcode"
	v2 "github.com/docker/distribution/registry/api/v2"
	"go.podman.io/image/v5/docker"
	"go.podman.io/image/v5/docker/reference"
	ociarchive "go.podman.io/image/v5/oci/archive"
	"go.podman.io/image/v5/oci/layout"
	"go.podman.io/image/v5/storage"
	containers "go.podman.io/storage"

	"github.com/bootc-go/bootc"
	"github.com/bootc-go/bootc/internal/content/policy"
)

var (
	// ErrNotFound is in the error for an image that does not exist.
	ErrNotFound = errors.New("image not found")
	// ErrDenied is in the error for a registry that wants a login, or refuses
	// the one it got.
	ErrDenied = errors.New("access denied")
	// ErrInterrupted is in the error for a registry that was asked several times
	// and failed for a reason that may pass. What came before stays useful.
	ErrInterrupted = errors.New("the registry fails at the moment")
)

// An explainer says the library's errors in one sentence, of what was being
// fetched.
type explainer struct {
	ref   bootc.Ref
	what  string // "image quay.io/x/y", "layer sha256:…"
	auth  string // which credentials were used
	stall time.Duration
}

// told is an error with a text of its own; the cause stays for errors.Is.
type told struct {
	text  string
	cause error
}

func (t *told) Error() string { return t.text }
func (t *told) Unwrap() error { return t.cause }

// judging is an error of the policy's evaluation. What it says is missing (a
// key, a signature) is not the image.
type judging struct{ error }

func (j *judging) Unwrap() error { return j.error }

func (e explainer) explain(err error) error {
	var (
		refusal *policy.Refusal
		judge   *judging
	)
	switch {
	case errors.As(err, &refusal):
		return refusal
	case errors.As(err, &judge) && e.network(err) == "":
		return judge.error
	case errors.Is(err, context.Canceled) && !errors.Is(err, errStalled):
		return fmt.Errorf("reading %s: %w", e.what, context.Canceled)
	case missing(err):
		return e.notFound(err)
	case denied(err):
		return fmt.Errorf("%w: registry %s does not give %s: %s (%s)", ErrDenied, e.host(err), e.what, clean(plain(err)), e.auth)
	}
	text := e.network(err)
	if text == "" {
		text = e.what + ": " + clean(plain(err))
	}
	var t *tried
	if errors.As(err, &t) {
		text += fmt.Sprintf(" (%d attempts)", t.attempts)
	}
	if strings.Contains(err.Error(), mirrorsFailed) {
		text += "; its mirrors failed, too"
	}
	return &told{text, err}
}

func (e explainer) notFound(err error) error {
	if !strings.HasPrefix(e.what, "image ") {
		return &told{fmt.Sprintf("%s of image %s is missing where the image is kept: %s", e.what, e.ref, clean(plain(err))), err}
	}
	return fmt.Errorf("%w: %s (%s)", ErrNotFound, e.ref, clean(plain(err)))
}

// network says what is wrong with a connection, "" if it is not about one.
func (e explainer) network(err error) string {
	var (
		status docker.UnexpectedHTTPStatusError
		dns    *net.DNSError
		op     *net.OpError
		wire   *url.Error
		short  *truncated
	)
	host := e.host(err)
	switch {
	case errors.As(err, &short):
		return fmt.Sprintf("%s from registry %s", short, host)
	case errors.Is(err, errStalled):
		return fmt.Sprintf("%s: registry %s sends nothing for %s", e.what, host, e.stall)
	case tooMany(err):
		return fmt.Sprintf("%s: registry %s answers that there were too many requests, again and again", e.what, host)
	case errors.As(err, &status):
		return fmt.Sprintf("%s: registry %s answers %d %s", e.what, host, status.StatusCode, http.StatusText(status.StatusCode))
	case errors.Is(err, http.ErrSchemeMismatch):
		return fmt.Sprintf("registry %s speaks plain HTTP instead of TLS: to allow that, set insecure = true for it in registries.conf", host)
	case untrusted(err):
		return fmt.Sprintf("registry %s has a TLS certificate that is not trusted: %s: put its CA into /etc/containers/certs.d/%s/ca.crt, or set insecure = true for it in registries.conf", host, clean(plain(err)), host)
	case errors.As(err, &dns):
		return fmt.Sprintf("registry %s is not reachable: %s", host, clean(plain(err)))
	case errors.As(err, &op), errors.As(err, &wire):
		return fmt.Sprintf("%s: registry %s is not reachable: %s", e.what, host, clean(plain(err)))
	}
	return ""
}

// host names the registry that an error is about.
func (e explainer) host(err error) string {
	var wire *url.Error
	if errors.As(err, &wire) {
		if u, err := url.Parse(wire.URL); err == nil && u.Host != "" {
			return u.Host
		}
	}
	if named, err := reference.ParseNormalizedNamed(e.ref.Name); err == nil {
		return reference.Domain(named)
	}
	return e.ref.Name
}

func missing(err error) bool {
	var (
		code    errcode.ErrorCoder
		oci     layout.ImageNotFoundError
		archive ociarchive.ImageNotFoundError
		file    ociarchive.ArchiveFileNotFoundError
	)
	if errors.As(err, &code) {
		switch code.ErrorCode() {
		case v2.ErrorCodeManifestUnknown, v2.ErrorCodeNameUnknown, v2.ErrorCodeBlobUnknown:
			return true
		case errcode.ErrorCodeUnknown:
			return strings.Contains(strings.ToLower(err.Error()), "not found")
		}
	}
	return errors.As(err, &oci) || errors.As(err, &archive) || errors.As(err, &file) ||
		errors.Is(err, ErrNotFound) || errors.Is(err, fs.ErrNotExist) ||
		errors.Is(err, storage.ErrNoSuchImage) || errors.Is(err, containers.ErrImageUnknown) ||
		strings.Contains(err.Error(), "StatusCode: 404") || // an answer that is not in the registries' JSON form
		archiveTag(err)
}

// archiveTag knows the one error of docker-archive: for a tag that is not in
// the archive; it has no type.
func archiveTag(err error) bool {
	text := plain(err)
	return strings.HasPrefix(text, "Tag ") && strings.HasSuffix(text, " not found")
}

func denied(err error) bool {
	var (
		code        errcode.ErrorCoder
		credentials docker.ErrUnauthorizedForCredentials
	)
	if errors.As(err, &credentials) {
		return true
	}
	if errors.As(err, &code) {
		return code.ErrorCode() == errcode.ErrorCodeUnauthorized || code.ErrorCode() == errcode.ErrorCodeDenied
	}
	text := err.Error()
	return strings.Contains(text, "StatusCode: 401") || strings.Contains(text, "StatusCode: 403")
}

// tooMany reports whether a registry answers 429, also after the pauses that it
// asked for.
func tooMany(err error) bool {
	var code errcode.ErrorCoder
	if errors.As(err, &code) {
		return code.ErrorCode() == errcode.ErrorCodeTooManyRequests
	}
	return errors.Is(err, docker.ErrTooManyRequests) || strings.Contains(err.Error(), "StatusCode: 429")
}

func untrusted(err error) bool {
	var (
		verification *tls.CertificateVerificationError
		authority    x509.UnknownAuthorityError
		name         x509.HostnameError
		invalid      x509.CertificateInvalidError
	)
	return errors.As(err, &verification) || errors.As(err, &authority) || errors.As(err, &name) ||
		errors.As(err, &invalid) || errors.Is(err, http.ErrSchemeMismatch)
}

const mirrorsFailed = "(Mirrors also failed: "

// plain returns the part of an error's text that says what is wrong, without
// the library's narration around it, which names the image again and again.
func plain(err error) string {
	var (
		wire   *url.Error
		answer errcode.Error
	)
	if errors.As(err, &wire) {
		return wire.Err.Error()
	}
	if errors.As(err, &answer) {
		return answer.Error()
	}
	text := err.Error()
	if strings.HasPrefix(text, mirrorsFailed) {
		if i := strings.LastIndex(text, "): "); i >= 0 {
			text = text[i+len("): "):]
		}
	}
	if i := strings.Index(text, "StatusCode: "); i >= 0 {
		return "the answer is HTTP " + text[i+len("StatusCode: "):]
	}
	return strings.TrimPrefix(text, "loading registries configuration: ")
}

// clean makes a library's message fit the middle of one of ours: one line, no
// capital, no period, no control characters.
func clean(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || (r >= 0x80 && r < 0xa0) {
			return '?'
		}
		return r
	}, s)
	s = strings.TrimRight(strings.ReplaceAll(s, "failed to ", "cannot "), ".")
	if len(s) > 1 && s[0] >= 'A' && s[0] <= 'Z' && (s[1] >= 'a' && s[1] <= 'z' || s[1] == ' ') {
		s = strings.ToLower(s[:1]) + s[1:]
	}
	return s
}
