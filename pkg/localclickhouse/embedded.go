//go:build embedded

package localclickhouse

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"github.com/ebitengine/purego"
)

// embeddedBuilt says whether this binary can load the engine's library.
const embeddedBuilt = true

// runEngine loads the library and hands it the process; it returns when the engine
// was told to exit. The engine looks at the thread it was started on, so the
// goroutine stays on its thread.
func runEngine(library, config, dataDir string) error {
	runtime.LockOSThread()
	handle, err := purego.Dlopen(library, purego.RTLD_NOW|purego.RTLD_GLOBAL)
	if err != nil {
		return fmt.Errorf("load %s: %w", library, err)
	}
	// Go's runtime keeps the signal handlers: the engine's own would swallow its
	// profiling and preemption signals.
	var setSignalHandlers func(enabled int32)
	purego.RegisterLibFunc(&setSignalHandlers, handle, "chdb_set_signal_handlers_enabled")
	var queryCmdline func(argc int32, argv unsafe.Pointer) unsafe.Pointer
	purego.RegisterLibFunc(&queryCmdline, handle, "chdb_query_cmdline")
	var resultError func(result unsafe.Pointer) *byte
	purego.RegisterLibFunc(&resultError, handle, "chdb_result_error")

	setSignalHandlers(0)
	arguments := []string{
		"clickhouse", // without a program's name the first option is swallowed
		"--config-file=" + config,
		"--path=" + dataDir + "/",
		"--interactive", // otherwise a killing error handler is installed: a wrong password would end the process
		"--multiquery",
		"--log-level=information", "--logger.console=0", // the file's own settings are not read here
		"--query", "SYSTEM START LISTEN TCP; SYSTEM START LISTEN HTTP",
	}
	argv, pinned := cStrings(arguments)
	defer pinned.Unpin()
	result := queryCmdline(int32(len(arguments)), unsafe.Pointer(&argv[0]))
	runtime.KeepAlive(argv)
	if result == nil {
		return errors.New("the engine ended without a result")
	}
	if text := resultError(result); text != nil && *text != 0 {
		return fmt.Errorf("the engine ended: %s", goString(text))
	}
	return nil
}

// cStrings returns a null-terminated argv whose memory stays in place until Unpin.
func cStrings(arguments []string) ([]*byte, *runtime.Pinner) {
	pinned := &runtime.Pinner{}
	argv := make([]*byte, len(arguments)+1)
	for i, argument := range arguments {
		terminated := append([]byte(argument), 0)
		argv[i] = &terminated[0]
		pinned.Pin(argv[i])
	}
	pinned.Pin(&argv[0])
	return argv, pinned
}

func goString(text *byte) string {
	length := 0
	for *(*byte)(unsafe.Add(unsafe.Pointer(text), length)) != 0 {
		length++
	}
	return string(unsafe.Slice(text, length))
}

// engineMain is the child process: everything it needs stands in its environment.
func engineMain() {
	err := runEngine(os.Getenv(envLibrary), os.Getenv(envConfig), os.Getenv(envData))
	if err != nil {
		fmt.Fprintln(os.Stderr, "local ClickHouse:", err)
		os.Exit(1)
	}
	os.Exit(0)
}
