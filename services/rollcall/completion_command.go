package main

import (
	kongcompletion "github.com/jotaen/kong-completion"
)

type completionCommand struct {
	kongcompletion.Completion `embed:""`
}

func (completionCommand) Help() string {
	return page("Prints the code that switches on completion of commands and flags in bash, zsh or fish; "+
		"rollcall must be on the PATH.", []string{
		"rollcall completion bash",
		"rollcall completion zsh >> ~/.zshrc",
	}, "")
}
