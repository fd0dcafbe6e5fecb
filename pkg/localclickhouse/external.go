//go:build !embedded

package localclickhouse

import (
	"fmt"
	"os"
)

// embeddedBuilt says whether this binary can load the engine's library.
const embeddedBuilt = false

// engineMain is never started by a binary built like this one.
func engineMain() {
	fmt.Fprintln(os.Stderr, "local ClickHouse: this binary was built without the tag embedded")
	os.Exit(1)
}
