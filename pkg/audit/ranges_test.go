package audit

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestMergeAndGaps(t *testing.T) {
	for name, c := range map[string]struct {
		covered    []Range
		first, end int64
		want       []Range
	}{
		"nothing covered":         {nil, 3, 7, []Range{{3, 6}}},
		"all covered":             {[]Range{{0, 9}}, 3, 7, nil},
		"exactly covered":         {[]Range{{3, 6}}, 3, 7, nil},
		"an empty topic":          {nil, 5, 5, nil},
		"a hole":                  {[]Range{{0, 3}, {5, 9}}, 0, 10, []Range{{4, 4}}},
		"head and tail":           {[]Range{{2, 3}}, 0, 6, []Range{{0, 1}, {4, 5}}},
		"touching, out of order":  {[]Range{{4, 9}, {0, 3}}, 0, 10, nil},
		"overlapping":             {[]Range{{0, 6}, {2, 4}, {6, 8}}, 0, 10, []Range{{9, 9}}},
		"only before and after":   {[]Range{{0, 1}, {20, 30}}, 5, 10, []Range{{5, 9}}},
		"reaching over both ends": {[]Range{{0, 5}, {8, 30}}, 5, 10, []Range{{6, 7}}},
	} {
		if diff := cmp.Diff(c.want, gaps(merge(c.covered), c.first, c.end)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestGapsAreExactlyWhatIsNotCovered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const size = 40
		var covered [size]bool
		ranges := rapid.SliceOf(rapid.Custom(func(t *rapid.T) Range {
			first := rapid.Int64Range(0, size-1).Draw(t, "first")
			return Range{first, rapid.Int64Range(first, size-1).Draw(t, "last")}
		})).Draw(t, "ranges")
		for _, r := range ranges {
			for i := r.First; i <= r.Last; i++ {
				covered[i] = true
			}
		}
		first := rapid.Int64Range(0, size).Draw(t, "from")
		end := rapid.Int64Range(first, size).Draw(t, "end")
		for _, g := range gaps(merge(ranges), first, end) {
			for i := g.First; i <= g.Last; i++ {
				if i < first || i >= end || covered[i] {
					t.Fatalf("offset %d is no gap", i)
				}
				covered[i] = true
			}
		}
		for i := first; i < end; i++ {
			if !covered[i] {
				t.Fatalf("offset %d is a gap that was not found", i)
			}
		}
	})
}
