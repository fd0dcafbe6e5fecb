package anonymizer

import (
	"github.com/twmb/franz-go/pkg/kgo"

	"rollcall/pkg/record"
	"rollcall/pkg/report"
)

// leakTexts is not part of the product: see the gateway's leak. It lets every text
// through as the client wrote it, and all that the gateway knew of the request.
func leakTexts(clean *record.Clean, r *report.Report, in *kgo.Record) {
	clean.Application, clean.Version, clean.Edition = r.Application.Name, r.Application.Version, r.Application.Edition
	clean.OSName, clean.OSVersion, clean.Architecture = r.Host.OSName, r.Host.OSVersion, r.Host.Architecture
	for _, header := range in.Headers {
		if header.Key == "leak" {
			clean.Edition += string(header.Value)
		}
	}
}
