package access

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ACL is one entry of Kafka's access control lists.
type ACL struct {
	Principal string   `json:"principal"` // User:rollcall-gateway
	Resource  Resource `json:"resource"`
	Name      string   `json:"name"`    // of the resource
	Pattern   string   `json:"pattern"` // literal or prefixed
	Operation string   `json:"operation"`
	Host      string   `json:"host"` // * : from anywhere
	Allow     bool     `json:"allow"`
}

const (
	literal  = "literal"
	prefixed = "prefixed"
	anywhere = "*"
	// userPrefix is Kafka's kind of principal for people and programs.
	userPrefix = "User:"
)

// ACLNames say what a cluster calls groups and principals.
type ACLNames struct {
	// Groups replaces the default name of a group.
	Groups map[string]string
	// Prefix of principals: User:PREFIXgateway.
	Prefix string
	// Users replaces the name of a principal, without "User:", where a certificate
	// gives it another one.
	Users map[string]string
}

// DefaultPrefix makes the principals' names rollcall-gateway and so on.
const DefaultPrefix = "rollcall-"

// Validate reports a principal that the table does not have.
func (n ACLNames) Validate() error {
	var errs []error
	for name, user := range n.Users {
		if _, ok := FindPrincipal(name); !ok || user == "" {
			errs = append(errs, fmt.Errorf("no principal is named %q, or its user is empty", name))
		}
	}
	return errors.Join(errs...)
}

// User returns the name under which a principal connects.
func (n ACLNames) User(principal string) string {
	if user, ok := n.Users[principal]; ok {
		return user
	}
	return n.Prefix + principal
}

// ACLs returns what a cluster's lists should have, sorted.
func ACLs(names ACLNames) []ACL {
	var all []ACL
	for _, principal := range Principals() {
		for _, p := range principal.Permissions {
			name := p.Name
			if other, ok := names.Groups[name]; ok && p.Resource == Group {
				name = other
			}
			for _, operation := range p.Operations {
				all = append(all, ACL{userPrefix + names.User(principal.Name), p.Resource, name, literal, operation, anywhere, true})
			}
		}
	}
	return sorted(all)
}

func sorted(all []ACL) []ACL {
	slices.SortFunc(all, func(a, b ACL) int {
		return cmp.Or(strings.Compare(a.Principal, b.Principal), strings.Compare(string(a.Resource), string(b.Resource)),
			strings.Compare(a.Name, b.Name), strings.Compare(a.Operation, b.Operation), strings.Compare(a.Host, b.Host))
	})
	return slices.Compact(all)
}

// ACLDifferences say how a cluster's lists differ from the table.
type ACLDifferences struct {
	// Missing: the table has it, the cluster does not.
	Missing []ACL `json:"missing"`
	// Surplus: one of the table's principals has it beyond the table, or is denied something.
	Surplus []ACL `json:"surplus"`
	// Foreign: somebody else may do something with Rollcall's topics, groups or the cluster.
	Foreign []ACL `json:"foreign"`
}

// Empty reports whether nothing differs.
func (d ACLDifferences) Empty() bool { return len(d.Missing)+len(d.Surplus)+len(d.Foreign) == 0 }

// ErrNoAuthorizer says that the brokers check nothing: everybody may do everything.
var ErrNoAuthorizer = errors.New("the brokers have no authorizer (authorizer.class.name): whoever reaches them may do everything")

// CompareACLs asks the cluster for its lists and compares them with the table.
func CompareACLs(ctx context.Context, client *kgo.Client, names ACLNames) (ACLDifferences, error) {
	have, err := describe(ctx, client)
	if err != nil {
		return ACLDifferences{}, err
	}
	return compare(ACLs(names), have), nil
}

func compare(want, have []ACL) ACLDifferences {
	wanted, present, ours := set(want), set(have), map[string]bool{}
	for _, acl := range want {
		ours[acl.Principal] = true
	}
	d := ACLDifferences{Missing: []ACL{}, Surplus: []ACL{}, Foreign: []ACL{}}
	for _, acl := range want {
		if !present[acl] {
			d.Missing = append(d.Missing, acl)
		}
	}
	for _, acl := range sorted(slices.Clone(have)) {
		switch {
		case wanted[acl]:
		case ours[acl.Principal]:
			d.Surplus = append(d.Surplus, acl)
		case acl.Allow && touches(acl, want):
			d.Foreign = append(d.Foreign, acl)
		}
	}
	return d
}

func set(all []ACL) map[ACL]bool {
	members := map[ACL]bool{}
	for _, acl := range all {
		members[acl] = true
	}
	return members
}

// touches reports whether the entry opens something that the table speaks of.
func touches(acl ACL, want []ACL) bool {
	return slices.ContainsFunc(want, func(w ACL) bool {
		switch {
		case w.Resource != acl.Resource:
			return false
		case acl.Pattern == prefixed:
			return strings.HasPrefix(w.Name, acl.Name)
		}
		return acl.Name == w.Name || acl.Name == anywhere
	})
}

// ApplyACLs adds what is missing and removes what is surplus, and returns what it
// found. What others may do is not for it to take away. Done again, it changes
// nothing. It needs a super user of the cluster.
func ApplyACLs(ctx context.Context, client *kgo.Client, names ACLNames) (ACLDifferences, error) {
	found, err := CompareACLs(ctx, client, names)
	if err != nil {
		return ACLDifferences{}, err
	}
	// First what is too much goes: a denial would still stand in the way of the rest.
	if err := remove(ctx, client, found.Surplus); err != nil {
		return ACLDifferences{}, err
	}
	return found, add(ctx, client, found.Missing)
}

// describe returns every entry of the cluster's lists.
func describe(ctx context.Context, client *kgo.Client) ([]ACL, error) {
	request := kmsg.NewPtrDescribeACLsRequest()
	request.ResourceType = kmsg.ACLResourceTypeAny
	request.ResourcePatternType = kmsg.ACLResourcePatternTypeAny
	request.Operation = kmsg.ACLOperationAny
	request.PermissionType = kmsg.ACLPermissionTypeAny
	response, err := request.RequestWith(ctx, client)
	if err == nil {
		err = kerr.ErrorForCode(response.ErrorCode)
	}
	if errors.Is(err, kerr.SecurityDisabled) {
		err = ErrNoAuthorizer
	}
	if err != nil {
		return nil, fmt.Errorf("list the cluster's ACLs: %w", err)
	}
	var all []ACL
	for _, resource := range response.Resources {
		for _, entry := range resource.ACLs {
			all = append(all, ACL{
				Principal: entry.Principal, Resource: resourceOf(resource.ResourceType), Name: resource.ResourceName,
				Pattern: strings.ToLower(resource.ResourcePatternType.String()), Operation: operationOf(entry.Operation),
				Host: entry.Host, Allow: entry.PermissionType == kmsg.ACLPermissionTypeAllow,
			})
		}
	}
	return all, nil
}

func add(ctx context.Context, client *kgo.Client, missing []ACL) error {
	if len(missing) == 0 {
		return nil
	}
	request := kmsg.NewPtrCreateACLsRequest()
	for _, acl := range missing {
		w, err := acl.wire()
		if err != nil {
			return err
		}
		entry := kmsg.NewCreateACLsRequestCreation()
		entry.ResourceType, entry.ResourceName, entry.ResourcePatternType = w.resource, acl.Name, w.pattern
		entry.Principal, entry.Host, entry.Operation, entry.PermissionType = acl.Principal, acl.Host, w.operation, w.permission
		request.Creations = append(request.Creations, entry)
	}
	response, err := request.RequestWith(ctx, client)
	if err != nil {
		return fmt.Errorf("add ACLs: %w", err)
	}
	for _, result := range response.Results {
		if err := kerr.ErrorForCode(result.ErrorCode); err != nil {
			return fmt.Errorf("add ACLs: %w", err)
		}
	}
	return nil
}

func remove(ctx context.Context, client *kgo.Client, surplus []ACL) error {
	if len(surplus) == 0 {
		return nil
	}
	request := kmsg.NewPtrDeleteACLsRequest()
	for _, acl := range surplus {
		w, err := acl.wire()
		if err != nil {
			return err
		}
		filter := kmsg.NewDeleteACLsRequestFilter()
		filter.ResourceType, filter.ResourceName, filter.ResourcePatternType = w.resource, &acl.Name, w.pattern
		filter.Principal, filter.Host, filter.Operation, filter.PermissionType = &acl.Principal, &acl.Host, w.operation, w.permission
		request.Filters = append(request.Filters, filter)
	}
	response, err := request.RequestWith(ctx, client)
	if err != nil {
		return fmt.Errorf("remove ACLs: %w", err)
	}
	for _, result := range response.Results {
		if err := kerr.ErrorForCode(result.ErrorCode); err != nil {
			return fmt.Errorf("remove ACLs: %w", err)
		}
	}
	return nil
}
