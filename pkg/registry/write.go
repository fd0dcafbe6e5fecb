package registry

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"rollcall/pkg/record"
	"rollcall/pkg/topics"
)

// keyBytes is the length of a key in the topic.
const keyBytes = 16 + 4

// Key is the key of a licence's terms in the topic: 16 bytes licence id, 4 bytes
// big-endian valid_from (days since 1970-01-01).
func Key(licence uuid.UUID, validFrom int32) []byte {
	key := make([]byte, 0, keyBytes)
	return binary.BigEndian.AppendUint32(append(key, licence[:]...), uint32(validFrom))
}

func parseKey(key []byte) (termsKey, error) {
	if len(key) != keyBytes {
		return termsKey{}, fmt.Errorf("%w: a key of %d bytes, want %d", record.ErrMalformed, len(key), keyBytes)
	}
	return termsKey{uuid.UUID(key[:16]), int32(binary.BigEndian.Uint32(key[16:]))}, nil
}

// writeBatch bounds how many records are on their way at once.
const writeBatch = 4096

// Write produces the terms to the topic, in that format, and returns once all are acknowledged. After
// an error some may have been written; writing all again is harmless. client should
// be made with kgo.RequiredAcks(kgo.AllISRAcks()), which is its default.
func Write(ctx context.Context, client *kgo.Client, records record.Format, terms []record.Licence) error {
	return produce(ctx, client, len(terms), func(i int) (*kgo.Record, error) {
		value, err := record.AppendAs(records, nil, &terms[i])
		if err != nil {
			return nil, fmt.Errorf("terms %d: %w", i, err)
		}
		return &kgo.Record{Topic: topics.Licences, Key: Key(terms[i].LicenceID, terms[i].ValidFrom), Value: value}, nil
	})
}

// Remove takes terms out of the registry. Only LicenceID and ValidFrom count.
func Remove(ctx context.Context, client *kgo.Client, terms []record.Licence) error {
	return produce(ctx, client, len(terms), func(i int) (*kgo.Record, error) {
		return &kgo.Record{Topic: topics.Licences, Key: Key(terms[i].LicenceID, terms[i].ValidFrom)}, nil
	})
}

func produce(ctx context.Context, client *kgo.Client, n int, make func(i int) (*kgo.Record, error)) error {
	for from := 0; from < n; from += writeBatch {
		var records []*kgo.Record
		for i := from; i < min(n, from+writeBatch); i++ {
			r, err := make(i)
			if err != nil {
				return fmt.Errorf("write the licence registry: %w", err)
			}
			records = append(records, r)
		}
		if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
			return fmt.Errorf("write the licence registry: %w", err)
		}
	}
	return nil
}
