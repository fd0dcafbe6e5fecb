package main

import (
	"context"
	"errors"
	"fmt"
)

// labelsWon renders the file of values that gives the same labels to everything, and
// judges what comes of it.
func (c *chart) labelsWon(ctx context.Context) (int, error) {
	path, err := c.render(ctx, c.valuesFile("labels"))
	if err != nil {
		return 0, err
	}
	return judgeLabels(path)
}

// judgeLabels holds a rendering to the comment of that file: labels of pods, and of what
// an operator looks for, win over the common ones. It returns how many sets of labels it
// looked at.
func judgeLabels(path string) (int, error) {
	manifests, err := manifestsOf(path)
	if err != nil {
		return 0, err
	}
	var errs []error
	seen := map[string]int{}
	for _, m := range manifests {
		whose := "common"
		if text(m, "metadata", "labels", "app.kubernetes.io/component") == "metrics" {
			whose = "watched"
		}
		for _, labelled := range []struct {
			whose string
			at    []string
		}{
			{whose, []string{"metadata"}},
			{"pods", []string{"spec", "template", "metadata"}},
			{"pods", []string{"spec", "jobTemplate", "spec", "template", "metadata"}},
		} {
			labels := fieldsAt(m, append(labelled.at, "labels")...)
			if labels == nil {
				continue // it makes no pods in this way
			}
			mark := "" // an empty value wins as well
			if labelled.whose == "common" {
				mark = "common"
			}
			if labels["example.org/which"] != labelled.whose || labels["example.org/mark"] != any(mark) {
				errs = append(errs, fmt.Errorf("%s %s: the labels at %v are not those of %s: %v", text(m, "kind"), text(m, "metadata", "name"), labelled.at, labelled.whose, labels))
			}
			seen[labelled.whose]++
		}
	}
	if len(seen) != 3 {
		errs = append(errs, fmt.Errorf("labels of three kinds are wanted, seen: %v", seen))
	}
	return seen["common"] + seen["pods"] + seen["watched"], errors.Join(errs...)
}

// fieldsAt returns the fields at a path of a manifest, nil where there are none.
func fieldsAt(value any, path ...string) map[string]any {
	for _, key := range path {
		fields, _ := value.(map[string]any)
		value = fields[key]
	}
	fields, _ := value.(map[string]any)
	return fields
}
