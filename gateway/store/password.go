package store

import (
	"bytes"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/bcrypt"
)

// The reference's form is pbkdf2:<salt>:<hex>, SHA-512, the salt's text as it is.
const (
	pbkdf2Prefix     = "pbkdf2:"
	pbkdf2Iterations = 310_000
	pbkdf2Bytes      = 64
	maxBcryptBytes   = 72
)

// PasswordHashed reports whether a stored password is a hash already: bcrypt or
// the reference's pbkdf2 form, white space around it allowed.
func PasswordHashed(stored []byte) bool {
	stored = trimPassword(stored)
	if _, err := bcrypt.Cost(stored); err == nil {
		return true
	}
	_, _, ok := splitPBKDF2(string(stored))
	return ok
}

// The forms that a password is stored in.
const (
	FormBcrypt = "bcrypt"
	FormPBKDF2 = "pbkdf2" // the reference's
	FormPlain  = "plain"  // what every version of the reference takes
)

// StoredPassword is what to store for a plain password in one of the forms. One
// that would be taken for another than it is, is refused.
func StoredPassword(plain, form string) ([]byte, error) {
	switch {
	case plain == "":
		return nil, errors.New("set a password: it is empty: give one of a character at least")
	case form != FormPlain:
		return hashPassword(plain, bcrypt.DefaultCost, form)
	case string(trimPassword([]byte(plain))) != plain:
		return nil, errors.New("set a password: it begins or ends with white space, which a plain one loses: leave that out, or use another form")
	case PasswordHashed([]byte(plain)):
		return nil, errors.New("set a password: it looks like a hash, and would be taken for one: use another")
	}
	return []byte(plain), nil
}

// HashPassword hashes a plain password: bcrypt of that cost (0 for the usual
// one), or the pbkdf2 form where it is longer than bcrypt takes.
func HashPassword(plain string, cost int) ([]byte, error) {
	return hashPassword(plain, cost, FormBcrypt)
}

func hashPassword(plain string, cost int, form string) ([]byte, error) {
	if cost == 0 {
		cost = bcrypt.DefaultCost
	}
	if len(plain) <= maxBcryptBytes && form == FormBcrypt {
		h, err := bcrypt.GenerateFromPassword([]byte(plain), cost)
		if err != nil {
			return nil, fmt.Errorf("hash password: %w", err)
		}
		return h, nil
	}
	random := make([]byte, 16)
	_, _ = rand.Read(random) // documented never to fail
	salt := hex.EncodeToString(random)
	sum, err := pbkdf2.Key(sha512.New, plain, []byte(salt), pbkdf2Iterations, pbkdf2Bytes)
	if err != nil {
		return nil, fmt.Errorf("hash password: %w", err)
	}
	return []byte(pbkdf2Prefix + salt + ":" + hex.EncodeToString(sum)), nil
}

// CheckPassword reports whether given is the password that is stored: a bcrypt
// hash, the reference's pbkdf2 form, or anything else as plain text, white space
// around it left out as the reference does. Nothing stored matches nothing.
func CheckPassword(stored []byte, given string) bool {
	stored = trimPassword(stored)
	if salt, want, ok := splitPBKDF2(string(stored)); ok {
		got, err := pbkdf2.Key(sha512.New, given, []byte(salt), pbkdf2Iterations, len(want))
		return err == nil && subtle.ConstantTimeCompare(got, want) == 1
	}
	if _, err := bcrypt.Cost(stored); err == nil {
		return bcrypt.CompareHashAndPassword(stored, []byte(given)) == nil
	}
	a, b := sha512.Sum512(stored), sha512.Sum512([]byte(given)) // their lengths tell nothing
	return len(stored) > 0 && subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// trimPassword drops what the reference drops around a password: white space, and
// a byte order mark, which editors leave.
func trimPassword(stored []byte) []byte { return bytes.TrimSpace(TrimBOM(bytes.TrimSpace(stored))) }

func splitPBKDF2(s string) (salt string, sum []byte, ok bool) {
	s, ok = strings.CutPrefix(s, pbkdf2Prefix)
	if !ok {
		return "", nil, false
	}
	salt, text, ok := strings.Cut(s, ":")
	sum, err := hex.DecodeString(text)
	return salt, sum, ok && err == nil && salt != "" && len(sum) >= 16 && len(sum) <= 256
}
