-- The control schema: what every instance of Segue shares. One place, its own connection string.
CREATE SCHEMA segue_control;

CREATE TABLE segue_control.schema_version (
    version    integer     PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- One row a realm: the whole policy, versioned. Changed only together with a journal row (P8).
CREATE TABLE segue_control.policy (
    realm            text        PRIMARY KEY,
    version          bigint      NOT NULL DEFAULT 1,
    phase            text        NOT NULL DEFAULT 'observe'
        CHECK (phase IN ('observe', 'dual', 'exchange', 'stateless', 'finalized')),
    percent_e2       integer     NOT NULL DEFAULT 0 CHECK (percent_e2 BETWEEN 0 AND 10000), -- 0.01 % grain
    cohorts          text[]      NOT NULL DEFAULT '{}',  -- roles whose holders are in, whatever the percentage
    realm_epoch      integer     NOT NULL DEFAULT 0,     -- raised by rollback --distrust-jwts
    disabled_clients text[]      NOT NULL DEFAULT '{}'   -- their tokens are refused, and they get none
        CHECK (cardinality(disabled_clients) <= 64),
    phase_entered_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    changed_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    changed_by       text        NOT NULL DEFAULT ''
);

CREATE TABLE segue_control.journal (
    id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    realm      text        NOT NULL,
    actor      text        NOT NULL,
    action     text        NOT NULL,
    why        text        NOT NULL DEFAULT '',
    from_state jsonb,
    to_state   jsonb
);

CREATE TABLE segue_control.shard (
    shard integer PRIMARY KEY,
    name  text    NOT NULL UNIQUE   -- the connection string stays in the configuration: it may hold a password
);

CREATE TABLE segue_control.bucket_map (
    bucket integer PRIMARY KEY CHECK (bucket BETWEEN 0 AND 4095),
    shard  integer NOT NULL REFERENCES segue_control.shard
);

CREATE TABLE segue_control.signing_key (
    realm          text        NOT NULL,
    kid            text        NOT NULL,
    alg            text        NOT NULL,
    state          text        NOT NULL CHECK (state IN ('pending', 'active', 'retiring', 'retired')),
    public_jwk     jsonb       NOT NULL,
    private_sealed bytea       NOT NULL,  -- the blob names its sealing key, which lives outside the database
    sealed_with    text        NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    state_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (realm, kid)
);
CREATE UNIQUE INDEX signing_key_one_active ON segue_control.signing_key (realm) WHERE state = 'active';

-- What makes an absence in the legacy store mean something (rule 1). Written by `segue transfer` alone.
CREATE TABLE segue_control.continuity (
    realm      text        PRIMARY KEY,
    proven     boolean     NOT NULL,
    run_id     text        NOT NULL,     -- of the legacy server process
    sentinel   text        NOT NULL,     -- value of the sentinel key
    evicted    bigint      NOT NULL,     -- the counters as they must still be
    flushes    bigint      NOT NULL,
    beat       bigint      NOT NULL DEFAULT 0, -- last heartbeat the store acknowledged
    kept       boolean     NOT NULL DEFAULT true, -- unproven, but nothing acknowledged was lost since it was last proven
    reason     text        NOT NULL DEFAULT '',
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE segue_control.transfer_job (
    job         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    realm       text        NOT NULL,
    state       text        NOT NULL CHECK (state IN ('snapshot', 'following', 'failed')),
    run_id      text        NOT NULL DEFAULT '',  -- a SCAN cursor means nothing to another server process
    cursor      text        NOT NULL DEFAULT '0',
    chunk       bigint      NOT NULL DEFAULT 0,
    started_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    snapshot_at timestamptz,                      -- when the first whole snapshot was done
    reconciled_at timestamptz,                    -- last whole reconciling scan
    updated_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    error       text        NOT NULL DEFAULT ''
);
CREATE INDEX transfer_job_realm ON segue_control.transfer_job (realm, job DESC);

-- Each instance says which policy it is under, so that `segue rollback` can wait until all have answered under the new one.
CREATE TABLE segue_control.instance (
    instance       text        NOT NULL,  -- loops after the first: with "/1", "/2", …
    realm          text        NOT NULL,
    policy_version bigint      NOT NULL,
    seen_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (instance, realm)
);

CREATE FUNCTION segue_control.tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('segue_control', TG_TABLE_NAME);
    RETURN NULL;
END $$;
CREATE TRIGGER policy_tell AFTER INSERT OR UPDATE ON segue_control.policy
    FOR EACH STATEMENT EXECUTE FUNCTION segue_control.tell();
CREATE TRIGGER signing_key_tell AFTER INSERT OR UPDATE ON segue_control.signing_key
    FOR EACH STATEMENT EXECUTE FUNCTION segue_control.tell();
CREATE TRIGGER bucket_map_tell AFTER INSERT OR UPDATE ON segue_control.bucket_map
    FOR EACH STATEMENT EXECUTE FUNCTION segue_control.tell();
CREATE TRIGGER continuity_tell AFTER INSERT OR UPDATE OF proven, run_id, sentinel, evicted, flushes ON segue_control.continuity
    FOR EACH STATEMENT EXECUTE FUNCTION segue_control.tell();

INSERT INTO segue_control.schema_version (version) VALUES (1);
