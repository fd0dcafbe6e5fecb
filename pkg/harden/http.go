package harden

import (
	"log"
	"log/slog"
	"net/http"
	"strings"
)

// Handler returns next with its panics told safely: the connection breaks, as net/http
// would break it, but its own message, which quotes the value, is never made.
func Handler(next http.Handler, tell func(*PanicError)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer Abort(tell)
		next.ServeHTTP(w, r)
	})
}

// Abort is for defer in a handler: it tells of a panic and breaks the connection.
func Abort(tell func(*PanicError)) {
	value := recover()
	if value == nil {
		return
	}
	if value != http.ErrAbortHandler { //nolint:errorlint // net/http compares it so
		tell(Panicked(value))
	}
	panic(http.ErrAbortHandler) // the one value of which net/http says nothing
}

// ErrorLog returns what net/http.Server.ErrorLog is to be: it logs what the server has
// to say about connections by its class alone, since the messages name the client's address.
func ErrorLog(logger *slog.Logger) *log.Logger { return log.New(serverErrors{logger}, "", 0) }

type serverErrors struct{ logger *slog.Logger }

func (e serverErrors) Write(message []byte) (int, error) {
	switch text := string(message); {
	case strings.HasPrefix(text, "http: panic serving"): // outside of any handler: value and stack stay unsaid
		e.logger.Error("HTTP server panicked")
	case strings.HasPrefix(text, "http: TLS handshake error"):
		e.logger.Debug("TLS handshake failed")
	default:
		e.logger.Warn("HTTP server reported an error")
	}
	return len(message), nil
}
