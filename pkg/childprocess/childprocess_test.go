package childprocess_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"go.uber.org/goleak"

	"rollcall/pkg/childprocess"
)

const envRole = "CHILDPROCESS_TEST_ROLE"

// TestMain makes the test binary the parent, too, whose death a test watches.
func TestMain(m *testing.M) {
	if os.Getenv(envRole) == "parent" {
		parent()
		return
	}
	goleak.VerifyTestMain(m)
}

// parent starts a child that would run on for a minute, tells its id, and waits to be killed.
func parent() {
	child, err := childprocess.Start(exec.Command("sleep", "60"))
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(child.PID())
	_ = child.Wait()
}

func TestStartSaysWhatFailed(t *testing.T) {
	if _, err := childprocess.Start(exec.Command("/nonexistent/program")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Start = %v, want %v", err, os.ErrNotExist)
	}
}

func TestKillWaits(t *testing.T) {
	child, err := childprocess.Start(exec.Command("sleep", "60"))
	if err != nil {
		t.Fatal(err)
	}
	if !child.Running() || child.State() != nil {
		t.Error("a started child does not run")
	}
	child.Kill()
	if child.Running() || child.State() == nil {
		t.Error("a killed child still runs")
	}
	var exit *exec.ExitError
	if err := child.Wait(); !errors.As(err, &exit) {
		t.Errorf("Wait = %v, want how it was killed", err)
	}
	child.Kill() // a second time does nothing
}
