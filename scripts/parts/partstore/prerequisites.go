package partstore

import (
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
)

// tool is a program that fetching or running needs.
type tool struct {
	name    string
	probe   []string // a command that succeeds where the tool is usable
	minimum int      // the least major version that the probe's output must show; 0: any
	hint    string   // how to get it
}

// A table of constants.
var (
	npm = tool{
		name: "npm", probe: []string{"npm", "--version"}, minimum: 8,
		hint: "install Node.js 18 or newer, which brings npm: https://nodejs.org or your system's package nodejs",
	}
	java = tool{
		name: "Java 17", probe: []string{"java", "-version"}, minimum: 17,
		hint: "install a JRE or JDK, 17 or newer: https://adoptium.net or your system's package openjdk-17-jre-headless",
	}
	maven = tool{
		name: "Maven", probe: []string{"mvn", "--version"}, minimum: 3,
		hint: "install Apache Maven 3: https://maven.apache.org/install.html or your system's package maven",
	}
	python = tool{
		name: "Python 3 with pip and venv", probe: []string{"python3", "-c", "import sys, ensurepip, venv; print(sys.version_info[0])"}, minimum: 3,
		hint: "install Python 3 with venv: https://www.python.org or your system's packages python3 and python3-venv",
	}
	golang = tool{
		name: "Go", probe: []string{"go", "version"},
		hint: "install Go 1.26 or newer: https://go.dev/dl",
	}
	compiler = tool{
		name: "C compiler", probe: []string{"cc", "--version"},
		hint: "install a C compiler, which Go's race detector links with: your system's package gcc or clang",
	}
)

// Check returns nil where the purpose ("demo" or "test") can be served by what is
// installed; the error names each missing program and how to get it.
func Check(purpose string) error {
	var needed []tool
	switch purpose {
	case "demo":
		needed = []tool{golang, npm}
	case "test":
		needed = []tool{golang, npm, java, maven, python, compiler}
	default:
		return fmt.Errorf("nothing to check for %q: demo or test", purpose)
	}
	return checkTools(needed)
}

func (p part) checkTools() error { return checkTools(p.tools) }

func checkTools(tools []tool) error {
	var missing []error
	for _, t := range tools {
		if why := t.lacking(); why != "" {
			missing = append(missing, fmt.Errorf("%s: %s; %s", t.name, why, t.hint))
		}
	}
	return errors.Join(missing...)
}

// lacking says what is wrong with the tool on this machine, empty where nothing is.
func (t tool) lacking() string {
	if _, err := exec.LookPath(t.probe[0]); err != nil {
		return "not on the PATH"
	}
	output, err := exec.Command(t.probe[0], t.probe[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Sprintf("`%s` fails (%v)", strings.Join(t.probe, " "), err)
	}
	if t.minimum == 0 {
		return ""
	}
	plain := regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(string(output), "") // Maven writes in bold
	found := regexp.MustCompile(`\d+`).FindString(plain)
	major, err := strconv.Atoi(found)
	if err != nil || major < t.minimum {
		return fmt.Sprintf("version %d or newer is needed, found %q", t.minimum, found)
	}
	return ""
}
