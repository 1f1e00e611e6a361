package registry_test

import (
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bootc-go/bootc/internal/content/registry"
)

func pemOf(der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func authJSON(host, user, password string) string {
	return fmt.Sprintf(`{"auths": {%q: {"auth": %q}}}`, host, base64.StdEncoding.EncodeToString([]byte(user+":"+password)))
}

// basic asks for user "fleet" and password "secret".
func basic(w http.ResponseWriter, r *http.Request) bool {
	user, password, _ := r.BasicAuth()
	if user == "fleet" && password == "secret" {
		return false
	}
	w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
	http.Error(w, `{"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]}`, http.StatusUnauthorized)
	return true
}

// bearer gives a token to the same user, as the big registries do.
func bearer(w http.ResponseWriter, r *http.Request) bool {
	switch {
	case r.URL.Path == "/token":
		user, password, _ := r.BasicAuth()
		if user != "fleet" || password != "secret" {
			http.Error(w, "no", http.StatusUnauthorized)
			return true
		}
		fmt.Fprint(w, `{"token": "opaque"}`)
		return true
	case r.Header.Get("Authorization") == "Bearer opaque":
		return false
	}
	w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token",service="test"`, r.Host))
	http.Error(w, `{"errors": [{"code": "UNAUTHORIZED"}]}`, http.StatusUnauthorized)
	return true
}

func TestAuth(t *testing.T) {
	for name, f := range map[string]fault{"basic": basic, "bearer": bearer} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, f)
			want := newImage(t, true, "amd64", 1)
			s.push(t, "os:v1", want)
			good, bad := authJSON(s.host, "fleet", "secret"), authJSON(s.host, "fleet", "wrong")

			for _, tt := range []struct {
				name  string
				files map[string]string
				want  string
			}{
				{"none", nil, "no credentials: none of ROOT/run/ostree/auth.json, ROOT/etc/ostree/auth.json, ROOT/usr/lib/ostree/auth.json exists"},
				{"first", map[string]string{"run/ostree/auth.json": good}, ""},
				{"second", map[string]string{"etc/ostree/auth.json": good}, ""},
				{"third", map[string]string{"usr/lib/ostree/auth.json": good}, ""},
				{"only the first counts", map[string]string{"run/ostree/auth.json": `{"auths": {}}`, "etc/ostree/auth.json": good}, "credentials from ROOT/run/ostree/auth.json"},
				{"wrong", map[string]string{"etc/ostree/auth.json": bad}, "credentials from ROOT/etc/ostree/auth.json"},
				{"not podman's", map[string]string{
					"containers/auth.json":              good, // XDG_RUNTIME_DIR
					"run/containers/0/auth.json":        good,
					"home/.config/containers/auth.json": good,
					"home/.docker/config.json":          good,
				}, "no credentials"},
			} {
				t.Run(tt.name, func(t *testing.T) {
					o := options(t, s.host)
					for file, content := range tt.files {
						write(t, filepath.Join(o.Root, file), content)
					}
					got, err := registry.Open(t.Context(), s.ref("os:v1"), o)
					if tt.want != "" {
						if !errors.Is(err, registry.ErrDenied) || !strings.Contains(err.Error(), strings.ReplaceAll(tt.want, "ROOT", o.Root)) {
							t.Errorf("Open = %v, want ErrDenied and %q", err, tt.want)
						}
						return
					}
					if err != nil {
						t.Fatal(err)
					}
					defer got.Close()
					same(t, got, want, false)
				})
			}
		})
	}
}

// TestAuthMirror: a mirror does not get podman's credentials either.
func TestAuthMirror(t *testing.T) {
	s := newServer(t, basic)
	s.push(t, "os:v1", newImage(t, true, "amd64", 1))
	empty := newServer(t, nil)
	o := options(t)
	write(t, o.RegistriesConf, fmt.Sprintf("[[registry]]\nlocation = %q\ninsecure = true\n[[registry.mirror]]\nlocation = %q\ninsecure = true\n", empty.host, s.host))
	for _, file := range []string{"containers/auth.json", fmt.Sprintf("run/containers/%d/auth.json", os.Getuid()), "home/.config/containers/auth.json", "home/.docker/config.json"} {
		write(t, filepath.Join(o.Root, file), authJSON(s.host, "fleet", "secret"))
	}
	if _, err := registry.Open(t.Context(), empty.ref("os:v1"), o); err == nil {
		t.Error("Open used credentials of the user's podman for a mirror")
	}
	write(t, filepath.Join(o.Root, "etc/ostree/auth.json"), authJSON(s.host, "fleet", "secret"))
	open(t, empty.ref("os:v1"), o)
}

// TestNoCredentialHelpers: without an auth.json, helpers that registries.conf
// names are not run.
func TestNoCredentialHelpers(t *testing.T) {
	s := newServer(t, nil)
	s.push(t, "os:v1", newImage(t, true, "amd64", 1))
	o := options(t)
	write(t, o.RegistriesConf, fmt.Sprintf("credential-helpers = [\"bootc-test\"]\n[[registry]]\nlocation = %q\ninsecure = true\n", s.host))
	ran := filepath.Join(o.Root, "ran")
	helper := write(t, filepath.Join(o.Root, "bin/docker-credential-bootc-test"), "#!/bin/sh\ntouch "+ran+"\necho '{}'\n")
	if err := os.Chmod(helper, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", filepath.Dir(helper)+":"+os.Getenv("PATH"))
	open(t, s.ref("os:v1"), o)
	if _, err := os.Stat(ran); err == nil {
		t.Error("a credential helper was run")
	}
}

func TestAuthDangling(t *testing.T) {
	s := newServer(t, basic)
	s.push(t, "os:v1", newImage(t, true, "amd64", 1))
	o := options(t, s.host)
	run := filepath.Join(o.Root, "run/ostree")
	if err := os.MkdirAll(run, 0o755); err != nil {
		t.Fatal(err)
	}
	// As the documentation suggests: a link to a login that may not be there.
	if err := os.Symlink(filepath.Join(o.Root, "run/user/0/containers/auth.json"), filepath.Join(run, "auth.json")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(o.Root, "etc/ostree/auth.json"), authJSON(s.host, "fleet", "secret"))
	open(t, s.ref("os:v1"), o)
}
