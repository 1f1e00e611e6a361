// Package credential writes the credentials that systemd takes from an EFI system
// partition: encoded as systemd-creds(1) does, in files that systemd-stub(7) finds,
// and in an archive for kernels that are started without that stub.
//
// A credential from there is not trusted, so systemd takes only one that it can
// decrypt. [Encode] uses the key that everybody knows: it hides nothing and proves
// nothing, and systemd refuses it on a machine that has both a TPM 2 and Secure
// Boot. One that is encrypted for a machine is made by systemd-creds, and only
// checked here.
//
// Source: systemd 252 to 257, systemd-creds(1), systemd-stub(7), and the layout in
// src/shared/creds-util.c.
package credential

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
)

// MaxSize is how many bytes systemd takes of all credentials together, encoded.
const MaxSize = 1 << 20

// A Credential is one, encoded.
type Credential struct {
	Name    string
	Encoded []byte
}

// File is what the file of a credential is called.
func (c Credential) File() string { return c.Name + ".cred" }

// Check refuses what systemd does not take, or a FAT cannot hold.
func Check(all []Credential) error {
	seen := map[string]bool{}
	total := 0
	for _, c := range all {
		if err := checkName(c.Name); err != nil {
			return fmt.Errorf("credential %q: %w", c.Name, err)
		}
		key := strings.ToLower(c.Name) // FAT does not tell them apart
		if seen[key] {
			return fmt.Errorf("credential %q is there twice", c.Name)
		}
		seen[key] = true
		total += len(c.Encoded)
	}
	if total > MaxSize {
		return fmt.Errorf("the credentials have %d bytes when encoded, systemd takes %d", total, MaxSize)
	}
	return nil
}

func checkName(name string) error {
	const most = 255 - len(".cred")
	switch {
	case name == "":
		return errors.New("the name is empty")
	case len(name) > most:
		return fmt.Errorf("the name has %d bytes, at most %d are possible", len(name), most)
	case name[0] == '.':
		return errors.New("the name begins with a dot")
	}
	for _, r := range name {
		if r <= ' ' || r > '~' || strings.ContainsRune(`"*:<>?|\/`, r) {
			return fmt.Errorf("the name has a %q", r)
		}
	}
	return nil
}

// The numbers of the encoding: AES-256-GCM.
const (
	keySize, ivSize, tagSize = 32, 12, 16
	headerSize               = (16 + 4*4 + ivSize + 7) / 8 * 8
)

// byNoKey marks a credential whose key is made of nothing.
var byNoKey = [16]byte{0x05, 0x84, 0x69, 0xda, 0xf6, 0xf5, 0x43, 0x24, 0x80, 0x05, 0x49, 0xda, 0x0f, 0x8e, 0xa2, 0xfb}

// Encode encodes data under a name, as systemd-creds encrypt --with-key=null does,
// without times. The same name and data give the same bytes.
func Encode(name string, data []byte) ([]byte, error) {
	key := sha256.Sum256(nil)
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	header := append(make([]byte, 0, headerSize), byNoKey[:]...)
	for _, n := range []uint32{keySize, 1, ivSize, tagSize} { // 1: the block of a stream cipher
		header = le.AppendUint32(header, n)
	}
	// Two texts must not share an IV; that it can be guessed matters no more than
	// that the key is known.
	iv := sha256.Sum256([]byte(name + "\x00" + string(data)))
	header = pad(append(header, iv[:ivSize]...))

	var text []byte
	text = le.AppendUint64(text, math.MaxUint64) // made at no time
	text = le.AppendUint64(text, math.MaxUint64) // valid for ever
	text = le.AppendUint32(text, uint32(len(name)))
	text = append(pad(append(text, name...)), data...)
	sealed := gcm.Seal(header, iv[:ivSize], text, header)
	return []byte(base64.StdEncoding.EncodeToString(sealed) + "\n"), nil
}

// pad adds zeros up to a multiple of 8 bytes.
func pad(b []byte) []byte { return append(b, make([]byte, -len(b)&7)...) }

// CheckEncoded refuses what systemd-creds encrypt cannot have written.
func CheckEncoded(encoded []byte) error {
	raw, err := base64.StdEncoding.DecodeString(string(bytes.Join(bytes.Fields(encoded), nil)))
	if err != nil {
		return fmt.Errorf("not an encrypted credential: %w", err)
	}
	le := binary.LittleEndian
	if len(raw) < headerSize+tagSize || le.Uint32(raw[16:]) != keySize || le.Uint32(raw[24:]) != ivSize || le.Uint32(raw[28:]) != tagSize {
		return errors.New("not an encrypted credential, as systemd-creds encrypt writes them")
	}
	return nil
}
