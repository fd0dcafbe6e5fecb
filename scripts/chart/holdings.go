package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	core "k8s.io/api/core/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// keyMaker is the only part that has more keys than its own.
const keyMaker = "keys"

// holdings are the pod templates of one rendering, by part.
type holdings map[string]*core.PodTemplateSpec

// checkPods holds every pod to what its part may have, and to PodSecurity restricted.
func checkPods(pods holdings) error {
	return errors.Join(pods.keys(), pods.secrets(), pods.tokens(), pods.restricted())
}

// keys refuses a part that mounts the volume or the Secret of another holder's keys, and
// a volume that is two holders'.
func (pods holdings) keys() error {
	var errs []error
	holder := map[string]string{} // by claim, as the volumes of the part keys are named
	if maker := pods[keyMaker]; maker != nil {
		for _, volume := range maker.Spec.Volumes {
			claim := volume.PersistentVolumeClaim.ClaimName
			if other, taken := holder[claim]; taken {
				errs = append(errs, fmt.Errorf("%s and %s have the same volume of keys %s", other, volume.Name, claim))
			}
			holder[claim] = volume.Name
		}
	}
	for part, template := range pods {
		if part == keyMaker {
			continue
		}
		for _, volume := range template.Spec.Volumes {
			if claim := volume.PersistentVolumeClaim; claim != nil {
				if whose, ofKeys := holder[claim.ClaimName]; ofKeys && whose != part {
					errs = append(errs, fmt.Errorf("%s mounts the keys of %s", part, whose))
				}
			}
		}
		for _, container := range template.Spec.InitContainers {
			if len(container.Args) > 2 && container.Args[1] == "unpack" && container.Args[2] != part {
				errs = append(errs, fmt.Errorf("%s unpacks the keys of %s", part, container.Args[2]))
			}
		}
	}
	return errors.Join(errs...)
}

// whole stands for every entry of a Secret.
const whole = "(all)"

// secrets refuses that two parts mount the same entry of a Secret, unless it is what
// they check others by: authorities, or a certificate without its key.
func (pods holdings) secrets() error {
	type entry struct{ part, secret, item string }
	var (
		held []entry
		errs []error
	)
	for _, part := range slices.Sorted(maps.Keys(pods)) {
		for _, volume := range pods[part].Spec.Volumes {
			if volume.Secret == nil {
				continue
			}
			if len(volume.Secret.Items) == 0 {
				held = append(held, entry{part, volume.Secret.SecretName, whole})
			}
			for _, item := range volume.Secret.Items {
				if !strings.HasSuffix(volume.Name, "-ca") && item.Key != core.TLSCertKey {
					held = append(held, entry{part, volume.Secret.SecretName, item.Key})
				}
			}
		}
	}
	for i, one := range held {
		for _, other := range held[:i] {
			if one.part != other.part && one.secret == other.secret && (one.item == other.item || one.item == whole || other.item == whole) {
				errs = append(errs, fmt.Errorf("%s and %s mount the same secret %s/%s", other.part, one.part, one.secret, one.item))
			}
		}
	}
	return errors.Join(errs...)
}

// tokens refuses a pod that could speak to the API server, and one whose account is
// another part's.
func (pods holdings) tokens() error {
	account := map[string]string{}
	var errs []error
	for part, template := range pods {
		spec := template.Spec
		if spec.AutomountServiceAccountToken == nil || *spec.AutomountServiceAccountToken {
			errs = append(errs, fmt.Errorf("%s mounts its account's token", part))
		}
		if spec.EnableServiceLinks == nil || *spec.EnableServiceLinks {
			errs = append(errs, fmt.Errorf("%s is given variables of Services, which rollcall refuses", part))
		}
		if other, taken := account[spec.ServiceAccountName]; taken {
			errs = append(errs, fmt.Errorf("%s and %s share the account %s", other, part, spec.ServiceAccountName))
		}
		account[spec.ServiceAccountName] = part
	}
	return errors.Join(errs...)
}

// restricted asks Kubernetes' own evaluator.
func (pods holdings) restricted() error {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		return fmt.Errorf("make the evaluator of PodSecurity: %w", err)
	}
	level := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	var errs []error
	for part, template := range pods {
		result := policy.AggregateCheckResults(evaluator.EvaluatePod(level, &template.ObjectMeta, &template.Spec))
		if !result.Allowed {
			errs = append(errs, fmt.Errorf("%s: PodSecurity restricted: %s", part, result.ForbiddenDetail()))
		}
		for _, container := range slices.Concat(template.Spec.InitContainers, template.Spec.Containers) {
			if s := container.SecurityContext; !ownImage(container) || s.ReadOnlyRootFilesystem != nil && *s.ReadOnlyRootFilesystem {
				continue
			}
			errs = append(errs, fmt.Errorf("%s: the root file system of %s can be written to", part, container.Name))
		}
	}
	return errors.Join(errs...)
}

// ownImage tells the chart's containers from those that values add.
func ownImage(c core.Container) bool {
	return strings.Contains(c.Image, "rollcall") && c.Name != "first"
}
