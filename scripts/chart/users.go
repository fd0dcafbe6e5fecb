package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	sigsyaml "sigs.k8s.io/yaml"
)

// componentLabel names the part that an object is of.
const componentLabel = "app.kubernetes.io/component"

// users are who each part is to Kafka and ClickHouse: system, part, user.
type users map[string]map[string]string

// read takes the users from a service's configuration, or from the variables of an
// object that makes pods.
func (u users) read(object runtime.Object) error {
	if configuration, ok := object.(*core.ConfigMap); ok {
		var config struct {
			Kafka      struct{ SASL struct{ User string } }
			Clickhouse struct{ User string }
		}
		if err := sigsyaml.Unmarshal([]byte(configuration.Data["rollcall.yaml"]), &config); err != nil {
			return fmt.Errorf("read the configuration %s: %w", configuration.Name, err)
		}
		part := configuration.Labels[componentLabel]
		u.add("kafka", part, config.Kafka.SASL.User)
		u.add("clickhouse", part, config.Clickhouse.User)
	}
	if template, _ := podTemplate(object); template != nil {
		for _, container := range template.Spec.Containers {
			for _, variable := range container.Env {
				switch variable.Name {
				case "ROLLCALL_KAFKA_SASL_USER":
					u.add("kafka", template.Labels[componentLabel], variable.Value)
				case "ROLLCALL_CLICKHOUSE_USER":
					u.add("clickhouse", template.Labels[componentLabel], variable.Value)
				}
			}
		}
	}
	return nil
}

func (u users) add(system, part, user string) {
	if user == "" {
		return
	}
	if u[system] == nil {
		u[system] = map[string]string{}
	}
	u[system][part] = user
}

// check refuses that two parts are the same user of a system: each could do what the
// other may.
func (u users) check() error {
	var errs []error
	for system, parts := range u {
		holder := map[string]string{}
		for _, part := range slices.Sorted(maps.Keys(parts)) {
			user := parts[part]
			if other, taken := holder[user]; taken {
				errs = append(errs, fmt.Errorf("%s and %s are the same user %s of %s", other, part, user, system))
			}
			holder[user] = part
		}
	}
	return errors.Join(errs...)
}
