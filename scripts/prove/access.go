package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"rollcall/pkg/access"
	"rollcall/pkg/fleet"
	"rollcall/pkg/kafka"
	"rollcall/pkg/oracle"
	catalogue "rollcall/schemas/metrics"
	"rollcall/scripts/testbed"
)

// proofDictionary is one that an administrator might make beside Rollcall's tables.
const proofDictionary = "proof_dictionary"

// guarded is a pipeline in which everybody has the rights of the table and no more:
// Kafka over TLS and SASL with ACLs, ClickHouse over TLS with its roles.
type guarded struct {
	*pipeline
	tls        *testbed.TLSProxy       // before ClickHouse
	principals map[string]kafka.Config // by principal
	probes     map[string]*kafkaProbe
	users      []access.User // of ClickHouse
	passwords  map[string]string
	partners   []access.Partner
	http       *http.Client
}

func proveAccess(ctx context.Context, env *Environment) (string, bool, error) {
	options := Choose(env, tinyFleet(), fleet.Proof())
	plan, err := fleet.New(options, fleet.MetricsOf(catalogue.Embedded()))
	if err != nil {
		return "", false, err
	}
	g, err := startGuarded(ctx, env)
	if err != nil {
		return "", false, err
	}
	env.Say("playing the fleet: each service under its own principal, the sink under its own user")
	if _, err := g.play(ctx, plan, nil); err != nil {
		return "", false, err
	}
	result, err := g.readAsAnalyst(ctx, plan)
	if err != nil {
		return "", false, err
	}
	verdicts, err := g.tryEverything(ctx)
	if err != nil {
		return "", false, err
	}
	show(env, verdicts)
	rows, problems, err := g.partnerRows(ctx)
	if err != nil {
		return "", false, err
	}
	problems = append(problems, g.commands(ctx, plan)...)
	for _, problem := range problems {
		env.Say("NOT AS IT SHOULD BE: %s", problem)
	}
	t := tallyOf(verdicts)
	holds := result.exact() && len(t.wrong) == 0 && len(problems) == 0 && t.refused["ClickHouse"] >= 30 && t.refused["Kafka"] >= 30 && rows > 0
	return fmt.Sprintf("%s; %d partners see their own %d rows and no other; read as the analyst: %s", t, len(g.partners), rows, result), holds, nil
}

// startGuarded starts Kafka, ClickHouse and the services, each with its own rights.
func startGuarded(ctx context.Context, env *Environment) (*guarded, error) {
	g := &guarded{
		principals: map[string]kafka.Config{}, passwords: map[string]string{},
		partners: []access.Partner{{Name: "one", Value: "Partner 01"}, {Name: "two", Value: "Partner 02"}},
		http:     &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, // one left open delays the server's end
	}
	g.makeUsers()
	var err error
	g.pipeline, err = startPipeline(ctx, env, pipelineOptions{
		Name: "access", Simulated: true, NoStart: true,
		Kafka: testbed.KafkaOptions{Secure: true}, ClickHouse: testbed.ClickHouseOptions{Users: g.users},
		Guard: func(p *pipeline, o *testbed.ClusterOptions) error { return g.configure(ctx, p, o) },
	})
	if err != nil {
		return nil, err
	}
	if _, err := g.cluster.Command(ctx, "topics", "acls", "--apply"); err != nil {
		return nil, err
	}
	env.Say("starting the services")
	if err := g.cluster.Start(ctx); err != nil {
		return nil, err
	}
	return g, g.openProbes(ctx)
}

// makeUsers makes a user of ClickHouse for each role and each partner.
func (g *guarded) makeUsers() {
	add := func(name, role string, partner access.Partner) {
		random := make([]byte, 24)
		_, _ = rand.Read(random) // never fails
		g.passwords[name] = base64.RawURLEncoding.EncodeToString(random)
		g.users = append(g.users, access.User{Name: name, Role: role, Partner: partner, Password: g.passwords[name]})
	}
	for _, role := range access.Roles() {
		if !role.NoLogin && !role.Filtered {
			add(strings.TrimPrefix(role.Name, "rollcall_"), role.Name, access.Partner{})
		}
	}
	for _, p := range g.partners {
		add("partner_"+p.Name, access.RolePartner, p)
	}
}

// configure gives each service its principal and its user; commands have those of
// administrators, unless they say otherwise.
func (g *guarded) configure(ctx context.Context, p *pipeline, o *testbed.ClusterOptions) error {
	for _, principal := range access.Principals() {
		config, err := p.kafka.User(ctx, access.DefaultPrefix+principal.Name)
		if err != nil {
			return err
		}
		g.principals[principal.Name] = config
	}
	if err := os.MkdirAll(p.dir, 0o755); err != nil {
		return fmt.Errorf("make the cluster's directory: %w", err)
	}
	for user, password := range g.passwords {
		if err := os.WriteFile(passwordFile(p.dir, user), []byte(password), 0o600); err != nil {
			return fmt.Errorf("write a password: %w", err)
		}
	}
	if err := g.startTLS(p); err != nil {
		return err
	}
	o.ClickHouse = g.tls.Address()
	o.Settings = testbed.KafkaSettings(p.kafka.Admin())
	maps.Copy(o.Settings, g.tls.ClickHouseSettings())
	own := map[string]testbed.Settings{}
	for _, service := range testbed.ServiceNames() {
		own[service] = testbed.KafkaSettings(g.principals[service])
	}
	own[testbed.Sink]["clickhouse.user"] = "sink"
	own[testbed.Sink]["clickhouse.password_file"] = passwordFile(p.dir, "sink")
	o.ServiceSettings = own
	return nil
}

// startTLS puts a proxy before ClickHouse that lets in only who speaks TLS and shows a
// certificate: the embedded engine speaks none itself.
func (g *guarded) startTLS(p *pipeline) (err error) {
	if g.tls, err = testbed.StartTLSProxy(p.clickhouse.Address(), filepath.Join(p.dir, "tls")); err == nil {
		p.env.OnClose(func(context.Context) error { return g.tls.Close() })
	}
	return err
}

func passwordFile(dir, user string) string {
	return filepath.Join(dir, "clickhouse-"+user+".password")
}

// exactness is what the analyst read, compared with the truth.
type exactness struct{ rollup, live oracle.Result }

func (e exactness) exact() bool {
	return e.rollup.CellsCompared > 0 && e.live.CellsCompared > 0 && e.rollup.Wrong() == 0 && e.live.Wrong() == 0
}

func (e exactness) String() string {
	return fmt.Sprintf("v1_licence_day: %s; v1_licence_day_live: %s", e.rollup, e.live)
}

// readAsAnalyst waits for the pipeline to drain, and compares what the views show to
// an analyst, who has no right on any table, with what the fleet did.
func (g *guarded) readAsAnalyst(ctx context.Context, plan *fleet.Plan) (exactness, error) {
	report, err := g.settled(ctx, exactSettleLimit)
	if err != nil {
		return exactness{}, err
	}
	if !report.OK() {
		return exactness{}, fmt.Errorf("the audit finds %d offsets and %d session-days missing", report.Missing, report.StateMissing)
	}
	conn, err := g.as(ctx, "analyst")
	if err != nil {
		return exactness{}, err
	}
	var e exactness
	e.rollup, err = oracle.Verify(ctx, conn, plan.Truth(), g.licenceID, oracle.Options{})
	if err == nil {
		e.live, err = oracle.Verify(ctx, conn, plan.Truth(), g.licenceID, oracle.Options{Live: true})
	}
	return e, err
}

// tryEverything tries each wrong access and each rightful one.
func (g *guarded) tryEverything(ctx context.Context) ([]verdictOn, error) {
	dictionary := "CREATE DICTIONARY IF NOT EXISTS rollcall." + proofDictionary + " (licence_id UUID, partner String) PRIMARY KEY licence_id " +
		"SOURCE(CLICKHOUSE(DB 'rollcall' TABLE 'licences')) LAYOUT(COMPLEX_KEY_HASHED()) LIFETIME(0)"
	if err := g.conn.Exec(ctx, dictionary); err != nil {
		return nil, fmt.Errorf("make a dictionary: %w", err)
	}
	objects, err := g.objects(ctx)
	if err != nil {
		return nil, err
	}
	objects = slices.DeleteFunc(objects, func(o object) bool { return o.name == proofDictionary })
	strangers, err := g.strangers()
	if err != nil {
		return nil, err
	}
	return attemptAll(ctx, slices.Concat(g.clickhouseMatrix(objects), g.clickhouseDeeds(), g.kafkaMatrix(), g.kafkaDeeds(), strangers))
}

// logsIn connects and asks for nothing that needs a right.
func (g *guarded) logsIn(user, password string) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := g.query(ctx, user, password, "SELECT 1")
		return err
	}
}
