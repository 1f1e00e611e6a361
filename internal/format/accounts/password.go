package accounts

import (
	"errors"
	"strings"

	"github.com/GehirnInc/crypt/sha512_crypt"
)

// IsHash reports whether a password is hashed already, in one of the ways of
// crypt(5) that are worth having.
func IsHash(password string) bool {
	for _, prefix := range []string{"$y$", "$gy$", "$7$", "$2a$", "$2b$", "$2y$", "$5$", "$6$"} {
		if strings.HasPrefix(password, prefix) {
			return true
		}
	}
	return false
}

// CheckHash refuses a hash that a line of shadow cannot hold.
func CheckHash(hash string) error {
	if strings.ContainsAny(hash, ":\n\x00 ") {
		return errors.New("a hashed password with a colon, a blank or a line break")
	}
	return nil
}

// Hash hashes a password with SHA-512 as crypt(3) does. The salt is made of the
// given bytes, of which each counts 6 bits.
func Hash(password string, random [16]byte) (string, error) {
	const digits = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	salt := []byte(sha512_crypt.MagicPrefix)
	for _, b := range random {
		salt = append(salt, digits[b%64])
	}
	return sha512_crypt.New().Generate([]byte(password), salt)
}
