package access

import (
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// wire is an entry as Kafka's protocol numbers it.
type wire struct {
	resource   kmsg.ACLResourceType
	pattern    kmsg.ACLResourcePatternType
	operation  kmsg.ACLOperation
	permission kmsg.ACLPermissionType
}

func (a ACL) wire() (wire, error) {
	w := wire{permission: kmsg.ACLPermissionTypeDeny}
	if a.Allow {
		w.permission = kmsg.ACLPermissionTypeAllow
	}
	var err error
	if w.resource, err = kmsg.ParseACLResourceType(strings.ReplaceAll(string(a.Resource), " ", "_")); err != nil {
		return w, fmt.Errorf("ACL on %s: %w", a.Resource, err)
	}
	if w.pattern, err = kmsg.ParseACLResourcePatternType(a.Pattern); err != nil {
		return w, fmt.Errorf("ACL on %s: %w", a.Resource, err)
	}
	if w.operation, err = kmsg.ParseACLOperation(a.Operation); err != nil {
		return w, fmt.Errorf("ACL for %s: %w", a.Operation, err)
	}
	return w, nil
}

func resourceOf(t kmsg.ACLResourceType) Resource {
	return Resource(strings.ToLower(strings.ReplaceAll(t.String(), "_", " ")))
}

// operationOf writes DESCRIBE_CONFIGS as DescribeConfigs.
func operationOf(o kmsg.ACLOperation) string {
	var name strings.Builder
	for word := range strings.SplitSeq(o.String(), "_") {
		name.WriteString(word[:1] + strings.ToLower(word[1:]))
	}
	return name.String()
}
