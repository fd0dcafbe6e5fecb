package fleet

import (
	"math/rand/v2"
	"net/netip"
	"slices"

	"rollcall/pkg/client"
)

// maxSkew bounds how far a client's clock is off; span.effective relies on it.
const maxSkew = 10 * hour

// host is a machine; several installations may share it.
type host struct {
	licence int
	cpus    int32
	system  system
	home    netip.Addr
	away    netip.Addr // in another country
	boots   []int64    // ascending; the first is before the fleet
}

// boot returns which boot of the host runs at a time.
func (h *host) boot(at int64) int {
	n, found := slices.BinarySearch(h.boots, at)
	if found {
		return n
	}
	return n - 1
}

// installation is one product installed on a host.
type installation struct {
	licence     int
	host        int
	application string
	intensity   float64 // 1 is usual
	keyStyle    int     // how the administrator typed the licence key
	media       string
	encoding    string
	skew        int64 // client clock less true time, until corrected
	corrected   int64 // when the clock is set right; 0: never
	// ignoresConsent: an old client that sends optional metrics all the same.
	ignoresConsent bool
}

// clockOffset returns client clock less true time.
func (i *installation) clockOffset(at int64) int64 {
	if i.corrected != 0 && at >= i.corrected {
		return 0
	}
	return i.skew
}

func makeHosts(o Options, days span, licences []Licence, owners []int) []host {
	hosts := make([]host, len(owners))
	for n := range hosts {
		r := stream(o.Seed, streamHost, uint64(n))
		licence := &licences[owners[n]]
		h := host{licence: owners[n], cpus: 4 << r.IntN(4), system: pick(r, systems())}
		home := licence.country
		if chance(r, 0.1) {
			home = pick(r, countries())
		}
		away := pick(r, countries())
		for away.v4 == home.v4 {
			away = pick(r, countries())
		}
		h.home, h.away = home.address(r), away.address(r)
		h.boots = []int64{days.start - between(r, 1, 60*day)}
		for at := days.start + exponential(r, 12*day); at < days.end; at += exponential(r, 12*day) + hour {
			h.boots = append(h.boots, at)
		}
		hosts[n] = h
	}
	return hosts
}

// spread gives every licence one, and the rest unevenly: a few large customers,
// many small ones.
func spread(r *rand.Rand, total, licences int) []int {
	counts := make([]int, licences)
	weights := make([]float64, licences)
	sum := 0.0
	for i := range counts {
		counts[i] = 1
		weights[i] = logNormal(r, 1)
		sum += weights[i]
	}
	for range total - licences {
		at := r.Float64() * sum
		i := 0
		for ; i < licences-1 && at >= weights[i]; i++ {
			at -= weights[i]
		}
		counts[i]++
	}
	return counts
}

func makeInstallations(o Options, days span, licences []Licence) ([]host, []installation) {
	counts := spread(stream(o.Seed, streamInstallation), o.Installations, o.Licences)
	var owners []int
	var installations []installation
	for licence, count := range counts {
		firstHost := len(owners)
		for range (count + 1) / 2 {
			owners = append(owners, licence)
		}
		for n := range count {
			r := stream(o.Seed, streamInstallation, uint64(len(installations)))
			i := makeInstallation(r, o, days)
			i.licence, i.host = licence, firstHost+r.IntN(len(owners)-firstHost)
			i.application = roboServer
			// The second of a customer's installations manages the others.
			if n%6 == 1 {
				i.application = managementConsole
			}
			installations = append(installations, i)
		}
	}
	return makeHosts(o, days, licences, owners), installations
}

func makeInstallation(r *rand.Rand, o Options, days span) installation {
	i := installation{
		intensity: logNormal(r, 0.8), keyStyle: max(0, r.IntN(12)-8),
		media: client.Avro, encoding: client.Identity, ignoresConsent: chance(r, 0.1),
	}
	if chance(r, o.JSON) {
		i.media = client.JSON
	}
	switch encoding := r.Float64(); {
	case encoding < 0.4:
		i.encoding = client.Zstd
	case encoding < 0.6:
		i.encoding = client.Gzip
	}
	switch clock := r.Float64(); {
	case clock < 0.05:
		i.skew = between(r, -maxSkew, maxSkew)
	case clock < 0.2:
		i.skew = between(r, -20*minute, 20*minute)
	default:
		i.skew = between(r, -2*second, 2*second)
	}
	if (i.skew > minute || i.skew < -minute) && chance(r, 0.5) {
		i.corrected = between(r, days.start, days.end)
	}
	return i
}
