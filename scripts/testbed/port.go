package testbed

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// Ports are picked below the range that systems give to outgoing connections
// (Linux: from 32768): a port there could be taken while its server is down.
const (
	firstPort = 15000
	lastPort  = 32000
)

// given are the ports that FreePort has returned: their servers may not listen yet, or be down.
var given sync.Map

// FreePort picks a loopback port that stays free for a server that comes and goes. It
// gives none twice in the life of the process. It is safe for concurrent use.
func FreePort() (int, error) {
	for range 100 {
		port := firstPort + rand.IntN(lastPort-firstPort)
		listener, err := net.Listen("tcp", loopback(port))
		if err != nil {
			continue
		}
		_, again := given.LoadOrStore(port, true)
		if err := listener.Close(); err != nil {
			return 0, fmt.Errorf("pick a port: %w", err)
		}
		if !again {
			return port, nil
		}
	}
	return 0, errors.New("pick a port: none of 100 was free")
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
