package staticpage

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// count writes a number, 0 or more, with thousands apart.
func count[N int | int64 | uint64](n N) string {
	digits := fmt.Sprint(n)
	for at := len(digits) - 3; at > 0; at -= 3 {
		digits = digits[:at] + "," + digits[at:]
	}
	return digits
}

// percent writes a share of 1, with a decimal where whole percents would hide it. What
// is not all is never rounded to all, and what is not nothing never to nothing.
func percent(share float64) string {
	of100 := 100 * share
	switch {
	case of100 > 0 && of100 < 0.1:
		return "< 0.1 %"
	case of100 < 100 && of100 > 99.9:
		return "> 99.9 %"
	case of100 != math.Trunc(of100) && (of100 < 10 || of100 > 99):
		return strconv.FormatFloat(of100, 'f', 1, 64) + " %"
	}
	return strconv.FormatFloat(of100, 'f', 0, 64) + " %"
}

// maybePercent writes a share that may not be known.
func maybePercent(share *float64) string {
	if share == nil {
		return "not known"
	}
	return percent(*share)
}

// points writes a difference of shares, in percentage points.
func points(before, after *float64) string {
	if before == nil || after == nil {
		return "not known"
	}
	difference := math.Round(1000*(*after-*before)) / 10
	switch {
	case difference > 0:
		return "+" + strconv.FormatFloat(difference, 'f', -1, 64)
	case difference < 0:
		return "−" + strconv.FormatFloat(-difference, 'f', -1, 64)
	}
	return "0"
}

// seconds writes a duration in the unit that it is read in.
func seconds(s float64) string {
	for _, unit := range []struct {
		name string
		size float64
	}{{"days", 2 * 24 * 3600}, {"h", 2 * 3600}, {"min", 120}} {
		if s >= unit.size {
			divisor := unit.size / 2
			if unit.name == "min" {
				divisor = 60
			}
			return strconv.FormatFloat(s/divisor, 'f', 1, 64) + " " + unit.name
		}
	}
	return strconv.FormatFloat(s, 'f', 1, 64) + " s"
}

// words writes the name of a metric, a state or an entitlement for people.
func words(name string) string {
	return strings.ReplaceAll(strings.TrimPrefix(name, "feature_"), "_", " ")
}

// segmentName writes what has no name for people.
func segmentName(segment string) string {
	switch segment {
	case "":
		return "no terms"
	case "(other)":
		return "other"
	}
	return segment
}

// longDay writes 2026-03-15 as 15 March 2026.
func longDay(text string) string {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return text
	}
	return t.Format("2 January 2006")
}

// plural writes a number and what it counts.
func plural[N int | int64 | uint64](n N, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(n) + " " + many
}

// bracket writes what is certain and what is possible: one number where both agree.
func bracket(certain, possible uint64) string {
	if certain == possible {
		return count(certain)
	}
	return count(certain) + " to " + count(possible)
}

func entitled(limit *int64) string {
	if limit == nil {
		return "none sold"
	}
	return count(*limit)
}

// deadLetters writes the classes of a day's dead letters, the most frequent first.
func deadLetters(classes map[string]uint64) string {
	var texts []string
	for _, class := range sortedBy(classes, func(a, b string) int { return cmp.Or(cmp.Compare(classes[b], classes[a]), cmp.Compare(a, b)) }) {
		if classes[class] > 0 {
			texts = append(texts, fmt.Sprintf("%s %s", count(classes[class]), words(class)))
		}
	}
	return strings.Join(texts, ", ")
}

// compareSegments orders releases by their numbers, everything else by its letters, and
// what has no name last.
func compareSegments(a, b string) int {
	if named, other := isNamed(a), isNamed(b); named != other {
		if named {
			return -1
		}
		return 1
	}
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(as), len(bs)) {
		x, errX := strconv.ParseUint(as[i], 10, 64)
		y, errY := strconv.ParseUint(bs[i], 10, 64)
		order := cmp.Compare(x, y)
		if errX != nil || errY != nil {
			order = cmp.Compare(as[i], bs[i])
		}
		if order != 0 {
			return order
		}
	}
	return cmp.Compare(len(as), len(bs))
}

func isNamed(segment string) bool { return segment != "" && segment != "(other)" }
