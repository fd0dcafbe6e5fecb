package main

import (
	"strings"
	"testing"

	"rollcall/pkg/rewind"
)

func TestRewindTable(t *testing.T) {
	a, stdout, _ := newApp()
	result := rewind.Result{
		DryRun: true, Again: 40, Lost: 2, Days: 3, Topics: []string{"licences"},
		Partitions: []rewind.Partition{{Partition: 0, First: 7, Committed: 90, Next: 50, End: 95, Lost: 2}, {Partition: 1, Committed: -1, End: 4}, {Partition: 2, Unknown: true}},
		Unknown:    true,
	}
	if err := (output{}).show(a.stdout, result, func(w *columns) { rewindTable(w, result) }); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"0          7 to 95    90              50          2", "nowhere", "40 reports are read again, 2 are lost; 3 days", "unknown\n", "no receipt left", "--dry-run"} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("the table lacks %q:\n%s", want, stdout)
		}
	}
}

func TestRewindUsage(t *testing.T) {
	for _, test := range []struct{ args, says string }{
		{"somewhere", "unexpected argument"},
		{"--kafka.brokers nowhere", "kafka.brokers"},
	} {
		a, _, stderr := newApp()
		if code := run(t.Context(), a, append([]string{"rewind"}, strings.Fields(test.args)...)); code != exitUsage || !strings.Contains(stderr.String(), test.says) {
			t.Errorf("rewind %s: exit %d, %s", test.args, code, stderr)
		}
	}
}
