package childprocess_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"rollcall/pkg/childprocess"
)

func TestChildDiesWithKilledParent(t *testing.T) {
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), envRole+"=parent")
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	child, err := childprocess.Start(command)
	if err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	grandchild, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	child.Kill()
	deadline := time.After(2 * time.Minute)
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for !gone(grandchild) {
		select {
		case <-ticker.C:
		case <-deadline:
			_ = syscall.Kill(grandchild, syscall.SIGKILL)
			t.Fatal("the child outlived its killed parent")
		}
	}
}

// gone says whether the process has ended; a zombie waits only to be collected.
func gone(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(stat), ") Z ")
}
