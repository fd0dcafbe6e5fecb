package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"rollcall/scripts/testbed"
)

// firstNode is where everything of the page's life stands when it is installed.
const firstNode = "node-1"

// gather lets the install use the first node alone.
func (r *releaseLife) gather(ctx context.Context) error {
	_, err := r.cluster.Ask(ctx, "", append([]string{"cordon"}, otherNodes()...)...)
	return err
}

func otherNodes() []string {
	var names []string
	for n := 2; n <= liveNodes; n++ {
		names = append(names, fmt.Sprintf("node-%d", n))
	}
	return names
}

// disrupt drains the node on which every pod stands, and then lets the budget refuse.
func (r *releaseLife) disrupt(ctx context.Context) error {
	if _, err := r.cluster.Ask(ctx, "", append([]string{"uncordon"}, otherNodes()...)...); err != nil {
		return err
	}
	if err := r.drain(ctx); err != nil {
		return fmt.Errorf("drain %s: %w", firstNode, err)
	}
	if err := r.allReady(ctx); err != nil {
		return err
	}
	if err := r.evictBoth(ctx); err != nil {
		return fmt.Errorf("evict the gateway's pods: %w", err)
	}
	return r.allReady(ctx)
}

// drain follows the Deployments while the node is drained: of a service that has two
// pods, one must be there at every moment.
func (r *releaseLife) drain(ctx context.Context) error {
	r.env.Say("%s: draining %s", r.namespace, firstNode)
	pods, err := r.podsOn(ctx, firstNode)
	if err != nil {
		return err
	}
	if len(pods) < 2*len(testbed.ServiceNames()) {
		return fmt.Errorf("%d pods of services stand on it, not all", len(pods))
	}
	followed, err := os.Create(r.env.Path("deployments.json"))
	if err != nil {
		return fmt.Errorf("keep what is followed: %w", err)
	}
	defer followed.Close()
	following, stop := context.WithCancel(ctx)
	defer stop()
	var group errgroup.Group
	group.Go(func() error {
		return r.cluster.Follow(following, followed, "get", "deployments", "--namespace", r.namespace, "--watch", "--output=json")
	})
	err = r.await(ctx, "the Deployments to be followed", func() (bool, error) {
		found, err := availabilities(followed.Name())
		return len(found) >= len(testbed.ServiceNames()), err
	})
	if err == nil {
		err = r.page.do(ctx, "drain-node")
	}
	if err == nil {
		err = r.allReady(ctx)
	}
	stop()
	if err := errors.Join(err, group.Wait()); err != nil {
		return err
	}
	return r.judgeDrain(ctx, followed.Name())
}

func (r *releaseLife) judgeDrain(ctx context.Context, followed string) error {
	least, err := availabilities(followed)
	if err != nil {
		return err
	}
	for name, available := range least {
		if available < 1 {
			return fmt.Errorf("%s had no pod for a moment", name)
		}
	}
	pods, err := r.podsOn(ctx, firstNode)
	if err != nil {
		return err
	}
	if len(pods) > 0 {
		return fmt.Errorf("%d pods stand on it still", len(pods))
	}
	_, err = r.cluster.Ask(ctx, "", "uncordon", firstNode)
	return err
}

// availabilities returns the least number of available pods that each Deployment of a
// stream had, by its name.
func availabilities(path string) (map[string]int, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read what was followed: %w", err)
	}
	defer file.Close()
	least := map[string]int{}
	for decoder := json.NewDecoder(file); ; {
		var o liveObject
		err := decoder.Decode(&o)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) { // the last one is being written
			return least, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read what was followed: %w", err)
		}
		if known, ok := least[o.Metadata.Name]; !ok || o.Status.AvailableReplicas < known {
			least[o.Metadata.Name] = o.Status.AvailableReplicas
		}
	}
}

// podsOn returns the names of the services' pods that run on the node.
func (r *releaseLife) podsOn(ctx context.Context, node string) ([]string, error) {
	return r.pods(ctx, "--field-selector=spec.nodeName="+node+",status.phase=Running")
}

func (r *releaseLife) pods(ctx context.Context, arguments ...string) ([]string, error) {
	var list struct{ Items []liveObject }
	if err := r.get(ctx, &list, append([]string{"pods"}, arguments...)...); err != nil {
		return nil, err
	}
	var names []string
	for _, o := range list.Items {
		names = append(names, o.Metadata.Name)
	}
	slices.Sort(names)
	return names, nil
}

// evictBoth evicts one gateway while no node takes another, and asks for the second one:
// the budget must refuse that, and allow it once the first has been replaced.
func (r *releaseLife) evictBoth(ctx context.Context) error {
	r.env.Say("%s: evicting the gateways", r.namespace)
	nodes := append(otherNodes(), firstNode)
	gateways, err := r.pods(ctx, "--selector=app.kubernetes.io/component=gateway", "--field-selector=status.phase=Running")
	if err != nil {
		return err
	}
	if len(gateways) != 2 {
		return fmt.Errorf("there are %d, not 2", len(gateways))
	}
	if _, err := r.cluster.Ask(ctx, "", append([]string{"cordon"}, nodes...)...); err != nil {
		return err
	}
	if err := r.evictAllowed(ctx, gateways[0]); err != nil {
		return err
	}
	err = r.evict(ctx, gateways[1])
	if err == nil {
		return errors.New("the second one was evicted while the first was away")
	}
	if !strings.Contains(err.Error(), "violate the pod's disruption budget") {
		return fmt.Errorf("refused, but not by the budget: %w", err)
	}
	if _, err := r.cluster.Ask(ctx, "", append([]string{"uncordon"}, nodes...)...); err != nil {
		return err
	}
	if err := r.allReady(ctx); err != nil {
		return err
	}
	return r.evictAllowed(ctx, gateways[1])
}

// evictAllowed evicts the pod as soon as the budget, which a controller keeps, allows it.
func (r *releaseLife) evictAllowed(ctx context.Context, pod string) error {
	var refused error
	err := r.await(ctx, "an eviction that is due", func() (bool, error) {
		refused = r.evict(ctx, pod)
		return refused == nil, nil
	})
	return errors.Join(err, refused)
}

func (r *releaseLife) evict(ctx context.Context, pod string) error {
	eviction := fmt.Sprintf(`{"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": %q, "namespace": %q}}`, pod, r.namespace)
	_, err := r.cluster.Operate(ctx, eviction, "create", "--raw", fmt.Sprintf("/api/v1/namespaces/%s/pods/%s/eviction", r.namespace, pod), "-f", "-")
	return err
}
