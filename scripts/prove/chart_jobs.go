package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
)

// jobsKeepTheirSpecs refuses jobs that are no hooks and have one name, but specs that
// differ between renderings: a job's pods cannot be changed, so a change of values or of
// the image under the name that is there would fail. It returns how many jobs it saw.
func jobsKeepTheirSpecs(paths []string) (int, error) {
	type seen struct {
		path string
		spec any
	}
	first := map[string]seen{}
	var errs []error
	for _, path := range paths {
		manifests, err := manifestsOf(path)
		if err != nil {
			return 0, err
		}
		for _, m := range manifests {
			if text(m, "kind") != "Job" || text(m, "metadata", "annotations", "helm.sh/hook") != "" {
				continue
			}
			name := text(m, "metadata", "name")
			before, there := first[name]
			if there && !reflect.DeepEqual(before.spec, m["spec"]) {
				errs = append(errs, fmt.Errorf("the job %s is another in %s than in %s", name, filepath.Base(path), filepath.Base(before.path)))
			}
			if !there {
				first[name] = seen{path, m["spec"]}
			}
		}
	}
	if len(first) < 2 {
		errs = append(errs, fmt.Errorf("%d jobs that are no hooks are not enough to compare", len(first)))
	}
	return len(first), errors.Join(errs...)
}
