package clickhouse

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"strings"
)

// mismatch says what is likely to be amiss where one side spoke TLS and the other did not;
// any other error it leaves alone.
func (c Config) mismatch(err error) error {
	var record tls.RecordHeaderError
	switch {
	case c.TLS.Enabled && errors.As(err, &record):
		return fmt.Errorf("clickhouse.tls.enabled is true, but the server does not speak TLS at this port: %w", err)
	case !c.TLS.Enabled && hungUp(err):
		return fmt.Errorf("the server did not take the first message: clickhouse.tls.enabled is false, perhaps it speaks TLS at this port: %w", err)
	}
	return err
}

// hungUp reports whether the server ended the connection, or sent an alert of TLS (whose
// first byte is 21), where its greeting should have come.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) && strings.Contains(err.Error(), "handshake: failed to read packet") ||
		err != nil && strings.Contains(err.Error(), "[handshake] unexpected packet [21]")
}
