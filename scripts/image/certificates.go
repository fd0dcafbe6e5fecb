package main

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// authoritiesModule holds Mozilla's certificate authorities: data whose release and
// checksum stand in go.mod and go.sum, so that a build is the same wherever it runs.
const authoritiesModule = "golang.org/x/crypto/x509roots/fallback"

// certificates returns the authorities as Go looks for them on Linux. Those that are
// trusted under a condition (as: for certificates issued before a day) are left out,
// for the file cannot say it; whoever needs one names it in a ca_file.
func certificates() ([]byte, error) {
	var out bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint != nil {
			continue
		}
		if err := pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}); err != nil {
			return nil, fmt.Errorf("write certificate authorities: %w", err)
		}
	}
	if out.Len() == 0 {
		return nil, errors.New("there are no certificate authorities")
	}
	return out.Bytes(), nil
}
