-- +goose Up
-- Who is behind a licence, as ciphertext alone, and the anchors of the log of those who
-- asked. @restricted@ is the name of the database (rendered.go).

CREATE TABLE IF NOT EXISTS @restricted@.identities
(
    subject     UUID                   COMMENT 'Keyed blind index of the person (licence and e-mail) or of the company (licence)',
    licence_id  UUID                   COMMENT 'Pseudonym of the licence',
    kind        Enum8('COMBINED' = 0, 'PERSON' = 1, 'COMPANY' = 2) COMMENT 'What is encrypted: an e-mail address, a company with the end of its licence key, or (written by the first release) both',
    epoch       Date                   COMMENT 'First day of the month of the identity key',
    observed_at DateTime64(3, 'UTC')   COMMENT 'Receipt of the report it was read from; the newest counts',
    nonce       FixedString(12)        COMMENT 'Nonce of AES-256-GCM',
    ciphertext  String                 COMMENT 'AES-256-GCM under the identity key of the month: nobody reads it in here'
)
ENGINE = ReplacingMergeTree(observed_at)
PARTITION BY toYYYYMM(epoch)
ORDER BY (licence_id, subject, epoch)
TTL epoch + INTERVAL 4 MONTH
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, ttl_only_drop_parts = 1
COMMENT 'Identities, encrypted, landed from the topic identities. Grain: subject and month (read with FINAL). Goes with its key: 3 months after its month.';

CREATE TABLE IF NOT EXISTS @restricted@.access_log
(
    topic_id UUID                 COMMENT 'Kafka id of the access-log topic',
    sequence UInt64               COMMENT 'Number of the entry in the log, from 1',
    offset   Int64                COMMENT 'Offset of the entry',
    hash     FixedString(64)      COMMENT 'SHA-256 of the entry, which holds the hash of the one before: hexadecimal digits',
    at       DateTime64(3, 'UTC') COMMENT 'When the anchor was written'
)
ENGINE = MergeTree
ORDER BY (sequence, at)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Anchors of the access log: what its entries were when they were written. Grain: entry. Kept for ever.';
