package pseudonym

import (
	"unicode"
	"unicode/utf8"
)

// NormaliseKey returns the form of a licence key that is pseudonymised: in upper
// case, without white space (Unicode White_Space) and without dashes (Unicode
// category Pd, so that a hyphen that a word processor made into an en dash is
// dropped too). Nothing else is changed: "O" and "0" stay different keys.
func NormaliseKey(licenceKey string) string {
	return string(appendNormalised(nil, licenceKey))
}

func appendNormalised(dst []byte, key string) []byte {
	for _, r := range key {
		switch {
		case r >= 'a' && r <= 'z':
			dst = append(dst, byte(r-'a'+'A'))
		case r == '-' || unicode.IsSpace(r) || r >= utf8.RuneSelf && unicode.Is(unicode.Pd, r):
		case r < utf8.RuneSelf:
			dst = append(dst, byte(r))
		default:
			dst = utf8.AppendRune(dst, unicode.ToUpper(r))
		}
	}
	return dst
}
