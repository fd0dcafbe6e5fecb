package staticpage

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"rollcall/pkg/compliance"
	"rollcall/pkg/retirement"
)

// facts are the numbers and sentences that stand above the sections.
type facts struct {
	Newest    Coverage // of the newest day with a report
	Receipt   time.Time
	Active    uint64 // installations on that day
	Silent    uint64
	SilentOf  uint64 // licences with valid terms that are silent or were never heard of
	Over      int    // licences beyond an entitlement for longer than the grace period
	Unsure    int    // licences that may be
	InGrace   int    // licences beyond one for a short time only
	Signs     int    // licences with a sign of abuse
	Dead      uint64
	Landed    uint64
	Suspect   uint64
	DelayP99  float64 // the worst day's
	Forks     uint64
	Simulated bool

	UseSentence, RetirementSentence, ComplianceSentence, UptakeSentence, QualitySentence string
}

func newFacts(c *Content) facts {
	f := facts{}
	if !c.Empty() {
		f.Newest = c.Coverage[len(c.Coverage)-1]
	}
	for _, d := range c.Coverage {
		if d.NewestReceipt.After(f.Receipt) {
			f.Receipt = d.NewestReceipt.UTC().Truncate(time.Second)
		}
	}
	for _, i := range c.Installations {
		f.Active, f.Silent = f.Active+i.Active, f.Silent+i.Silent
	}
	for _, a := range c.Activity {
		if a.InForce && a.Activity != "active" {
			f.SilentOf += a.Licences
		}
	}
	for _, d := range c.Quality.Days {
		f.Dead, f.Landed, f.Suspect, f.Forks = f.Dead+d.Dead(), f.Landed+d.Landed, f.Suspect+d.Suspect+d.Refused, f.Forks+d.Forks
		f.DelayP99, f.Simulated = max(f.DelayP99, d.DelayP99), f.Simulated || d.Simulated > 0
	}
	f.judged(c.Compliance)
	f.UseSentence = useSentence(c.Metrics)
	f.RetirementSentence = retirementSentence(c.Retirement)
	f.ComplianceSentence = f.complianceSentence(c.Compliance)
	f.UptakeSentence = uptakeSentence(c)
	f.QualitySentence = f.qualitySentence()
	return f
}

// judged counts licences, each under the gravest of its findings.
func (f *facts) judged(report *compliance.Report) {
	if report == nil {
		return
	}
	order := []string{compliance.Unsure, compliance.Grace, compliance.Over}
	gravest := map[string]int{}
	for _, finding := range report.Findings {
		id := finding.LicenceID.String()
		gravest[id] = max(gravest[id], 1+slices.Index(order, finding.Verdict))
	}
	for _, rank := range gravest {
		switch rank {
		case 3:
			f.Over++
		case 2:
			f.InGrace++
		case 1:
			f.Unsure++
		}
	}
	signs := map[string]bool{}
	for _, s := range report.Signs {
		signs[s.LicenceID.String()] = true
	}
	f.Signs = len(signs)
}

func useSentence(metrics []Metric) string {
	rows, weeks := featureRows(metrics)
	if len(rows) == 0 {
		return "There is no whole week in these days yet: adoption is told by whole weeks."
	}
	used := 0
	for _, row := range rows {
		if known(row.After.Adoption) >= 0.5 {
			used++
		}
	}
	return fmt.Sprintf("%d of %s are used by at least half of the installations that can be seen using them, in the newest of %s.",
		used, plural(len(rows), "feature", "features"), plural(len(weeks), "whole week", "whole weeks"))
}

func retirementSentence(report *retirement.Report) string {
	if report == nil || len(report.Features) == 0 {
		return "The catalogue has no legacy features."
	}
	if report.ValidLicences == 0 {
		return "The registry has no valid licence on the last day, so nothing can be said."
	}
	phrases := map[retirement.Verdict]string{
		retirement.Remove: "can be removed", retirement.Deprecate: "can be deprecated, with few left to move", retirement.Keep: "must be kept", retirement.NotEnough: "cannot be judged",
	}
	var parts []string
	for _, v := range verdictCounts(report.Features) {
		if v.N > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", v.N, phrases[v.Verdict]))
		}
	}
	return fmt.Sprintf("Of %s, %s.", plural(len(report.Features), "legacy feature", "legacy features"), list(parts))
}

func (f *facts) complianceSentence(report *compliance.Report) string {
	if report == nil || report.Licences == 0 {
		return "No licence reported in these days."
	}
	var parts []string
	for _, p := range []struct {
		n    int
		what string
	}{{f.Over, "beyond an entitlement for longer than the grace period"}, {f.InGrace, "beyond one for a short time only"}, {f.Unsure, "perhaps beyond one"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s %s", p.n, map[bool]string{true: "is", false: "are"}[p.n == 1], p.what))
		}
	}
	if len(parts) == 0 {
		parts = []string{"none is beyond an entitlement"}
	}
	return fmt.Sprintf("Of %s with usage, %s; %s a sign that others may use the licence.",
		plural(report.Licences, "licence", "licences"), list(parts), map[bool]string{true: "1 shows", false: count(f.Signs) + " show"}[f.Signs == 1])
}

func uptakeSentence(c *Content) string {
	var parts []string
	for _, a := range uptakeTables(c.Uptake) {
		top := slices.MaxFunc(a.Newest, func(a, b releaseShare) int { return int(a.N) - int(b.N) })
		parts = append(parts, fmt.Sprintf("%s of %s installations run %s", percent(top.Share), words(a.Application), segmentName(top.Release)))
	}
	if len(parts) == 0 {
		return "No installation reported in these days."
	}
	return capital(list(parts)) + ", more than any other release."
}

func (f *facts) qualitySentence() string {
	if f.Receipt.IsZero() {
		return "Nothing was received."
	}
	return fmt.Sprintf("On the newest day %s of the customers with valid terms were heard; of %s since the first of these days %s dead letters.",
		percent(f.Newest.Share()), plural(f.Landed+f.Dead, "report", "reports"), map[bool]string{true: "1 became", false: count(f.Dead) + " became"}[f.Dead == 1])
}

// list joins parts as a sentence does.
func list(parts []string) string {
	if len(parts) < 2 {
		return strings.Join(parts, "")
	}
	return strings.Join(parts[:len(parts)-1], ", ") + " and " + parts[len(parts)-1]
}

func capital(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + text[1:]
}
