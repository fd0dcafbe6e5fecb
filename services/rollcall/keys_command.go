package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"rollcall/pkg/keystore"
)

type keysCommand struct {
	Maintain keysMaintainCommand `cmd:"" help:"Make keys ahead of time and destroy those past their lifetime."`
	List     keysListCommand     `cmd:"" help:"List the keys there are; never their content."`
	Destroy  keysDestroyCommand  `cmd:"" help:"Destroy one key before its time: what it protects is gone for ever."`
	Export   keysExportCommand   `cmd:"" help:"Keep a directory with only one holder's keys in step."`
	Secret   keysSecretCommand   `cmd:"" help:"Write one holder's keys as a Kubernetes Secret."`
	Unpack   keysUnpackCommand   `cmd:"" help:"Keep a directory in step with the keys of a mounted Secret."`
}

func (keysCommand) Help() string {
	return page("Keys are files of an epoch in keystore.dir. One writer runs maintain, once a day, and then export for each "+
		"holder; everyone else reads.", []string{
		"rollcall keys maintain --keystore.dir /var/lib/rollcall/keys",
		"rollcall keys export gateway --to /var/lib/rollcall/keys-gateway",
		"rollcall keys list",
	}, "")
}

type keystoreSections struct {
	Keystore keystoreSection `embed:"" prefix:"keystore." group:"Keystore"`
}

type keysMaintainCommand struct {
	keystoreSections
	output
	Since string `help:"First day that needs keys (2006-01-02), for reports received before the keystore was made." placeholder:"DAY"`
}

func (keysMaintainCommand) Help() string {
	return page("Makes the pepper once, day and identity keys and the pairs of opening and sealing keys to two epochs "+
		"ahead, and destroys keys past their lifetime. Idempotent; run it daily.", []string{
		"rollcall keys maintain --keystore.dir /var/lib/rollcall/keys",
		"rollcall keys maintain --since 2026-11-01",
	}, "")
}

func (c *keysMaintainCommand) Run(_ context.Context, a *app) error {
	var since time.Time
	if c.Since != "" {
		var err error
		if since, err = time.Parse(time.DateOnly, c.Since); err != nil {
			return usage(fmt.Errorf("--since: %w", err))
		}
	}
	report, err := keystore.Maintain(c.Keystore.Dir, time.Now(), keystore.MaintainOptions{Since: since})
	if err != nil {
		return err
	}
	type keysMaintained struct {
		Made      []string `json:"made"`
		Destroyed []string `json:"destroyed"`
	}
	result := keysMaintained{names(report.Made), names(report.Destroyed)}
	return c.show(a.stdout, result, func(w *columns) { deeds(w, "made", result.Made, "destroyed", result.Destroyed) })
}

func names(ids []keystore.ID) []string {
	result := make([]string, len(ids))
	for i, id := range ids {
		result[i] = id.String()
	}
	return result
}

type keysListCommand struct {
	keystoreSections
	output
}

func (keysListCommand) Help() string {
	return page("Shows class, epoch, when a key was made and when its lifetime ends.",
		[]string{"rollcall keys list", "rollcall keys list --output json"}, "")
}

func (c *keysListCommand) Run(_ context.Context, a *app) error {
	entries, err := keystore.List(c.Keystore.Dir)
	if err != nil {
		return err
	}
	type key struct {
		Class     string     `json:"class"`
		Epoch     string     `json:"epoch"`
		Made      time.Time  `json:"made"`
		Due       *time.Time `json:"due,omitempty"`
		Destroyed bool       `json:"destroyed,omitempty"`
	}
	result := make([]key, len(entries))
	for i, entry := range entries {
		result[i] = key{Class: string(entry.Class), Epoch: entry.Epoch, Made: entry.Made.UTC(), Destroyed: entry.Destroyed}
		if !entry.Due.IsZero() {
			result[i].Due = &entry.Due
		}
	}
	return c.show(a.stdout, result, func(w *columns) {
		w.row("CLASS", "EPOCH", "MADE", "LIFETIME ENDS", "STATE")
		for _, k := range result {
			due, state := "never", "present"
			if k.Due != nil {
				due = k.Due.Format(time.RFC3339)
			}
			if k.Destroyed {
				state = "destroyed before its time"
			}
			w.row(k.Class, k.Epoch, k.Made.Format(time.RFC3339), due, state)
		}
	})
}

type keysDestroyCommand struct {
	keystoreSections
	output
	Class string `arg:"" help:"Class of the key: day, identity, opening or sealing." enum:"day,identity,opening,sealing"`
	Epoch string `arg:"" help:"Epoch of the key: a day (2006-01-02) or a month (2006-01)."`
	Yes   bool   `help:"Confirm: this cannot be undone."`
}

func (keysDestroyCommand) Help() string {
	return page("What the key protects cannot be read or linked any more: addresses of that day, identities of that "+
		"month, or, with the opening key, sealed reports of that day, those not yet anonymized among them; its sealing "+
		"key goes with it. Without the sealing key alone, no report of that day is taken any more. The pepper cannot be "+
		"destroyed here: every licence would part from its past. Run rollcall keys export after it.", []string{
		"rollcall keys destroy day 2026-11-22 --yes",
		"rollcall keys destroy opening 2026-11-22 --yes",
		"rollcall keys destroy identity 2026-08 --yes",
	}, "")
}

func (c *keysDestroyCommand) Run(_ context.Context, a *app) error {
	if !c.Yes {
		return usage(errors.New("destroying a key cannot be undone: give --yes to confirm"))
	}
	if err := keystore.Destroy(c.Keystore.Dir, keystore.Class(c.Class), c.Epoch); err != nil {
		return err
	}
	type keyDestroyed struct {
		Class string `json:"class"`
		Epoch string `json:"epoch"`
	}
	return c.show(a.stdout, keyDestroyed{c.Class, c.Epoch}, func(w *columns) {
		w.row("destroyed " + c.Class + "/" + c.Epoch)
	})
}

type keysExportCommand struct {
	keystoreSections
	output
	Holder string `arg:"" help:"Who is to hold the keys: gateway (sealing), anonymizer (opening, day, identity, pepper), steward (identity, pepper) or licences (pepper)." enum:"gateway,anonymizer,steward,licences"`
	To     string `help:"Directory of the holder's keys; made where missing." required:"" placeholder:"DIR"`
}

func (keysExportCommand) Help() string {
	return page("Copies the holder's keys from keystore.dir, and no others, and removes those that were destroyed there "+
		"or are past their lifetime. Idempotent; run it after every maintain and destroy. The gateway's directory holds "+
		"public keys and may be read by everyone, any other by its owner only.", []string{
		"rollcall keys export gateway --to /var/lib/rollcall/keys-gateway",
		"rollcall keys export anonymizer --keystore.dir /var/lib/rollcall/keys --to /mnt/anonymizer-keys",
	}, "")
}

func (c *keysExportCommand) Run(_ context.Context, a *app) error {
	report, err := keystore.Export(c.Keystore.Dir, c.To, keystore.Holder(c.Holder))
	if err != nil {
		return err
	}
	return c.showExported(a, report)
}

func (o output) showExported(a *app, report keystore.Exported) error {
	type keysExported struct {
		Copied  []string `json:"copied"`
		Removed []string `json:"removed"`
	}
	result := keysExported{names(report.Copied), names(report.Removed)}
	return o.show(a.stdout, result, func(w *columns) { deeds(w, "copied", result.Copied, "removed", result.Removed) })
}

// deeds lists what was done to keys, or says that nothing was.
func deeds(w *columns, come string, here []string, gone string, away []string) {
	for _, name := range here {
		w.row(come, name)
	}
	for _, name := range away {
		w.row(gone, name)
	}
	if len(here)+len(away) == 0 {
		w.row("Nothing to do.")
	}
}
