package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// releaseLife is one release, from install to uninstall, in a namespace of its own.
type releaseLife struct {
	*liveChart
	namespace, values string
	// changes are values that an upgrade sets.
	changes string
	// page has the commands that install, upgrade, roll back and drain a node; nil: the
	// proof's own, and no node is drained.
	page *livePage

	first     releaseSettings // as the first revision left them
	completed map[string]int  // hooks that have ended, by name, before the present command
}

// releaseSettings are what an upgrade changes and a rollback brings back.
type releaseSettings struct {
	config   string // the gateway's
	template string // checksum of it in the gateway's pods
}

func (l *liveChart) lives(page *livePage) []*releaseLife {
	const changes = `
telemetry: {logLevel: debug}
enricher: {config: {group: rollcall-enricher-two}}
`
	return []*releaseLife{
		{liveChart: l, namespace: chartNamespace, values: l.minimal(), changes: changes + "gateway: {replicas: 3}\n", page: page},
		{liveChart: l, namespace: "minimal", values: l.minimal(), changes: changes + "gateway: {replicas: 3}\n"},
		{liveChart: l, namespace: "everything", values: l.valuesFile("everything"), changes: changes + "audit: {enabled: false}\n"},
	}
}

func (r *releaseLife) run(ctx context.Context) error {
	if err := r.restrictedNamespace(ctx, r.namespace); err != nil {
		return err
	}
	rendered, err := r.render(ctx, r.values)
	if err != nil {
		return err
	}
	hooks, err := hooksOf(rendered)
	if err != nil {
		return err
	}
	if err := r.beforeInstall(ctx, rendered); err != nil {
		return err
	}
	before, err := r.objects(ctx)
	if err != nil {
		return err
	}
	if r.page != nil {
		if err := r.gather(ctx); err != nil {
			return err
		}
	}
	if err := r.installAndTest(ctx, hooks); err != nil {
		return err
	}
	if r.page != nil {
		if err := r.disrupt(ctx); err != nil {
			return err
		}
	}
	if err := r.upgradeAndBack(ctx, hooks); err != nil {
		return err
	}
	return r.uninstall(ctx, before)
}

// beforeInstall makes what docs/kubernetes.md wants to be there already: whatever pods of
// the rendering name and the chart does not make.
func (r *releaseLife) beforeInstall(ctx context.Context, rendered string) error {
	missing, err := notMade(rendered)
	if err != nil {
		return err
	}
	var objects strings.Builder
	for _, name := range missing {
		kind, name, _ := strings.Cut(name, "/")
		fmt.Fprintf(&objects, "---\napiVersion: v1\nkind: %s\nmetadata: {name: %s, namespace: %s}\n", kind, name, r.namespace)
		if kind == "PersistentVolumeClaim" {
			objects.WriteString("spec: {accessModes: [ReadWriteMany], resources: {requests: {storage: 1Mi}}}\n")
		}
	}
	if objects.Len() == 0 {
		return nil
	}
	_, err = r.cluster.Ask(ctx, objects.String(), "apply", "--server-side", "-f", "-")
	return err
}

// release runs a command of Helm with the flags that every install, upgrade and rollback has.
func (r *releaseLife) release(ctx context.Context, verb string, arguments ...string) error {
	waits := []string{"--wait", "--wait-for-jobs", "--timeout", liveLimit.String()}
	return r.steer(ctx, slices.Concat([]string{verb, liveRelease}, arguments, waits)...)
}

// steer runs Helm for the release and counts that it did.
func (r *releaseLife) steer(ctx context.Context, arguments ...string) error {
	if err := r.runHelm(ctx, r.namespace, arguments...); err != nil {
		return err
	}
	r.counts.commands++
	return nil
}

func (r *releaseLife) installAndTest(ctx context.Context, hooks map[string][]string) error {
	if len(hooks["test"]) == 0 {
		return errors.New("no job is a hook of helm test")
	}
	if err := r.install(ctx); err != nil {
		return err
	}
	if err := r.ended(slices.Concat(hooks["pre-install"], hooks["post-install"], hooks["test"])); err != nil {
		return err
	}
	if err := r.allReady(ctx); err != nil {
		return err
	}
	var err error
	if r.first, err = r.settings(ctx); err != nil {
		return err
	}
	return r.startCronJobs(ctx)
}

func (r *releaseLife) upgradeAndBack(ctx context.Context, hooks map[string][]string) error {
	if err := r.upgrade(ctx); err != nil {
		return err
	}
	if err := r.ended(slices.Concat(hooks["pre-upgrade"], hooks["post-upgrade"])); err != nil {
		return err
	}
	if err := r.allReady(ctx); err != nil {
		return err
	}
	upgraded, err := r.settings(ctx)
	if err != nil {
		return err
	}
	if upgraded.config == r.first.config || upgraded.template == r.first.template {
		return errors.New("the upgrade changed neither the gateway's configuration nor its pods")
	}
	if err := r.rollBack(ctx); err != nil {
		return err
	}
	if err := r.allReady(ctx); err != nil {
		return err
	}
	back, err := r.settings(ctx)
	if err != nil {
		return err
	}
	if back != r.first {
		return fmt.Errorf("the rollback left the gateway otherwise than the first install: %+v, not %+v", back, r.first)
	}
	return nil
}

// uninstall must leave the claims of keys, which the next install of the name finds.
func (r *releaseLife) uninstall(ctx context.Context, before map[string]string) error {
	if err := r.leave(ctx, before); err != nil {
		return err
	}
	left, err := r.objects(ctx)
	if err != nil {
		return err
	}
	if err := r.release(ctx, "install", r.dir, "-f", r.minimal(), "-f", r.values); err != nil {
		return fmt.Errorf("install again: %w", err)
	}
	again, err := r.objects(ctx)
	if err != nil {
		return err
	}
	for name, id := range left {
		if again[name] != id {
			return fmt.Errorf("the new install made %s anew", name)
		}
	}
	if err := r.leave(ctx, before); err != nil {
		return err
	}
	r.counts.claims += len(left) - len(before)
	return nil
}

// leave uninstalls the release and waits until nothing but claims of keys has come since
// before, and nothing of before is gone.
func (r *releaseLife) leave(ctx context.Context, before map[string]string) error {
	if err := r.steer(ctx, "uninstall", liveRelease, "--wait", "--timeout", liveLimit.String()); err != nil {
		return err
	}
	var wrong []string
	err := r.await(ctx, "what the release made to go", func() (bool, error) {
		now, err := r.objects(ctx)
		if err != nil {
			return false, err
		}
		wrong = wrong[:0]
		for name := range now {
			if _, ours := before[name]; !ours && !strings.HasPrefix(name, "PersistentVolumeClaim/"+liveRelease+"-keys-") {
				wrong = append(wrong, name)
			}
		}
		for name := range before {
			if _, there := now[name]; !there {
				wrong = append(wrong, "no "+name)
			}
		}
		return len(wrong) == 0, nil
	})
	if err != nil {
		slices.Sort(wrong)
		return fmt.Errorf("%w: %s", err, strings.Join(wrong, ", "))
	}
	return nil
}

// objects returns the ids of all objects of the namespace, by kind and name, but for
// events, which nobody deletes.
func (r *releaseLife) objects(ctx context.Context) (map[string]string, error) {
	kinds, err := r.cluster.Ask(ctx, "", "api-resources", "--namespaced", "--verbs=list", "--output=name")
	if err != nil {
		return nil, err
	}
	listed := slices.DeleteFunc(strings.Fields(kinds), func(kind string) bool { return strings.HasPrefix(kind, "events") })
	var list struct{ Items []liveObject }
	if err := r.get(ctx, &list, strings.Join(listed, ",")); err != nil {
		return nil, err
	}
	found := map[string]string{}
	for _, o := range list.Items {
		found[o.Kind+"/"+o.Metadata.Name] = o.Metadata.UID
	}
	return found, nil
}

// get asks for objects of the namespace, unrecorded.
func (r *releaseLife) get(ctx context.Context, into any, arguments ...string) error {
	out, err := r.cluster.Ask(ctx, "", slices.Concat([]string{"get", "--namespace", r.namespace, "--output=json"}, arguments)...)
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(out), into); err != nil {
		return fmt.Errorf("read what kubectl got: %w", err)
	}
	return nil
}

// settings returns what the gateway has.
func (r *releaseLife) settings(ctx context.Context) (releaseSettings, error) {
	var config struct{ Data map[string]string }
	if err := r.get(ctx, &config, "configmap", liveRelease+"-gateway"); err != nil {
		return releaseSettings{}, err
	}
	var deployment liveObject
	if err := r.get(ctx, &deployment, "deployment", liveRelease+"-gateway"); err != nil {
		return releaseSettings{}, err
	}
	return releaseSettings{strings.Join(slices.Sorted(maps.Values(config.Data)), "\n"), deployment.Spec.Template.Metadata.Annotations["checksum/config"]}, nil
}
