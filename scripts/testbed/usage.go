package testbed

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Usage is what a process, or several, used of the machine.
type Usage struct {
	// CPU is user and system time together.
	CPU time.Duration
	// ResidentBytes is held now, 0 for a process that has ended.
	ResidentBytes int64
	// PeakBytes is the most that was ever resident at once in one process.
	PeakBytes int64
}

// Add returns the usage of two processes: times and present memory add up, of the
// peaks the greater counts.
func (u Usage) Add(other Usage) Usage {
	return Usage{
		CPU:           u.CPU + other.CPU,
		ResidentBytes: u.ResidentBytes + other.ResidentBytes,
		PeakBytes:     max(u.PeakBytes, other.PeakBytes),
	}
}

// ticksPerSecond is the unit of CPU times in /proc: 100 on every Linux that Go runs on.
const ticksPerSecond = 100

// ProcessUsage reads the usage of a running process from /proc (Linux only). CPU is
// precise to 10 ms.
func ProcessUsage(pid int) (Usage, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Usage{}, fmt.Errorf("read the CPU time of process %d: %w", pid, err)
	}
	// The name, in parentheses, may hold spaces: count from its end. See proc(5).
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	const userField, systemField = 11, 12
	if len(fields) <= systemField {
		return Usage{}, fmt.Errorf("read the CPU time of process %d: %d fields", pid, len(fields))
	}
	var ticks int64
	for _, field := range []string{fields[userField], fields[systemField]} {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return Usage{}, fmt.Errorf("read the CPU time of process %d: %w", pid, err)
		}
		ticks += n
	}
	usage := Usage{CPU: time.Duration(ticks) * time.Second / ticksPerSecond}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return Usage{}, fmt.Errorf("read the memory of process %d: %w", pid, err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			usage.PeakBytes = kilobytes(rest)
		}
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			usage.ResidentBytes = kilobytes(rest)
		}
	}
	return usage, nil
}

// kilobytes reads a number as /proc writes it, "  1234 kB"; 0 where it is none.
func kilobytes(text string) int64 {
	number, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(text), " kB"), 10, 64)
	if err != nil {
		return 0
	}
	return number << 10
}
