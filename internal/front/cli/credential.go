package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bootc-go/bootc/internal/action/install"
	"github.com/bootc-go/bootc/internal/format/credential"
)

// credentialFlags are the options for systemd's credentials, spelled as systemd does.
type credentialFlags struct{ set, load, encrypted []string }

func (f *credentialFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVar(&f.set, "set-credential", nil, "give systemd the credential `ID:VALUE` (may be repeated)")
	flags.StringArrayVar(&f.load, "load-credential", nil, "give systemd the credential ID with the content of a file (`ID:FILE`; may be repeated)")
	flags.StringArrayVar(&f.encrypted, "load-credential-encrypted", nil, "the same with a file that systemd-creds has encrypted (`ID:FILE`; may be repeated)")
}

// apply encodes the credentials. An error never has a value in it.
func (f *credentialFlags) apply(o *install.Options) error {
	for _, kind := range []struct {
		option string
		texts  []string
		read   func(option, id, text string) ([]byte, error)
	}{
		{"--set-credential", f.set, func(_, id, text string) ([]byte, error) {
			return credential.Encode(id, []byte(text))
		}},
		{"--load-credential", f.load, func(option, id, text string) ([]byte, error) {
			data, err := readFile(option, text)
			if err != nil {
				return nil, err
			}
			return credential.Encode(id, data)
		}},
		{"--load-credential-encrypted", f.encrypted, func(option, _, text string) ([]byte, error) {
			data, err := readFile(option, text)
			if err != nil {
				return nil, err
			}
			if err := credential.CheckEncoded(data); err != nil {
				return nil, fmt.Errorf("%s: %s: %w", option, text, err)
			}
			return data, nil
		}},
	} {
		for n, text := range kind.texts {
			id, rest, ok := strings.Cut(text, ":")
			if !ok {
				return fmt.Errorf("%s, number %d: want a name, a colon and what it stands for", kind.option, n+1)
			}
			encoded, err := kind.read(kind.option, id, rest)
			if err != nil {
				return err
			}
			o.Credentials = append(o.Credentials, credential.Credential{Name: id, Encoded: encoded})
		}
	}
	return credential.Check(o.Credentials)
}

// fromInput counts the files that are standard input.
func (f *credentialFlags) fromInput() (n int) {
	for _, texts := range [][]string{f.load, f.encrypted} {
		for _, text := range texts {
			if strings.HasSuffix(text, ":-") {
				n++
			}
		}
	}
	return n
}
