package credential_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bootc-go/bootc/internal/format/credential"
)

func encode(t *testing.T, name, data string) credential.Credential {
	t.Helper()
	e, err := credential.Encode(name, []byte(data))
	if err != nil {
		t.Fatal(err)
	}
	if err := credential.CheckEncoded(e); err != nil {
		t.Errorf("CheckEncoded of what Encode gives: %v", err)
	}
	return credential.Credential{Name: name, Encoded: e}
}

// TestEncode looks at what is not encrypted.
func TestEncode(t *testing.T) {
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(encode(t, "foo.bar", "secret value").Encoded)))
	if err != nil {
		t.Fatal(err)
	}
	const want = "058469daf6f54324800549da0f8ea2fb" + "20000000" + "01000000" + "0c000000" + "10000000"
	if got := hex.EncodeToString(raw[:32]); got != want || len(raw) != 108 {
		t.Errorf("%d bytes, the header is %s, want 108 and %s", len(raw), got, want)
	}
}

// TestDecrypt has systemd decrypt, under the right name and another one.
func TestDecrypt(t *testing.T) {
	program, err := exec.LookPath("systemd-creds")
	if err != nil {
		t.Skip(err)
	}
	for name, data := range map[string]string{"foo.bar": "secret value", "eightlet": "", "x": "\x00\xff\n" + strings.Repeat("long", 5000)} {
		file := filepath.Join(t.TempDir(), name+".cred")
		if err := os.WriteFile(file, encode(t, name, data).Encoded, 0o600); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		cmd := exec.Command(program, "decrypt", "--newline=no", "--name="+name, file, "-")
		cmd.Stdout = &out
		if err := cmd.Run(); err != nil || out.String() != data {
			t.Errorf("%s: %d bytes, %v, want %d", name, out.Len(), err, len(data))
		}
		if out, err := exec.Command(program, "decrypt", "--name=other", file, "-").CombinedOutput(); err == nil {
			t.Errorf("%s under another name: %q", name, out)
		}
	}
}

// TestCheckEncoded takes what systemd-creds has encrypted, with a host's key and
// with none, and nothing else.
func TestCheckEncoded(t *testing.T) {
	const none = "BYRp2vb1QySABUnaD46i+yAAAAABAAAADAAAABAAAAAd7wVonBR1vjxpKGQAAAAAjjob2PNU0oPbUTh\nwGua+CfJ3Xo6x0A+QYUlWt8FW0vhLoeenSBSo2YeZinT8PlLpawpsHANjPyKQOe3e\n"
	if err := credential.CheckEncoded([]byte(none)); err != nil {
		t.Error(err)
	}
	for _, s := range []string{"", "secret", "c2VjcmV0", strings.ToLower(none), strings.Repeat("A", 400)} {
		if err := credential.CheckEncoded([]byte(s)); err == nil || !strings.Contains(err.Error(), "not an encrypted credential") {
			t.Errorf("%.20q: %v", s, err)
		}
	}
}

func TestCheck(t *testing.T) {
	big := bytes.Repeat([]byte("x"), credential.MaxSize/2+1)
	for want, all := range map[string][]credential.Credential{
		"":                           {{Name: "a.b-c_d@e", Encoded: big}, {Name: strings.Repeat("n", 250)}},
		"the name is empty":          {{}},
		"the name has 251 bytes":     {{Name: strings.Repeat("n", 251)}},
		"begins with a dot":          {{Name: ".."}},
		"the name has a '/'":         {{Name: "a/b"}},
		"the name has a ':'":         {{Name: "a:b"}},
		"the name has a 'é'":         {{Name: "é"}},
		`"A" is there twice`:         {{Name: "a"}, {Name: "A"}},
		"1048578 bytes when encoded": {{Name: "a", Encoded: big}, {Name: "b", Encoded: big}},
	} {
		err := credential.Check(all)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v, want %q in it", err, want)
		}
	}
}

// TestArchive has an archive unpacked.
func TestArchive(t *testing.T) {
	data := credential.Archive([]credential.Credential{{Name: "a", Encoded: []byte("12345")}, {Name: "longer.name", Encoded: nil}})
	if len(data)%4 != 0 {
		t.Errorf("%d bytes are not a multiple of 4", len(data))
	}
	program, err := exec.LookPath("bsdcpio")
	if err != nil {
		if program, err = exec.LookPath("cpio"); err != nil {
			t.Skip(err)
		}
	}
	cmd := exec.Command(program, "-i", "-d")
	cmd.Dir, cmd.Stdin = t.TempDir(), bytes.NewReader(data)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	got := map[string]string{}
	for _, name := range []string{"a", "longer.name"} {
		text, err := os.ReadFile(filepath.Join(cmd.Dir, ".extra/global_credentials", name+".cred"))
		if err != nil {
			t.Fatal(err)
		}
		got[name] = string(text)
	}
	if diff := cmp.Diff(map[string]string{"a": "12345", "longer.name": ""}, got); diff != "" {
		t.Error(diff)
	}
}
