-- The tables of one prefix, which is their schema. The first client makes them. See postgres.rs.
CREATE TABLE IF NOT EXISTS head (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    revision bigint NOT NULL,
    file text,
    compacted bigint NOT NULL
);
INSERT INTO head VALUES (true, 0, NULL, 0) ON CONFLICT DO NOTHING;
CREATE TABLE IF NOT EXISTS entries (key text PRIMARY KEY, value text NOT NULL);
CREATE TABLE IF NOT EXISTS changes (
    revision bigint PRIMARY KEY,
    previous bigint NOT NULL,
    file text NOT NULL,
    changes text NOT NULL
);
CREATE TABLE IF NOT EXISTS retired (file text PRIMARY KEY, since bigint NOT NULL);
-- Sessions and terms.
CREATE SEQUENCE IF NOT EXISTS numbers;
CREATE TABLE IF NOT EXISTS nodes (
    session bigint PRIMARY KEY DEFAULT nextval('numbers'),
    name text NOT NULL,
    used bigint NOT NULL,
    ttl double precision NOT NULL,
    until timestamptz NOT NULL
);
CREATE TABLE IF NOT EXISTS office (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    term bigint NOT NULL,
    holder text NOT NULL,
    ttl double precision NOT NULL,
    until timestamptz NOT NULL
);
