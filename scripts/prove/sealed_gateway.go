package main

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hpke"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"rollcall/pkg/envelope"
	"rollcall/pkg/keystore"
	"rollcall/pkg/record"
	"rollcall/scripts/testbed"
)

// startLimit bounds a start that is to be refused.
const startLimit = 20 * time.Second

// gateway tries to open the records with what a gateway has, and sees that a gateway
// takes no more than that. The anonymizer's keys open them all.
func (s *sealedRun) gateway(ctx context.Context) error {
	s.env.Say("opening records with what a gateway has, and with what the anonymizer has")
	own := s.p.cluster.KeysDir(testbed.Gateway)
	byPipeline, err := s.open(own)
	if err != nil {
		return err
	}
	byForce, err := s.force(own, s.p.cluster.Service(testbed.Gateway)[0].Name())
	if err != nil {
		return err
	}
	s.openedByGateway = byPipeline + byForce
	opened, err := s.open(s.p.cluster.KeysDir(testbed.Anonymizer))
	if err != nil {
		return err
	}
	if opened != len(s.records) {
		return fmt.Errorf("the anonymizer's keys open %d of %d records", opened, len(s.records))
	}
	return s.refused(ctx)
}

// force takes every key that a gateway has for a private one and for a data key, and
// every 32 bytes of its configuration too, and returns how many records that opens.
func (s *sealedRun) force(keys, process string) (int, error) {
	var candidates [][]byte
	for _, root := range []string{keys, filepath.Join(s.p.dir, process+".yaml")} {
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			content, err := os.ReadFile(path)
			if decoded, wrong := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(content))); wrong == nil {
				content = decoded
			}
			for i := 0; i+keystore.Size <= len(content); i++ {
				candidates = append(candidates, content[i:i+keystore.Size])
			}
			return err
		})
		if err != nil {
			return 0, fmt.Errorf("read what the gateway has: %w", err)
		}
	}
	opened := 0
	for _, r := range s.records {
		var raw record.Raw
		if err := record.Decode(r.Value, &raw); err != nil {
			return 0, err
		}
		if raw.Envelope[0] != envelope.FormatSealed {
			return 0, fmt.Errorf("a record has the format %d", raw.Envelope[0])
		}
		opened += forceOne(raw.Envelope, candidates)
		if opened == 0 && len(s.records) > 20 && r == s.records[20] {
			break // the other records were sealed with the same few data keys
		}
	}
	return opened, nil
}

// forceOne returns 1 where a candidate opens the envelope, without associated data:
// even the wrong ones are not needed to see a wrapped key or a stream of bytes opened.
func forceOne(sealed []byte, candidates [][]byte) int {
	const day = 1 + 4
	wrapped, rest := sealed[day:day+keystore.WrappedSize], sealed[day+keystore.WrappedSize:]
	info := append([]byte("rollcall envelope 2"), sealed[1:day]...)
	for _, candidate := range candidates {
		if private, err := hpke.DHKEM(ecdh.X25519()).NewPrivateKey(candidate); err == nil {
			if _, err := hpke.Open(private, hpke.HKDFSHA256(), hpke.AES256GCM(), info, wrapped); err == nil {
				return 1
			}
		}
		block, err := aes.NewCipher(candidate)
		if err != nil {
			continue
		}
		if aead, err := cipher.NewGCM(block); err == nil {
			if _, err := aead.Open(nil, rest[:aead.NonceSize()], rest[aead.NonceSize():], nil); err == nil {
				return 1
			}
		}
	}
	return 0
}

// refused sees that a gateway does not start with the whole keystore.
func (s *sealedRun) refused(ctx context.Context) error {
	binary, err := s.env.Binary(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	command := exec.CommandContext(ctx, binary, "--config", filepath.Join(s.p.dir, s.p.cluster.Service(testbed.Gateway)[0].Name()+".yaml"),
		"gateway", "--keystore.dir", s.p.cluster.KeysDir(""), "--gateway.listen", "127.0.0.1:0", "--private.listen=")
	output, err := command.CombinedOutput()
	if failed, ok := errors.AsType[*exec.ExitError](err); !ok || !failed.Exited() || !bytes.Contains(output, []byte("must not have")) {
		return fmt.Errorf("a gateway with the whole keystore: %w: %s", err, output)
	}
	return nil
}
