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
    changed_by       text        NOT NULL DEFAULT '',
    root_check       text        NOT NULL DEFAULT ''     -- tells the keyring's root apart from any other, and nothing about it
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

-- ---- signing keys: the life of each is told in docs/flows.md ---------------------------------

CREATE TABLE segue_control.signing_key (
    realm          text        NOT NULL,
    kid            text        NOT NULL,
    alg            text        NOT NULL,
    state          text        NOT NULL CHECK (state IN ('pending', 'active', 'retiring', 'retired')),
    public_jwk     jsonb,                 -- NULL: HS256 has no public half
    private_sealed bytea,                 -- the blob names its sealing key, which lives outside the database; NULL once retired
    sealed_with    text        NOT NULL,
    token_ms       bigint      NOT NULL DEFAULT 0, -- life of the longest-lived token it may have signed, leeway included
    renews_until   timestamptz,           -- retired: until when tokens of it, expired by then, may be renewed
    compromised    boolean     NOT NULL DEFAULT false,
    created_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    state_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (realm, kid),
    CHECK ((state = 'retired') = (private_sealed IS NULL)),
    CHECK (NOT compromised OR (state = 'retired' AND renews_until IS NULL))
);
CREATE UNIQUE INDEX signing_key_one_active ON segue_control.signing_key (realm) WHERE state = 'active';
CREATE UNIQUE INDEX signing_key_one_pending ON segue_control.signing_key (realm, alg) WHERE state = 'pending';

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

-- Loads of collections into tables made from a mapping (`segue transfer load`), and how far each piece of each collection is
-- stored on every shard.
CREATE TABLE segue_control.collection_job (
    job        bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    schema     text        NOT NULL,
    name       text        NOT NULL,
    mapping    text        NOT NULL,              -- digest of its text without comments
    state      text        NOT NULL CHECK (state IN ('copying', 'merging', 'done')),
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (schema, name)
);

CREATE TABLE segue_control.collection_piece (
    job        bigint      NOT NULL REFERENCES segue_control.collection_job ON DELETE CASCADE,
    collection text        NOT NULL,
    piece      integer     NOT NULL,
    text       text        NOT NULL,              -- what the source needs to read it again
    position   text        NOT NULL,              -- to go on from
    chunk      bigint      NOT NULL,              -- the last one before that
    done       boolean     NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (job, collection, piece)
);

-- Each instance says which policy it is under and which keys it holds, so that `segue rollback` can wait until all have
-- answered under the new one, and no key signs before all can verify by it. Deleted by an instance that stops.
CREATE TABLE segue_control.instance (
    instance       text        NOT NULL,  -- loops after the first: with "/1", "/2", …
    realm          text        NOT NULL,
    policy_version bigint      NOT NULL,
    keys           text[]      NOT NULL DEFAULT '{}', -- kids it verifies by and can sign with
    unopened       text[]      NOT NULL DEFAULT '{}', -- kids whose private half its keyring does not open
    keys_at        timestamptz NOT NULL DEFAULT '-infinity', -- when keys last changed under its callers
    signing        text,                  -- the kid it signs with
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

-- ---- steps of signing keys ------------------------------------------------------------------
-- The one place where a key's state changes, for commands and for the schedule alike: each step checks, changes and
-- journals in one transaction, by this database's clock. `times` holds, in ms: publish (a pending key's least age),
-- cache (max-age of the JWKS), token (life of a token, leeway and the time until every instance heard of a change
-- included), renew (how long an expired token may still be renewed), silent (an instance not heard of for so long counts
-- as gone). A step that is refused raises SG002.

CREATE FUNCTION segue_control.key_lock(r text) RETURNS void LANGUAGE sql VOLATILE AS $$
    SELECT pg_advisory_xact_lock(1397048072, hashtext(r));
$$;

CREATE FUNCTION segue_control.in_words(i interval) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN i > interval '2 days' THEN round(extract(epoch FROM i) / 86400) || ' d'
                WHEN i > interval '2 hours' THEN round(extract(epoch FROM i) / 3600) || ' h'
                WHEN i > interval '2 minutes' THEN round(extract(epoch FROM i) / 60) || ' min'
                ELSE round(extract(epoch FROM i), 1) || ' s' END;
$$;

-- What speaks against a step just now, in words; NULL = nothing.
CREATE FUNCTION segue_control.key_objection(k segue_control.signing_key, next text, times jsonb) RETURNS text
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    now_at timestamptz := clock_timestamp();
    ms     interval := interval '1 millisecond';
    ready  timestamptz;
    i      segue_control.instance;
BEGIN
    IF next = 'active' THEN
        ready := k.state_at + (times ->> 'publish')::bigint * ms;
        IF k.state = 'pending' AND k.alg <> 'HS256' AND ready > now_at THEN
            RETURN format('it was published %s ago, and copies of the JWKS may be without it for %s more',
                          segue_control.in_words(now_at - k.state_at), segue_control.in_words(ready - now_at));
        END IF;
        FOR i IN SELECT * FROM segue_control.instance AS x WHERE x.realm = k.realm
                 AND x.seen_at > now_at - greatest((times ->> 'publish')::bigint * ms, interval '5 s') LOOP
            IF k.kid = ANY (i.unopened) THEN
                RETURN format('instance %s cannot open it: its keyring lacks the key %s', i.instance, k.sealed_with);
            ELSIF k.kid <> ALL (i.keys) THEN
                RETURN format('instance %s, seen %s ago, has not loaded it', i.instance, segue_control.in_words(now_at - i.seen_at));
            ELSIF k.state = 'pending' AND k.alg <> 'HS256' AND i.keys_at + (times ->> 'cache')::bigint * ms > now_at THEN
                RETURN format('instance %s loaded keys %s ago, and copies of its JWKS may be older', i.instance,
                              segue_control.in_words(now_at - i.keys_at));
            END IF;
        END LOOP;
    ELSIF next = 'retired' AND k.state = 'retiring' THEN
        -- An HS256 secret is all there is to verify by, so it stays while an expired token may be renewed.
        ready := k.state_at + greatest(k.token_ms, (times ->> 'token')::bigint) * ms
                 + CASE WHEN k.alg = 'HS256' THEN (times ->> 'renew')::bigint * ms ELSE interval '0' END;
        IF ready > now_at THEN
            RETURN format('tokens it signed may live for %s more', segue_control.in_words(ready - now_at));
        END IF;
        SELECT * INTO i FROM segue_control.instance AS x WHERE x.realm = k.realm AND x.signing = k.kid
           AND x.seen_at > now_at - (times ->> 'silent')::bigint * ms LIMIT 1;
        IF FOUND THEN
            RETURN format('instance %s, seen %s ago, last said that it signs with it', i.instance,
                          segue_control.in_words(now_at - i.seen_at));
        END IF;
    END IF;
    RETURN NULL;
END $$;

-- Sets a state and journals it. Nobody else writes the column.
CREATE FUNCTION segue_control.key_set(k segue_control.signing_key, next text, renews timestamptz, by_whom text, what text, reason text)
RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    UPDATE segue_control.signing_key SET state = next, state_at = clock_timestamp(), renews_until = renews,
           compromised = compromised OR what = 'key-revoke',
           private_sealed = CASE WHEN next = 'retired' THEN NULL ELSE private_sealed END
     WHERE realm = k.realm AND kid = k.kid;
    INSERT INTO segue_control.journal (realm, actor, action, why, from_state, to_state)
    VALUES (k.realm, by_whom, what, reason, jsonb_build_object('kid', k.kid, 'alg', k.alg, 'state', k.state),
            jsonb_build_object('kid', k.kid, 'alg', k.alg, 'state', next));
END $$;

-- A new key: pending, or active where the realm has none yet.
CREATE FUNCTION segue_control.key_add(r text, kid text, alg text, jwk jsonb, sealed bytea, with_key text, first boolean,
                                      by_whom text, reason text) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    there segue_control.signing_key;
BEGIN
    PERFORM segue_control.key_lock(r);
    SELECT * INTO there FROM segue_control.signing_key AS k
     WHERE k.realm = r AND (k.state = 'pending' AND k.alg = key_add.alg OR first AND k.state = 'active') LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'key % of % is % already', there.kid, there.alg, there.state USING ERRCODE = 'SG002';
    END IF;
    IF (SELECT count(*) FROM segue_control.signing_key AS k WHERE k.realm = r AND k.state <> 'retired') >= 16 THEN
        RAISE EXCEPTION 'there are 16 keys that are not retired: retire some first' USING ERRCODE = 'SG002';
    END IF;
    INSERT INTO segue_control.signing_key (realm, kid, alg, state, public_jwk, private_sealed, sealed_with)
    VALUES (r, kid, alg, CASE WHEN first THEN 'active' ELSE 'pending' END, jwk, sealed, with_key);
    INSERT INTO segue_control.journal (realm, actor, action, why, to_state)
    VALUES (r, by_whom, CASE WHEN first THEN 'init-key' ELSE 'key-add' END, reason,
            jsonb_build_object('kid', kid, 'alg', alg, 'state', CASE WHEN first THEN 'active' ELSE 'pending' END));
END $$;

-- pending or retiring -> active (the active one becomes retiring with it), pending or retiring -> retired. `forced` skips
-- the objections, not the order of the states.
CREATE FUNCTION segue_control.key_move(r text, key_id text, next text, times jsonb, forced boolean, by_whom text, reason text)
RETURNS void LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    k      segue_control.signing_key;
    former segue_control.signing_key;
    why    text;
BEGIN
    PERFORM segue_control.key_lock(r);
    SELECT * INTO k FROM segue_control.signing_key AS x WHERE x.realm = r AND x.kid = key_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'realm % has no key %', r, key_id USING ERRCODE = 'SG002';
    ELSIF k.state = 'active' AND next = 'retired' THEN
        RAISE EXCEPTION 'key % signs: make another one active first', key_id USING ERRCODE = 'SG002';
    ELSIF k.state NOT IN ('pending', 'retiring') OR next NOT IN ('active', 'retired') THEN
        RAISE EXCEPTION 'key % is %: it cannot become %', key_id, k.state, next USING ERRCODE = 'SG002';
    END IF;
    why := segue_control.key_objection(k, next, times);
    IF why IS NOT NULL AND NOT forced THEN
        RAISE EXCEPTION 'key % cannot become % yet: %', key_id, next, why USING ERRCODE = 'SG002';
    END IF;
    IF next = 'retired' THEN
        PERFORM segue_control.key_set(k, 'retired', CASE WHEN k.state = 'retiring' AND k.alg <> 'HS256' THEN
            clock_timestamp() + (times ->> 'renew')::bigint * interval '1 millisecond' END, by_whom, 'key-retire', reason);
        RETURN;
    END IF;
    SELECT * INTO former FROM segue_control.signing_key AS x WHERE x.realm = r AND x.state = 'active';
    IF FOUND THEN
        PERFORM segue_control.key_set(former, 'retiring', NULL, by_whom, 'key-retiring', reason);
    END IF;
    PERFORM segue_control.key_set(k, 'active', NULL, by_whom, 'key-activate', reason);
END $$;

-- A key somebody else has: no token of it counts from now on, living or expired.
CREATE FUNCTION segue_control.key_revoke(r text, key_id text, by_whom text, reason text) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    k segue_control.signing_key;
BEGIN
    PERFORM segue_control.key_lock(r);
    SELECT * INTO k FROM segue_control.signing_key AS x WHERE x.realm = r AND x.kid = key_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'realm % has no key %', r, key_id USING ERRCODE = 'SG002';
    ELSIF k.state = 'active' THEN
        RAISE EXCEPTION 'key % signs: make another one active first', key_id USING ERRCODE = 'SG002';
    END IF;
    PERFORM segue_control.key_set(k, 'retired', NULL, by_whom, 'key-revoke', reason);
END $$;

-- The same key under another sealing key; false where somebody else was faster.
CREATE FUNCTION segue_control.key_reseal(r text, key_id text, sealed_before bytea, sealed bytea, with_key text, by_whom text, reason text)
RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    former text;
BEGIN
    PERFORM segue_control.key_lock(r);
    SELECT sealed_with INTO former FROM segue_control.signing_key AS k
     WHERE k.realm = r AND k.kid = key_id AND k.private_sealed = sealed_before;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE segue_control.signing_key AS k SET private_sealed = sealed, sealed_with = with_key WHERE k.realm = r AND k.kid = key_id;
    INSERT INTO segue_control.journal (realm, actor, action, why, from_state, to_state)
    VALUES (r, by_whom, 'key-reseal', reason, jsonb_build_object('kid', key_id, 'sealed_with', former),
            jsonb_build_object('kid', key_id, 'sealed_with', with_key));
    RETURN true;
END $$;

-- The schedule: does what is due for a realm and may be done, once, whoever asks first. True: a new key of algorithm `alg`
-- is wanted, to be made by the caller. rotate_ms 0: no key is replaced for its age.
CREATE FUNCTION segue_control.keys_due(r text, alg text, rotate_ms bigint, times jsonb, by_whom text) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    k segue_control.signing_key;
BEGIN
    IF NOT pg_try_advisory_xact_lock(1397048072, hashtext(r)) THEN
        RETURN false;
    END IF;
    FOR k IN SELECT * FROM segue_control.signing_key AS x WHERE x.realm = r AND x.state = 'retiring' LOOP
        IF segue_control.key_objection(k, 'retired', times) IS NULL THEN
            PERFORM segue_control.key_move(r, k.kid, 'retired', times, false, by_whom, 'schedule');
        END IF;
    END LOOP;
    SELECT * INTO k FROM segue_control.signing_key AS x WHERE x.realm = r AND x.state = 'pending' AND x.alg = keys_due.alg;
    IF FOUND THEN
        IF segue_control.key_objection(k, 'active', times) IS NULL THEN
            PERFORM segue_control.key_move(r, k.kid, 'active', times, false, by_whom, 'schedule');
        END IF;
        RETURN false;
    END IF;
    SELECT * INTO k FROM segue_control.signing_key AS x WHERE x.realm = r AND x.state = 'active';
    IF NOT FOUND THEN
        RETURN false; -- `segue init` makes the first
    END IF;
    IF k.token_ms < (times ->> 'token')::bigint THEN
        UPDATE segue_control.signing_key AS x SET token_ms = (times ->> 'token')::bigint WHERE x.realm = r AND x.kid = k.kid;
    END IF;
    RETURN k.alg <> keys_due.alg OR rotate_ms > 0 AND
           k.state_at + (rotate_ms - (times ->> 'publish')::bigint) * interval '1 millisecond' < clock_timestamp();
END $$;

INSERT INTO segue_control.schema_version (version) VALUES (1);
