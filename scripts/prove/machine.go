package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
)

// machine is the line that every figure stands beside.
func machine() string {
	return fmt.Sprintf("machine: %d cores (%s), %s of memory, %s/%s, %s",
		runtime.NumCPU(), processor(), memory(), runtime.GOOS, runtime.GOARCH, runtime.Version())
}

// processor returns the CPU's model as Linux knows it.
func processor() string { return procField("/proc/cpuinfo", "model name") }

func memory() string {
	var kilobytes int64
	if _, err := fmt.Sscanf(procField("/proc/meminfo", "MemTotal"), "%d kB", &kilobytes); err != nil {
		return "unknown size"
	}
	return fmt.Sprintf("%.1f GiB", float64(kilobytes)/(1<<20))
}

// procField returns the first value of a name in a file of "name : value" lines.
func procField(path, name string) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(content)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}
