package health

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/pprof"
	"time"
)

// Handler serves /livez and /readyz of checks, /metrics where metrics is not nil,
// and the profiles under /debug/pprof/ where profiles is true.
func Handler(checks *Checks, metrics http.Handler, profiles bool) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", checks.Live)
	mux.HandleFunc("GET /readyz", checks.Ready)
	if metrics != nil {
		mux.Handle("GET /metrics", metrics)
	}
	if profiles {
		mux.HandleFunc("/debug/pprof/", withoutArguments)
		mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	return mux
}

// withoutArguments serves the profiles, but no stacks in the runtime's own form: those
// show arguments that were passed by value, a client's address among them.
func withoutArguments(w http.ResponseWriter, r *http.Request) {
	if level := r.FormValue("debug"); level != "" && level != "0" {
		r.Form.Set("debug", "1")
	}
	pprof.Index(w, r)
}

// Serve answers on listener, which it closes, until ctx ends; then it waits up to a
// second for answers under way. It returns nil after such a stop. What the server has
// to say about connections goes to errorLog; nil: to the log package's own.
func Serve(ctx context.Context, listener net.Listener, handler http.Handler, errorLog *log.Logger) error {
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          errorLog,
	}
	served := make(chan error, 1) // room for the one result, so that serving never waits
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve private listener: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		_ = server.Close() // cuts a profile that is still being taken
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve private listener: %w", err)
	}
	return nil
}
