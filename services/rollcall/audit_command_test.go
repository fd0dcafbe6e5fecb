package main

import (
	"strings"
	"testing"
)

func TestAuditUsage(t *testing.T) {
	for _, test := range []struct{ args, says string }{
		{"--wait=-1m", "--wait is negative"},
		{"--every=-1m", "--every is negative"},
		{"--wait 1m --every 1m", "give one of them"},
	} {
		a, _, stderr := newApp()
		args := append([]string{"audit", "--kafka.brokers", "127.0.0.1:1", "--clickhouse.addresses", "127.0.0.1:1"}, strings.Fields(test.args)...)
		if code := run(t.Context(), a, args); code != exitUsage || !strings.Contains(stderr.String(), test.says) {
			t.Errorf("audit %s: exit %d, %s", test.args, code, stderr)
		}
	}
}
