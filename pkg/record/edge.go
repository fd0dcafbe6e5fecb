package record

// maxEdgeBytes bounds the name of a gateway and of its region.
const maxEdgeBytes = 32

// ValidEdge reports whether a text may name a gateway or its region: 1 to 32 letters,
// digits, dots, dashes and underscores. The gateway's operator chooses both, and the
// region crosses the privacy boundary: it is a name, not a place for prose.
func ValidEdge(name string) bool {
	if name == "" || len(name) > maxEdgeBytes {
		return false
	}
	for _, c := range []byte(name) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}
