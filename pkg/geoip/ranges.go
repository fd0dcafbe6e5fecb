package geoip

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"net/netip"
	"slices"
)

// ranges holds the ranges of a CSV file in sorted arrays without pointers: 12 bytes
// a range of IPv4, 36 of IPv6. Names are not kept.
type ranges struct {
	v4 table[uint32]
	v6 table[[16]byte]
}

// table is strictly ascending by first. Ranges may overlap (the published files do,
// in places): the one that begins last counts.
type table[A any] struct {
	first, last []A
	numbers     []uint32
	compare     func(a, b A) int
}

func (t *table[A]) find(a A) uint32 {
	i, exact := slices.BinarySearchFunc(t.first, a, t.compare)
	if !exact {
		i-- // the last range that begins before a
	}
	if i < 0 || t.compare(a, t.last[i]) > 0 {
		return 0
	}
	return t.numbers[i]
}

func (t *table[A]) add(first, last A, number uint32) error {
	if t.compare(first, last) > 0 {
		return errors.New("the range ends before it begins")
	}
	if n := len(t.first); n > 0 && t.compare(t.first[n-1], first) >= 0 {
		return errors.New("the range does not begin after the one before")
	}
	t.first, t.last, t.numbers = append(t.first, first), append(t.last, last), append(t.numbers, number)
	return nil
}

func (t *table[A]) clip() {
	t.first, t.last, t.numbers = slices.Clip(t.first), slices.Clip(t.last), slices.Clip(t.numbers)
}

func (r *ranges) lookup(a netip.Addr) uint32 {
	if a.Is4() {
		b := a.As4()
		return r.v4.find(binary.BigEndian.Uint32(b[:]))
	}
	return r.v6.find(a.As16())
}

// parseRanges reads lines of first,last,number,name: addresses as decimal numbers
// (below 2^32: IPv4) or in their usual form, ascending. Names may be quoted, but may
// hold no line break.
func parseRanges(content []byte) (*ranges, error) {
	r := &ranges{
		v4: table[uint32]{compare: cmp.Compare[uint32]},
		v6: table[[16]byte]{compare: func(a, b [16]byte) int { return bytes.Compare(a[:], b[:]) }},
	}
	if len(content) == 0 {
		return nil, errors.New("the file is empty")
	}
	for number := 1; len(content) > 0; number++ {
		line, rest, whole := bytes.Cut(content, []byte{'\n'})
		if !whole {
			return nil, fmt.Errorf("the file is cut short: line %d does not end", number)
		}
		if err := r.addLine(bytes.TrimSuffix(line, []byte{'\r'})); err != nil {
			return nil, fmt.Errorf("line %d is not first,last,number,name: %w", number, err)
		}
		content = rest
	}
	r.v4.clip()
	r.v6.clip()
	return r, nil
}

func (r *ranges) addLine(line []byte) error {
	firstText, line, _ := bytes.Cut(line, []byte{','})
	lastText, line, _ := bytes.Cut(line, []byte{','})
	numberText, _, _ := bytes.Cut(line, []byte{','})
	first, err := parseAddress(firstText)
	if err != nil {
		return err
	}
	last, err := parseAddress(lastText)
	if err != nil {
		return err
	}
	hi, number, err := parseDecimal(numberText)
	if err != nil || hi > 0 || number > 1<<32-1 {
		return errors.New("the third field is no autonomous system number")
	}
	if first.Is4() != last.Is4() {
		return errors.New("the range begins in one family and ends in another")
	}
	if first.Is4() {
		from, to := first.As4(), last.As4()
		return r.v4.add(binary.BigEndian.Uint32(from[:]), binary.BigEndian.Uint32(to[:]), uint32(number))
	}
	return r.v6.add(first.As16(), last.As16(), uint32(number))
}

func parseAddress(text []byte) (netip.Addr, error) {
	if bytes.ContainsAny(text, ".:") {
		a, err := netip.ParseAddr(string(text))
		if err != nil {
			return netip.Addr{}, errors.New("an address cannot be read")
		}
		return a, nil
	}
	hi, lo, err := parseDecimal(text)
	if err != nil {
		return netip.Addr{}, err
	}
	var b [16]byte
	if hi == 0 && lo < 1<<32 {
		binary.BigEndian.PutUint32(b[:], uint32(lo))
		return netip.AddrFrom4([4]byte(b[:4])), nil
	}
	binary.BigEndian.PutUint64(b[:8], hi)
	binary.BigEndian.PutUint64(b[8:], lo)
	return netip.AddrFrom16(b), nil
}

// parseDecimal reads an unsigned number of up to 128 bits.
func parseDecimal(text []byte) (hi, lo uint64, err error) {
	if len(text) == 0 {
		return 0, 0, errors.New("a number is missing")
	}
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, 0, errors.New("a number has something other than digits")
		}
		overflow, high := bits.Mul64(hi, 10)
		carry, low := bits.Mul64(lo, 10)
		var c1, c2 uint64
		lo, c1 = bits.Add64(low, uint64(c-'0'), 0)
		hi, c2 = bits.Add64(high, carry, c1)
		if overflow|c2 != 0 {
			return 0, 0, errors.New("a number is beyond 128 bits")
		}
	}
	return hi, lo, nil
}
