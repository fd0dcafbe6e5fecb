package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"rollcall/pkg/accesslog"
	"rollcall/pkg/clickhouse"
	"rollcall/pkg/identity"
	"rollcall/pkg/kafka"
	"rollcall/pkg/keystore"
	"rollcall/pkg/pseudonym"
	"rollcall/pkg/record"
	"rollcall/pkg/telemetry"
)

// request is what a steward asks for, and what the log is to say of it.
type request struct {
	licence          uuid.UUID
	person           *uuid.UUID // nil: everybody of the licence
	reason           string
	actor, principal string
}

func (r request) access(action string) accesslog.Access {
	access := accesslog.Access{Actor: r.actor, Principal: r.principal, Action: action, LicenceID: r.licence, Reason: r.reason}
	if r.person != nil {
		access.Subjects = []uuid.UUID{*r.person}
	}
	return access
}

// steward does what a steward may, once it is logged.
type steward struct {
	keys       keystore.Keys
	pseudonyms *pseudonym.Licences
	conn       driver.Conn
	database   string // the restricted one
	entries    *accesslog.Log
}

// session prepares one command and runs it.
func (s *stewardSections) session(ctx context.Context, do func(*steward, request) error) (err error) {
	keys, err := keystore.Open(s.Keystore.Dir)
	if err != nil {
		return err
	}
	pseudonyms, err := s.pseudonyms()
	if err != nil {
		return err
	}
	who, err := s.request(pseudonyms)
	if err != nil {
		return err
	}
	conn, err := clickhouse.Open(ctx, s.ClickHouse, telemetry.Discard())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	return do(&steward{
		keys: keys, pseudonyms: pseudonyms, conn: conn, database: s.ClickHouse.Restricted(), entries: s.accessLog(s.Records.Format),
	}, who)
}

// accessLog returns the access log of the configured brokers, which is written in that format.
func (s kafkaSections) accessLog(records record.Format) *accesslog.Log {
	return &accesslog.Log{Records: records, Connect: func(options ...kgo.Opt) (*kgo.Client, error) {
		return kafka.NewClient(s.Kafka, telemetry.Discard(), options...)
	}}
}

// request reads the files and turns what they hold into pseudonyms.
func (s *stewardSections) request(pseudonyms *pseudonym.Licences) (request, error) {
	who := request{reason: s.Reason, actor: operator()}
	if s.Kafka.SASL.User != "" {
		who.principal = s.Kafka.SASL.User
	}
	if s.LicenceID != "" {
		id, err := uuid.Parse(s.LicenceID)
		if err != nil {
			return request{}, usage(errors.New("--licence-id: not a UUID")) // not quoted: it may be a key
		}
		who.licence = id
	} else {
		key, err := readPersonal("licence key", s.LicenceKeyFile)
		if err != nil {
			return request{}, err
		}
		if holds(pseudonym.NormaliseKey(s.Reason), pseudonym.NormaliseKey(key)) {
			return request{}, usage(errors.New("--reason holds the licence key"))
		}
		who.licence = pseudonyms.LicenceID(key)
	}
	if s.EmailFile != "" {
		email, err := readPersonal("e-mail address", s.EmailFile)
		if err != nil {
			return request{}, err
		}
		if name, _, _ := strings.Cut(pseudonym.NormaliseEmail(email), "@"); holds(strings.ToLower(s.Reason), name) {
			return request{}, usage(errors.New("--reason holds the name in the e-mail address"))
		}
		person := pseudonyms.Person(who.licence, email)
		who.person = &person
	}
	return who, usage(who.access("steward").Validate())
}

// holds reports whether a text has the secret in it. A secret of up to 3 characters
// would be found in any text.
func holds(text, secret string) bool { return len(secret) > 3 && strings.Contains(text, secret) }

// personalBytes bounds a file with a licence key or an e-mail address.
const personalBytes = 4 << 10

// readPersonal reads a file that holds one value. Errors name the file, never the value.
func readPersonal(what, path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", what, err)
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, personalBytes+1))
	if err != nil {
		return "", fmt.Errorf("read %s: %w", what, err)
	}
	value := strings.TrimSpace(string(content))
	if value == "" || len(content) > personalBytes {
		return "", fmt.Errorf("read %s: %s is empty or has more than %d bytes", what, path, personalBytes)
	}
	return value, nil
}

// operator names who runs this process: the operating system's user, as the kernel
// knows it, whatever the environment says; by number where it has no plain name.
func operator() string {
	number := "uid-" + strconv.Itoa(os.Getuid())
	current, err := user.LookupId(strconv.Itoa(os.Getuid()))
	if err != nil {
		return number
	}
	if (accesslog.Access{Actor: current.Username, Action: "steward", Reason: "check"}).Validate() != nil {
		return number
	}
	return current.Username
}

// log writes the access to the log and keeps where it stands in ClickHouse too. Until
// both are done there is no anchor, and nothing is decrypted without one.
func (s *steward) log(ctx context.Context, access accesslog.Access) (accesslog.Anchor, error) {
	store := accesslog.Store{Conn: s.conn, Database: s.database}
	newest, err := store.Newest(ctx)
	if err != nil {
		return accesslog.Anchor{}, err
	}
	anchor, err := s.entries.Append(ctx, access, newest)
	if err != nil {
		return accesslog.Anchor{}, fmt.Errorf("nothing was looked up, for it could not be logged: %w", err)
	}
	if err := store.Keep(ctx, anchor); err != nil {
		return accesslog.Anchor{}, fmt.Errorf("nothing was looked up, for it could not be logged: %w", err)
	}
	return anchor, nil
}

// States of an identity.
const (
	stateRead      = "read"
	stateDestroyed = "key destroyed" // nobody can read it any more
	stateNoKey     = "no key here"   // keystore.dir does not have its month's key
	stateBroken    = "broken"        // the key does not open it: it was changed, or is another's
)

// foundIdentity is an identity, decrypted where it can be.
type foundIdentity struct {
	Kind       string    `json:"kind"`
	Subject    uuid.UUID `json:"subject"`
	Month      string    `json:"month"`
	ObservedAt time.Time `json:"observed_at"`
	State      string    `json:"state"`
	Company    string    `json:"company,omitempty"`
	KeyEnd     string    `json:"key_end,omitempty"`
	Email      string    `json:"email,omitempty"`
}

type stewardFound struct {
	LicenceID  uuid.UUID        `json:"licence_id"`
	Identities []foundIdentity  `json:"identities"`
	Access     accesslog.Anchor `json:"access"`
}

type stewardSubjects struct {
	LicenceID uuid.UUID        `json:"licence_id"`
	Company   uuid.UUID        `json:"company"`
	Person    *uuid.UUID       `json:"person,omitempty"`
	Access    accesslog.Anchor `json:"access"`
}

// identities returns what is kept of a licence, or of one person under it. permit is
// the entry of the log that says so.
func (s *steward) identities(ctx context.Context, permit accesslog.Anchor, who request) ([]foundIdentity, error) {
	if permit.Sequence < 1 {
		return nil, errors.New("identities are read only once it is logged")
	}
	query := "SELECT subject, licence_id, toString(kind), epoch, observed_at, nonce, ciphertext FROM " + s.database +
		".identities FINAL WHERE licence_id = ?"
	arguments := []any{who.licence}
	if who.person != nil {
		query, arguments = query+" AND subject = ?", append(arguments, *who.person)
	}
	rows, err := s.conn.Query(ctx, query+" ORDER BY kind, subject, epoch", arguments...)
	if err != nil {
		return nil, fmt.Errorf("read identities: %w", err)
	}
	defer rows.Close()
	found := []foundIdentity{}
	for rows.Next() {
		var (
			r                 record.Identity
			epoch, observed   time.Time
			nonce, ciphertext string
		)
		if err := rows.Scan(&r.Subject, &r.LicenceID, &r.Kind, &epoch, &observed, &nonce, &ciphertext); err != nil {
			return nil, fmt.Errorf("read identities: %w", err)
		}
		r.Epoch, r.ObservedAt, r.Nonce, r.Ciphertext = keystore.MonthEpoch(epoch), observed.UnixMilli(), []byte(nonce), []byte(ciphertext)
		found = append(found, s.open(&r))
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read identities: %w", err)
	}
	return found, nil
}

func (s *steward) open(r *record.Identity) foundIdentity {
	found := foundIdentity{Kind: strings.ToLower(r.Kind), Subject: r.Subject, Month: r.Epoch, ObservedAt: time.UnixMilli(r.ObservedAt).UTC()}
	key, err := s.keys.Key(keystore.Identity, r.Epoch)
	switch {
	case errors.Is(err, keystore.ErrDestroyed):
		found.State = stateDestroyed
		return found
	case err != nil:
		found.State = stateNoKey
		return found
	}
	plain, err := identity.Open(key, r)
	if err != nil {
		found.State = stateBroken
		return found
	}
	found.State, found.Company, found.KeyEnd, found.Email = stateRead, plain.Company, plain.KeyEnd, plain.Email
	return found
}

// printable keeps what a client chose from steering the terminal that shows it.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, text)
}
