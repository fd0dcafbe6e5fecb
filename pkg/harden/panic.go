package harden

import (
	"fmt"
	"reflect"
	"runtime"
	"strings"
)

// PanicError is a panic as it may be told: where it happened and what it was of, never
// what was said, which may quote a report. Its stack has no arguments, unlike that of
// runtime/debug: there an address that was passed by value stands in hexadecimal.
type PanicError struct {
	// Said is the type of the value, or the message where it is the runtime's own:
	// that speaks of indexes, lengths and types only.
	Said string
	// Frames are "function (dir/file.go:line)", the innermost first, at most maxFrames.
	Frames []string
}

// maxFrames is enough to tell where a panic came from.
const maxFrames = 24

func (e *PanicError) Error() string {
	return "panicked: " + e.Said + " at " + strings.Join(e.Frames, " < ")
}

// Recover is for defer: it turns a panic of the function into its error.
//
//	func run() (err error) {
//		defer harden.Recover(&err)
func Recover(err *error) {
	if value := recover(); value != nil {
		*err = Panicked(value)
	}
}

// Guard returns f with its panics turned into errors: for goroutines of an errgroup.
func Guard(f func() error) func() error {
	return func() (err error) {
		defer Recover(&err)
		return f()
	}
}

// Panicked describes what recover returned. Call it in the deferred function itself,
// while the stack still shows where it happened.
func Panicked(value any) *PanicError {
	return &PanicError{Said: said(value), Frames: frames()}
}

func said(value any) string {
	if err, ok := value.(runtime.Error); ok {
		// Another package may have called its own errors runtime errors.
		t := reflect.TypeOf(value)
		if t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		if t.PkgPath() == "runtime" {
			return err.Error()
		}
	}
	return fmt.Sprintf("a %T", value)
}

// frames returns the stack below the panic.
func frames() []string {
	var counters [64]uintptr
	callers := runtime.CallersFrames(counters[:runtime.Callers(3, counters[:])]) // of Panicked's caller
	var all []string
	for {
		frame, more := callers.Next()
		switch {
		case frame.Function == "runtime.gopanic":
			all = all[:0] // what stands above it is the recovery
		case frame.Function == "" || strings.HasPrefix(frame.Function, "runtime."):
		case len(all) < maxFrames:
			all = append(all, fmt.Sprintf("%s (%s:%d)", frame.Function, shortPath(frame.File), frame.Line))
		}
		if !more {
			return all
		}
	}
}

// shortPath returns a file with its directory: where the program was built is nobody's
// business.
func shortPath(path string) string {
	parts := strings.Split(path, "/")
	return strings.Join(parts[max(0, len(parts)-2):], "/")
}
