package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"rollcall/pkg/access"
)

type grantsCommand struct {
	SQL       grantsSQLCommand       `cmd:"" name:"sql" help:"Show the SQL that gives a ClickHouse server its roles, privileges and row policies."`
	UsersFile grantsUsersFileCommand `cmd:"" name:"users-file" help:"Write the same as a users file, with a user for each role and partner."`
}

func (grantsCommand) Help() string {
	return page("Who may do what is one table (docs/access.md). Both forms are made from it; both make the user that views "+
		"read with, so apply one of them before rollcall migrate up.",
		[]string{"rollcall grants sql | clickhouse-client --multiquery", "rollcall grants users-file --passwords /etc/rollcall/clickhouse"}, "")
}

// grantsSections are what both forms depend on.
type grantsSections struct {
	Database string   `name:"clickhouse.database" help:"Database of Rollcall's tables." default:"rollcall" group:"ClickHouse"`
	Cluster  bool     `help:"For a server of a cluster (clickhouse.cluster): also for the tables of its shard."`
	Partner  []string `name:"partner" sep:"none" help:"Partner who sees its own licences: NAME=VALUE, with VALUE as licences name it; NAME alone where both are the same. Can be repeated." placeholder:"NAME=VALUE"`
}

func (s *grantsSections) partners() ([]access.Partner, error) {
	partners := make([]access.Partner, len(s.Partner))
	for i, text := range s.Partner {
		var err error
		if partners[i], err = access.ParsePartner(text); err != nil {
			return nil, usage(fmt.Errorf("--partner: %w", err))
		}
	}
	return partners, nil
}

type grantsSQLCommand struct{ grantsSections }

func (grantsSQLCommand) Help() string {
	return page("For a server with writable access storage. Done again, it brings the server to the table: privileges that "+
		"have gone from it are taken away. Makes roles, not users: grant each user its role, and a partner's user only the "+
		"role rollcall_partner_NAME, which carries its row policies.", []string{
		"rollcall grants sql | clickhouse-client --multiquery",
		"rollcall grants sql --partner p0001='Partner 0001' --partner example",
	}, "")
}

func (c *grantsSQLCommand) Run(_ context.Context, a *app) error {
	partners, err := c.partners()
	if err != nil {
		return err
	}
	give := access.Statements
	if c.Cluster {
		give = access.ClusterStatements
	}
	statements, err := give(c.Database, partners)
	if err != nil {
		return usage(err)
	}
	_, err = fmt.Fprintln(a.stdout, strings.Join(statements, ";\n")+";")
	return err
}

type grantsUsersFileCommand struct {
	grantsSections
	Passwords string   `required:"" help:"Directory with a file for each user, which holds its password; those that are missing are made by chance." placeholder:"DIR"`
	To        string   `help:"File to write, which only its owner may read; empty: standard output." placeholder:"FILE"`
	Network   []string `help:"Network that users may come from, as CIDR. Can be repeated; without one, from anywhere." placeholder:"CIDR"`
}

func (grantsUsersFileCommand) Help() string {
	return page("For a server whose users stand in files (users.d), and for the embedded engine, where SQL cannot make any. "+
		"The users are named like their roles without rollcall_; a partner's partner_NAME. The file holds hashes of their passwords.", []string{
		"rollcall grants users-file --passwords /etc/rollcall/clickhouse --to /etc/clickhouse-server/users.d/rollcall.xml",
		"rollcall grants users-file --passwords passwords --partner p0001='Partner 0001' --network 10.0.0.0/8",
	}, "")
}

func (c *grantsUsersFileCommand) Run(_ context.Context, a *app) error {
	partners, err := c.partners()
	if err != nil {
		return err
	}
	file := access.UsersFile{Databases: []string{c.Database}, Clustered: c.Cluster}
	for _, user := range usersOf(partners) {
		if user.Password, err = password(c.Passwords, user.Name); err != nil {
			return err
		}
		user.Networks = c.Network
		file.Users = append(file.Users, user)
	}
	content, err := file.Render()
	if err != nil {
		return usage(err)
	}
	if c.To == "" {
		_, err = a.stdout.Write(content)
		return err
	}
	return writePrivate(c.To, content)
}

// usersOf returns a user for each role that somebody logs in with, and for each partner.
func usersOf(partners []access.Partner) []access.User {
	const prefix = "rollcall_"
	var users []access.User
	for _, role := range access.Roles() {
		switch {
		case role.NoLogin:
		case role.Filtered:
			for _, p := range partners {
				users = append(users, access.User{Name: strings.TrimPrefix(p.Account(), prefix), Role: role.Name, Partner: p})
			}
		default:
			users = append(users, access.User{Name: strings.TrimPrefix(role.Name, prefix), Role: role.Name})
		}
	}
	return users
}

// password reads the user's password from its file, or makes both: 256 random bits,
// because the users file has an unsalted hash of it.
func password(dir, user string) (string, error) {
	path := filepath.Join(dir, user)
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return makePassword(dir, path)
	}
	if err != nil {
		return "", fmt.Errorf("read the password of %s: %w", user, err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("password file %s has mode %04o: others than its owner may read it; want 0600", path, info.Mode().Perm())
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read the password of %s: %w", user, err)
	}
	text := strings.TrimRight(string(content), "\r\n")
	if text == "" {
		return "", fmt.Errorf("password file %s is empty", path)
	}
	return text, nil
}

func makePassword(dir, path string) (string, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make the directory of passwords: %w", err)
	}
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails
	text := base64.RawURLEncoding.EncodeToString(random[:])
	return text, writePrivate(path, []byte(text+"\n"))
}

// writePrivate writes a file that only its owner may read, whole or not at all.
func writePrivate(path string, content []byte) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), ".rollcall-") // with mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(file.Name())
		}
	}()
	_, err = file.Write(content)
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
