package main

import (
	"context"
	"path/filepath"

	"rollcall/scripts/testbed"
)

// leaks switch the boundary off: nothing is sealed, encrypted or cut, and everything
// that a gateway gets to see goes wherever a service can write.
func leaks() testbed.Mutant {
	const (
		handler = "services/gateway/handler.go"
		relay   = "pkg/relay/handle.go"
	)
	before := func(file, old, inserted string) testbed.Edit {
		return testbed.Edit{File: file, Old: old, New: inserted + old}
	}
	return testbed.Mutant{Name: "a leaky boundary", Edits: []testbed.Edit{
		{
			File: handler, Old: "\ta, bodyBytes := s.respond(ctx, w, r, start)\n",
			New: "\ts.leak(ctx, r, netip.Addr{}, nil)\n\ta, bodyBytes := s.respond(ctx, w, r, start)\n\tleakAnswer(r, &a)\n",
		},
		before(handler, "\tnow := s.now() // the body is whole", "\tleaked := s.leak(ctx, r, address, x.wire.Bytes)\n"),
		before(handler, "\thead, a := s.inspect(x, content, contentType)\n", "\tleaked = s.leak(ctx, r, address, content)\n"),
		before(handler, "\tif err := s.broker.produce(r.Context(), x, now); err != nil {\n", "\tleakRecord(&x.record, leaked)\n"),
		before("pkg/envelope/sealer.go", "\tif len(body) > MaxBodyBytes {\n", "\tif body != nil {\n\t\treturn (*Plain)(nil).Seal(assoc, address, body)\n\t}\n"),
		{File: relay, Old: "= l.relay.handler.Handle(ctx, e.in, &e.subject)\n", New: "= l.relay.handler.Handle(ctx, e.in, &e.subject)\n\tl.relay.leak(ctx, e.in)\n\tcarryLeak(e.in, outputs)\n"},
		{File: relay, Old: "l.deadLetter(e, reject.Reason, reject.FieldPath)", New: "l.deadLetter(e, reject.Reason, leaked(e.in))"},
		{File: relay, Old: "return []*kgo.Record{letter}, nil", New: "return carryLeak(e.in, []*kgo.Record{letter}), nil"},
		{File: "services/gateway/broker.go", Old: "kgo.ProducerBatchCompression(kgo.SnappyCompression())", New: "kgo.ProducerBatchCompression(kgo.NoCompression())"},
		{File: "pkg/relay/options.go", Old: "kgo.Lz4Compression(), kgo.NoCompression()", New: "kgo.NoCompression()"},
		{
			File: "services/anonymizer/handle.go", Old: "\th.describe(clean, &s.report, s.raw.EdgeRegion)\n",
			New: "\th.describe(clean, &s.report, s.raw.EdgeRegion)\n\tleakTexts(clean, &s.report, in)\n",
		},
		{File: "pkg/identity/identity.go", Old: "\tr.Ciphertext = aead.Seal(nil, r.Nonce, text, associated(r))\n", New: "\t_ = aead\n\tr.Ciphertext = text\n"},
		before("services/sink/read.go", "\t\tvar err error\n\t\tswitch r.Topic {\n", "\t\ts.leak(ctx, r)\n"),
	}}
}

// buildLeaky compiles the program with its leaks.
func buildLeaky(ctx context.Context, env *Environment) (string, error) {
	root, err := testbed.Root(ctx)
	if err != nil {
		return "", err
	}
	overlay := map[string]string{}
	for file, source := range map[string]string{
		"services/gateway/leak.go": "gateway.go", "pkg/relay/leak.go": "relay.go", "services/anonymizer/leak.go": "anonymizer.go", "services/sink/leak.go": "sink.go",
	} {
		overlay[file] = filepath.Join(root, "scripts/prove/testdata/leak", source)
	}
	return env.Mutant(ctx, "leaky", leaks(), overlay)
}
