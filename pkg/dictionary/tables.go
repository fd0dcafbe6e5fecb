package dictionary

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/klauspost/compress/huff0"
)

// tables are the code tables of a dictionary (RFC 8878, 5), by what is coded.
type tables struct {
	literals, matches, offsets coder
	content                    []byte
}

var errTruncated = errors.New("truncated")

// Largest codes that there are (RFC 8878, 3.1.1.3.2.1), and largest tables.
const (
	maxLiteralCode, maxLiteralLog = 35, 9
	maxMatchCode, maxMatchLog     = 52, 9
	maxOffsetCode, maxOffsetLog   = 31, 8
)

// readTables reads a dictionary whose magic number and id have been seen.
func readTables(dictionary []byte) (t tables, err error) {
	const header, repeats = 8, 12
	if len(dictionary) < header {
		return tables{}, errTruncated
	}
	_, rest, err := huff0.ReadTable(dictionary[header:], nil) // literals are not coded here
	if err != nil {
		return tables{}, fmt.Errorf("table of literals: %w", err)
	}
	for _, one := range []struct {
		to              *coder
		maxCode, maxLog int
		name            string
	}{
		{&t.offsets, maxOffsetCode, maxOffsetLog, "offsets"},
		{&t.matches, maxMatchCode, maxMatchLog, "match lengths"},
		{&t.literals, maxLiteralCode, maxLiteralLog, "literals lengths"},
	} {
		var distribution []int
		var tableLog uint
		if distribution, tableLog, rest, err = readDistribution(rest, one.maxCode, one.maxLog); err != nil {
			return tables{}, fmt.Errorf("table of %s: %w", one.name, err)
		}
		*one.to = newCoder(tableLog, distribution)
	}
	if len(rest) < repeats {
		return tables{}, errTruncated
	}
	t.content = rest[repeats:]
	return t, nil
}

// readDistribution reads a normalised distribution (RFC 8878, 4.1.1), and returns what
// is behind it.
func readDistribution(data []byte, maxCode, maxLog int) (distribution []int, tableLog uint, rest []byte, err error) {
	r := bitReader{data: data}
	tableLog = uint(r.take(4)) + 5
	if tableLog > uint(maxLog) {
		return nil, 0, nil, fmt.Errorf("%d bits, at most %d", tableLog, maxLog)
	}
	left, threshold, width := 1<<tableLog+1, 1<<tableLog, tableLog+1
	for left > 1 {
		if len(distribution) > maxCode || r.at > 8*len(data) {
			return nil, 0, nil, errTruncated
		}
		// Values that need not be told apart from larger ones take a bit less.
		small := 2*threshold - 1 - left
		n := int(r.peek(width))
		if short := n & (threshold - 1); short < small {
			n = short
			r.at += int(width) - 1
		} else {
			if n >= threshold {
				n -= small
			}
			r.at += int(width)
		}
		n-- // 0 stands for less than one
		distribution = append(distribution, n)
		if left -= max(n, -n); left < 1 {
			return nil, 0, nil, errTruncated
		}
		for n == 0 { // and then how many more zeros, in twos of bits
			zeros := int(r.take(2))
			distribution = append(distribution, make([]int, zeros)...)
			if zeros < 3 {
				break
			}
		}
		for left < threshold {
			threshold, width = threshold>>1, width-1
		}
	}
	end := (r.at + 7) / 8
	if left != 1 || len(distribution) > maxCode+1 || end > len(data) {
		return nil, 0, nil, errTruncated
	}
	return distribution, tableLog, data[end:], nil
}

// bitReader reads bits from the lowest up. Behind the end there are zeros.
type bitReader struct {
	data []byte
	at   int // bits
}

func (r *bitReader) peek(n uint) uint64 {
	var eight [8]byte
	if first := r.at / 8; first < len(r.data) {
		copy(eight[:], r.data[first:])
	}
	return binary.LittleEndian.Uint64(eight[:]) >> (r.at % 8) & (1<<n - 1)
}

func (r *bitReader) take(n uint) uint64 {
	value := r.peek(n)
	r.at += int(n)
	return value
}
