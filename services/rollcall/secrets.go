package main

import (
	"errors"
	"regexp"
	"strings"
)

// userinfo finds a password in an address, as https://user:password@host has it.
var userinfo = regexp.MustCompile(`://[^/?#@\s:]*:[^/?#@\s]+@`)

// inSight refuses passwords where others can see them: every user of a machine can read
// the arguments of every process, and the environment goes to every child. Settings that
// hold a secret are names of files. Neither value nor flag is quoted.
func inSight(args, environ []string) error {
	for _, arg := range args {
		if userinfo.MatchString(arg) {
			return usage(errors.New("an argument holds a password in an address: every user of this machine can read it"))
		}
	}
	for _, pair := range environ {
		if name, value, _ := strings.Cut(pair, "="); strings.HasPrefix(name, envPrefix) && userinfo.MatchString(value) {
			return usage(errors.New("the variable " + name + " holds a password in an address"))
		}
	}
	return nil
}
