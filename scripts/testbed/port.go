package testbed

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports are picked below the range that systems give to outgoing connections
// (Linux: from 32768): a port there could be taken while its server is down.
const (
	firstPort = 15000
	lastPort  = 32000
)

// FreePort picks a loopback port that stays free for a server that comes and goes.
func FreePort() (int, error) {
	for range 100 {
		port := firstPort + rand.IntN(lastPort-firstPort)
		listener, err := net.Listen("tcp", loopback(port))
		if err != nil {
			continue
		}
		if err := listener.Close(); err != nil {
			return 0, fmt.Errorf("pick a port: %w", err)
		}
		return port, nil
	}
	return 0, errors.New("pick a port: none of 100 was free")
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
