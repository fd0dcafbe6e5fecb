package topics

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Settings of a difference that are no topic configs.
const (
	settingTopic       = "topic"
	settingPartitions  = "partitions"
	settingReplication = "replication.factor"
)

// Difference is one setting of a topic that is not as it should be.
type Difference struct {
	Topic   string `json:"topic"`
	Setting string `json:"setting"` // a Kafka setting, or topic, partitions, replication.factor
	Want    string `json:"want"`
	Have    string `json:"have"`
}

func (d Difference) String() string {
	return fmt.Sprintf("%s: %s is %s, want %s", d.Topic, d.Setting, d.Have, d.Want)
}

// DifferencesError says how the cluster's topics differ from what they should be.
type DifferencesError struct{ Differences []Difference }

func (e *DifferencesError) Error() string {
	lines := make([]string, len(e.Differences))
	for i, d := range e.Differences {
		lines[i] = d.String()
	}
	return "topics differ: " + strings.Join(lines, "; ")
}

// Check compares the cluster with the specification. It returns nil where nothing
// is weaker than specified, a *DifferencesError where something is, or the reason
// why that could not be found out. More partitions or copies than asked for are no
// difference, except where the number of partitions is fixed.
//
// Names limit it to those topics: a service that may only see its own.
func Check(ctx context.Context, admin *kadm.Client, o Options, names ...string) error {
	differences, err := Differences(ctx, admin, o, names...)
	if err != nil {
		return err
	}
	if len(differences) > 0 {
		return &DifferencesError{Differences: differences}
	}
	return nil
}

// Differences lists what Ensure would have to change, by topic in the order of the
// pipeline; of the named topics, or of all.
func Differences(ctx context.Context, admin *kadm.Client, o Options, names ...string) ([]Difference, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	specs := Specs(o)
	if len(names) > 0 {
		specs = slices.DeleteFunc(specs, func(s Spec) bool { return !slices.Contains(names, s.Name) })
	}
	names = names[:0:0]
	for _, spec := range specs {
		names = append(names, spec.Name)
	}
	// With this option the answer comes from a broker, not from the client's cache.
	details, err := admin.ListTopics(kadm.WithAuthorizedOps(ctx), names...)
	if err != nil {
		return nil, fmt.Errorf("list topics: %w", err)
	}
	var differences []Difference
	for _, spec := range specs {
		found, err := compare(ctx, admin, spec, details[spec.Name], o)
		if err != nil {
			return nil, err
		}
		differences = append(differences, found...)
	}
	return differences, nil
}

func compare(ctx context.Context, admin *kadm.Client, spec Spec, detail kadm.TopicDetail, o Options) ([]Difference, error) {
	switch {
	case errors.Is(detail.Err, kerr.UnknownTopicOrPartition) || detail.Topic == "":
		return []Difference{{spec.Name, settingTopic, "present", "absent"}}, nil
	case detail.Err != nil:
		return nil, fmt.Errorf("look at topic %s: %w", spec.Name, detail.Err)
	}
	var differences []Difference
	differ := func(setting, want, have string) {
		differences = append(differences, Difference{spec.Name, setting, want, have})
	}
	if have := len(detail.Partitions); have < spec.Partitions || spec.Fixed && have != spec.Partitions {
		differ(settingPartitions, strconv.Itoa(spec.Partitions), strconv.Itoa(have))
	}
	if have := detail.Partitions.NumReplicas(); have < int(o.ReplicationFactor) {
		differ(settingReplication, strconv.Itoa(int(o.ReplicationFactor)), strconv.Itoa(have))
	}
	have, err := configs(ctx, admin, spec.Name)
	if err != nil {
		return nil, err
	}
	want := spec.Configs()
	for _, key := range slices.Sorted(maps.Keys(want)) {
		setting, known := have[key]
		// The development broker has no unclean elections, and no such setting.
		if value := setting.MaybeValue(); known && value != want[key] {
			differ(key, want[key], value)
		}
	}
	return differences, nil
}

// configs returns the settings that are in force for a topic, those that it has from its
// brokers included.
func configs(ctx context.Context, admin *kadm.Client, topic string) (map[string]kadm.Config, error) {
	resources, err := admin.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("read settings of topic %s: %w", topic, err)
	}
	resource, err := resources.On(topic, nil)
	if err == nil {
		err = resource.Err
	}
	if err != nil {
		return nil, fmt.Errorf("read settings of topic %s: %w", topic, err)
	}
	all := make(map[string]kadm.Config, len(resource.Configs))
	for _, config := range resource.Configs {
		all[config.Key] = config
	}
	return all, nil
}

// Ensure creates the topics that are absent and corrects the settings of those that are
// there; a right one that a topic has by a default of its brokers is set on the topic. Done
// twice, it changes nothing the second time. Partitions are only ever added, and never where
// their number is fixed; copies are not moved. What it may not change it returns, after
// everything else is done, as a *DifferencesError.
func Ensure(ctx context.Context, admin *kadm.Client, o Options) error {
	differences, err := Differences(ctx, admin, o)
	if err != nil {
		return err
	}
	specs := map[string]Spec{}
	for _, spec := range Specs(o) {
		specs[spec.Name] = spec
	}
	old := maps.Clone(specs) // that were there before
	var refused []Difference
	for _, d := range differences {
		if d.Setting == settingTopic {
			delete(old, d.Topic)
		}
		done, err := apply(ctx, admin, specs[d.Topic], d, o)
		if err != nil {
			return fmt.Errorf("apply to topic %s: %s: %w", d.Topic, d.Setting, err)
		}
		if !done {
			refused = append(refused, d)
		}
	}
	for _, spec := range old {
		if err := pin(ctx, admin, spec); err != nil {
			return err
		}
	}
	if err := settle(ctx, admin, o, refused); err != nil {
		return err
	}
	if len(refused) > 0 {
		return &DifferencesError{Differences: refused}
	}
	return nil
}

const (
	settleLimit = time.Minute
	settlePause = 50 * time.Millisecond
)

// settle returns once the brokers show what the controller has accepted: Kafka
// answers before the news has reached every broker.
func settle(ctx context.Context, admin *kadm.Client, o Options, refused []Difference) error {
	ctx, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	pause := time.NewTicker(settlePause)
	defer pause.Stop()
	for {
		left, err := Differences(ctx, admin, o)
		left = slices.DeleteFunc(left, func(d Difference) bool { return slices.Contains(refused, d) })
		switch {
		case errors.Is(err, kerr.UnknownTopicOrPartition): // one broker knows of it, the one asked for settings does not
		case err != nil:
			return err
		case len(left) == 0:
			return nil
		default:
			err = &DifferencesError{Differences: left}
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
			return fmt.Errorf("the brokers do not show what was changed: %w", err)
		}
	}
}

// apply removes one difference, or returns false where that is not to be done.
func apply(ctx context.Context, admin *kadm.Client, spec Spec, d Difference, o Options) (bool, error) {
	switch d.Setting {
	case settingTopic:
		return true, create(ctx, admin, spec, o)
	case settingReplication:
		return false, nil // moves data between brokers: for an operator to plan
	case settingPartitions:
		if spec.Fixed {
			return false, nil // a key would move away from its older values, a chain be parted
		}
		responses, err := admin.UpdatePartitions(ctx, spec.Partitions, spec.Name)
		if err != nil {
			return false, err
		}
		return true, responses.Error()
	}
	return true, alter(ctx, admin, spec.Name, kadm.AlterConfig{Op: kadm.SetConfig, Name: d.Setting, Value: &d.Want})
}

// pin sets on the topic itself what it has right from its brokers only: a default of
// theirs that is changed later must not change it.
func pin(ctx context.Context, admin *kadm.Client, spec Spec) error {
	have, err := configs(ctx, admin, spec.Name)
	if err != nil {
		return err
	}
	var unset []kadm.AlterConfig
	for key, value := range spec.Configs() {
		if setting, known := have[key]; known && setting.Source != kmsg.ConfigSourceDynamicTopicConfig {
			unset = append(unset, kadm.AlterConfig{Op: kadm.SetConfig, Name: key, Value: &value})
		}
	}
	if len(unset) == 0 {
		return nil
	}
	if err := alter(ctx, admin, spec.Name, unset...); err != nil {
		return fmt.Errorf("apply to topic %s what it has from its brokers: %w", spec.Name, err)
	}
	return nil
}

func alter(ctx context.Context, admin *kadm.Client, topic string, settings ...kadm.AlterConfig) error {
	responses, err := admin.AlterTopicConfigs(ctx, settings, topic)
	if err != nil {
		return err
	}
	for _, response := range responses {
		if response.Err != nil {
			return response.Err
		}
	}
	return nil
}

func create(ctx context.Context, admin *kadm.Client, spec Spec, o Options) error {
	settings := map[string]*string{}
	for key, value := range spec.Configs() {
		settings[key] = &value
	}
	responses, err := admin.CreateTopics(ctx, int32(spec.Partitions), o.ReplicationFactor, settings, spec.Name)
	if err != nil {
		return err
	}
	if err := responses.Error(); err != nil && !errors.Is(err, kerr.TopicAlreadyExists) { // another process was faster
		return err
	}
	return nil
}
