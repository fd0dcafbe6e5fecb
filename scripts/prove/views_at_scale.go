package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"rollcall/pkg/access"
	"rollcall/pkg/clickhouse"
	"rollcall/scripts/testbed"
	"rollcall/scripts/year/pastyear"
)

const (
	// scaleDirectory names a directory that `go run ./scripts/year` has loaded, or is to
	// load, where one is not to be made anew for every run.
	scaleDirectory = "ROLLCALL_YEAR_DIR"
	scalePartner   = "Partner 01"
	scaleMemory    = 6 << 30

	scaleWholeLimit   = time.Second
	scaleLicenceLimit = 100 * time.Millisecond
	// mergesLimit bounds the wait for merges that the load left behind.
	mergesLimit = 10 * time.Minute
)

// proveViewsAtScale writes a synthetic year through the product's own rollup, asks every
// view what it is for as the one who reads it, and has the server's log say what that
// took. Small, it looks at the answers alone.
func proveViewsAtScale(ctx context.Context, env *Environment) (string, bool, error) {
	root, err := testbed.Root(ctx)
	if err != nil {
		return "", false, err
	}
	questions, err := readScaleQuestions(filepath.Join(root, scaleFile))
	if err != nil {
		return "", false, err
	}
	s, err := startScale(ctx, env)
	if err != nil {
		return "", false, err
	}
	if err := unasked(ctx, s.admin, questions); err != nil {
		return "", false, err
	}
	differ, compared, err := s.compareRaw(ctx, filepath.Join(root, scaleRawFile))
	if err != nil {
		return "", false, err
	}
	if err := s.rest(ctx); err != nil {
		return "", false, err
	}
	var measured []measurement
	for _, q := range questions {
		of, err := s.measure(ctx, q)
		if err != nil {
			return "", false, err
		}
		measured = append(measured, of...)
	}
	figure, fast, answered := s.figure(measured)
	figure += fmt.Sprintf("; %d answers of rollups against the session-days themselves, %d differ", compared, differ)
	return figure, differ == 0 && compared > 0 && answered && (fast || env.Size == Small), nil
}

// scale is a loaded year and who asks about it.
type scale struct {
	env     *Environment
	began   time.Time
	admin   driver.Conn
	readers map[string]driver.Conn
	summary *pastyear.Summary
	// licences that are asked about: the largest and one in the middle; of the partner's likewise.
	licences, ofPartner []uuid.UUID
}

func startScale(ctx context.Context, env *Environment) (*scale, error) {
	users, files, err := scaleUsers(env)
	if err != nil {
		return nil, err
	}
	server, err := scaleServer(ctx, env, users)
	if err != nil {
		return nil, err
	}
	if _, err := clickhouse.Migrate(ctx, storeConfig(server, "default", "")); err != nil {
		return nil, err
	}
	s := &scale{env: env, began: time.Now(), readers: map[string]driver.Conn{}}
	if s.admin, err = env.OpenAs(ctx, server, "default", ""); err != nil {
		return nil, err
	}
	for _, user := range users {
		if s.readers[user.Name], err = env.OpenAs(ctx, server, user.Name, files[user.Name]); err != nil {
			return nil, err
		}
	}
	started := time.Now()
	s.summary, err = pastyear.Load(ctx, s.admin, pastyear.Options{
		Seed: 1, Licences: Choose[uint32](env, 2_000, 20_000), Days: Choose(env, 21, pastyear.Year),
		Reports: Choose[uint64](env, 200_000, 20_000_000), Now: started, Say: env.Say,
	})
	if err != nil {
		return nil, err
	}
	env.Say("loaded in %v: %s", time.Since(started).Round(time.Second), s.summary)
	return s, s.chooseLicences(ctx)
}

func scaleUsers(env *Environment) ([]access.User, map[string]string, error) {
	var users []access.User
	files := map[string]string{}
	for _, reader := range scaleReaders() {
		user := access.User{Name: reader.name, Role: reader.role, Password: uuid.NewString()}
		if reader.role == access.RolePartner {
			user.Partner = access.Partner{Name: "first", Value: scalePartner}
		}
		files[user.Name] = env.Path(user.Name + ".password")
		if err := os.WriteFile(files[user.Name], []byte(user.Password), 0o600); err != nil {
			return nil, nil, fmt.Errorf("write a password: %w", err)
		}
		users = append(users, user)
	}
	return users, files, nil
}

func scaleServer(ctx context.Context, env *Environment, users []access.User) (*testbed.ClickHouse, error) {
	options := testbed.ClickHouseOptions{Users: users, MemoryBytes: scaleMemory}
	dir := os.Getenv(scaleDirectory)
	if dir == "" || env.Size == Small {
		return env.ClickHouse(ctx, "clickhouse", options)
	}
	env.Say("starting ClickHouse in %s", dir)
	server, err := testbed.StartClickHouse(ctx, dir, options)
	if err != nil {
		return nil, err
	}
	env.OnClose(server.Stop)
	return server, nil
}

// chooseLicences takes the largest licence by what is held of it, and the middle one, of
// those that have nothing in quarantine: so there is an answer.
func (s *scale) chooseLicences(ctx context.Context) error {
	choose := func(condition string) ([]uuid.UUID, error) {
		var all []uuid.UUID
		query := "SELECT groupArray(licence_id) FROM (SELECT licence_id FROM session_days WHERE " + condition + " GROUP BY licence_id ORDER BY count() DESC, licence_id)"
		if err := s.admin.QueryRow(ctx, query).Scan(&all); err != nil {
			return nil, fmt.Errorf("choose licences: %w", err)
		}
		if len(all) == 0 {
			return nil, errors.New("there is no licence to ask about")
		}
		return []uuid.UUID{all[0], all[len(all)/2]}, nil
	}
	var err error
	if s.licences, err = choose("licence_id NOT IN (SELECT licence_id FROM quarantined)"); err != nil {
		return err
	}
	s.ofPartner, err = choose("licence_id NOT IN (SELECT licence_id FROM quarantined) AND licence_id IN (SELECT licence_id FROM licences FINAL WHERE partner = '" + scalePartner + "')")
	return err
}

// rest waits until the merges that the load left behind are done: a year comes in a year,
// not in minutes.
func (s *scale) rest(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, mergesLimit)
	defer cancel()
	ticker := time.NewTicker(500 * time.Millisecond)
	defer ticker.Stop()
	for quiet := 0; quiet < 4; {
		var merges uint64
		if err := s.admin.QueryRow(ctx, "SELECT count() FROM system.merges").Scan(&merges); err != nil {
			return fmt.Errorf("wait for merges: %w", err)
		}
		if quiet++; merges > 0 {
			quiet = 0
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for merges: %w", context.Cause(ctx))
		}
	}
	return nil
}

// figure prints a line for each question and licence, slowest first, and sums them up.
func (s *scale) figure(measured []measurement) (figure string, fast, answered bool) {
	slices.SortFunc(measured, func(a, b measurement) int { return cmp.Compare(b.share(), a.share()) })
	var slow, empty []string
	views, worstWhole, worstLicence := map[string]bool{}, time.Duration(0), time.Duration(0)
	for _, m := range measured {
		s.env.Say("%s", m)
		views[m.question.view] = true
		if m.question.ofLicence {
			worstLicence = max(worstLicence, m.median)
		} else {
			worstWhole = max(worstWhole, m.median)
		}
		if m.rows == 0 && !m.question.ofLicence {
			empty = append(empty, m.question.name)
		}
		if m.share() >= 1 {
			slow = append(slow, fmt.Sprintf("%s %v", m.question.name, m.median.Round(time.Millisecond)))
		}
	}
	figure = fmt.Sprintf("%d reports, %s; %d views asked %d times", s.summary.Reports, s.sizes(), len(views), len(measured))
	if s.runs() > 1 {
		figure += fmt.Sprintf(": the slowest %v (1 s wanted), of one licence %v (100 ms wanted), medians of five; %d over",
			worstWhole.Round(time.Millisecond), worstLicence.Round(time.Millisecond), len(slow))
	}
	if len(slow) > 0 {
		figure += ": " + strings.Join(slow, ", ")
	}
	if len(empty) > 0 {
		figure += "; without any answer: " + strings.Join(empty, ", ")
	}
	return figure, len(slow) == 0, len(empty) == 0
}

func (s *scale) sizes() string {
	var all []string
	for _, t := range s.summary.Tables {
		if t.Bytes > 1<<20 {
			all = append(all, fmt.Sprintf("%s %.1f M rows in %.0f MB", t.Name, float64(t.Rows)/1e6, float64(t.Bytes)/1e6))
		}
	}
	return strings.Join(all, ", ")
}
